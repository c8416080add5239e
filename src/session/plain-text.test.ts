import { expect, it } from "vitest";
import { isPlainText } from "./plain-text.ts";

const off = new Map([["standard_conforming_strings", "off"]]);

it("without standard_conforming_strings a text reads the same unless it has a backslash", () => {
  expect(isPlainText("alter system set search_path = 'nowhere'", off)).toBe(true);
  expect(isPlainText("select '\\'' -- '", off)).toBe(false);
  expect(isPlainText("select '\\'", new Map([["standard_conforming_strings", "on"]]))).toBe(true);
});

it("in an encoding whose second bytes may be backslashes, other letters are not plain", () => {
  const sjis = new Map([["client_encoding", "SJIS"]]);
  expect(isPlainText("select 'a'", sjis)).toBe(true);
  expect(isPlainText("select 'ä'", sjis)).toBe(false);
});
