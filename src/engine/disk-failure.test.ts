import { expect, it } from "vitest";
import { BorealisError, sqlState } from "../base/errors.ts";
import { asDiskFull, isOwnDiskFull } from "./disk-failure-shell.ts";

it("a disk of ours that is full is told apart from that of a PostgreSQL that is copied from", () => {
  const enospc = Object.assign(new Error("ENOSPC: no space left on device, write"), {
    code: "ENOSPC",
  });
  const own = asDiskFull("/cache", enospc);
  expect(own).toMatchObject({ code: "53100", message: expect.stringContaining("/cache") });
  const theirs = new BorealisError(sqlState.diskFull, "could not write: No space left on device");
  expect([isOwnDiskFull(own), isOwnDiskFull(asDiskFull("/cache", theirs))]).toEqual([true, false]);
  expect(isOwnDiskFull(new BorealisError(sqlState.ioError, "no", { cause: enospc }))).toBe(false);
});
