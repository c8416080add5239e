import { expect, it } from "vitest";
import { BorealisError, sqlState } from "../base/errors.ts";
import { diskError, resolveLayout } from "./data-dir.ts";
import { asDiskFull } from "./disk-full.ts";

const layout = resolveLayout("/somewhere");
const told = (error: unknown): unknown => asDiskFull(layout, error, "make room");
const enospc = Object.assign(new Error("ENOSPC: no space left on device, write"), {
  code: "ENOSPC",
});

it("a full disk is told in one way, whoever noticed it", () => {
  for (const error of [
    enospc,
    Object.assign(new Error("EDQUOT: quota exceeded"), { code: "EDQUOT" }),
    diskError("cannot make /somewhere/x", enospc),
    new BorealisError(sqlState.internal, "PANIC:  could not write: No space left on device"),
  ])
    expect(told(error)).toMatchObject({
      code: "53100",
      message: "the disk of /somewhere is full",
      hint: "make room",
      cause: error,
    });
});

it("what was refused before anything was made, or failed otherwise, keeps its own words", () => {
  const refused = new BorealisError(sqlState.diskFull, "600 MiB are needed", { hint: "free some" });
  const denied = Object.assign(new Error("EACCES: permission denied"), { code: "EACCES" });
  for (const error of [refused, denied, "a text"]) expect(told(error)).toBe(error);
});

it("the disk that was told first is the one: a parent's, or that of a clone", () => {
  const parents = asDiskFull({ dataDir: "/parent" }, enospc, "free some space there");
  expect(told(parents)).toBe(parents);
  expect(parents).toMatchObject({ code: "53100", message: "the disk of /parent is full" });
});
