import { expect, it } from "vitest";
import { printable, tableLines } from "./print.ts";

it("what strangers can write moves no cursor, and is no line of its own", () => {
  expect(printable("a\tb\u001b[2Jc\nd\u009be\u007f")).toBe("a\tb\\x1b[2Jc\\x0ad\\x9be\\x7f");
  expect(printable("grün 漢字 😀")).toBe("grün 漢字 😀");
  expect(tableLines(["USER", "N"], [["x\ny", "1"]])).toEqual(["  USER    N", "  x\\x0ay  1"]);
});
