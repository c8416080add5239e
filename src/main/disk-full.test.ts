import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { BorealisError, sqlState } from "../base/errors.ts";
import { diskError, resolveLayout } from "./data-dir.ts";
import { asDiskFailure, asDiskFull } from "./disk-full.ts";
import { ofImagesDisk } from "./restore-build.ts";

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

it("a disk that fails is told as that, and a full one as full", () => {
  const hints = { full: "make room", failed: "see to it" };
  const failure = (error: unknown): unknown => asDiskFailure(layout, error, hints);
  const failing = Object.assign(new Error("EIO: i/o error, write"), { code: "EIO" });
  const postgres = new BorealisError(
    sqlState.cannotConnectNow,
    'could not write to file "base/1/2": Input/output error',
  );
  for (const error of [failing, postgres])
    expect(failure(error)).toMatchObject({
      code: "58030",
      message: expect.stringMatching(/^the disk of \/somewhere fails, or refuses writes: /),
      hint: "see to it",
      cause: error,
    });
  expect(failure(enospc)).toMatchObject({ code: "53100", hint: "make room" });
  // What a store said is of another disk.
  const store = new BorealisError(sqlState.ioError, "az1-full: EIO: i/o error, read");
  for (const error of [store, new Error("EIO, perhaps"), "a text"])
    expect(failure(error)).toBe(error);
});

it("of an image that is restored, it is the disk where that is made", () => {
  const dataDir = mkdtempSync(join(tmpdir(), "borealis-image-"));
  const failing = Object.assign(new Error("EIO: i/o error, write"), { code: "EIO" });
  try {
    const said = (instancesDir: string, error: unknown): unknown =>
      ofImagesDisk({ instancesDir }, { dataDir }, error);
    for (const [error, code] of [
      [failing, "58030"],
      [enospc, "53100"],
    ] as const) {
      const within = { code, message: expect.stringContaining(`the disk of ${dataDir} `) };
      expect(said(`${dataDir}/instances`, error)).toMatchObject(within);
      const apart = { code, message: expect.stringContaining("the disk of /elsewhere ") };
      expect(said("/elsewhere", error)).toMatchObject(apart);
    }
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
});
