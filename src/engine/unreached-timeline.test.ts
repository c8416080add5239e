import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { dropUnreachedTimeline } from "./unreached-timeline-shell.ts";

let dataDir: string;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "borealis-unreached-"));
  mkdirSync(join(dataDir, "pg_wal"));
});
afterEach(() => rmSync(dataDir, { recursive: true }));

const older = "000000010000000000000001";
const newer = "000000020000000000000001";

function put(name: string, content: string | Buffer): void {
  writeFileSync(join(dataDir, "pg_wal", name), content);
}
function left(): string[] {
  return readdirSync(join(dataDir, "pg_wal")).filter((name) => !name.endsWith(".history"));
}

/** A segment that begins at 0/1000000 with log up to `filledTo`, and zeros from there on. */
function streamed(filledTo: number): Buffer {
  return Buffer.concat([Buffer.alloc(filledTo, 0xd1), Buffer.alloc(0x20_0000 - filledTo)]);
}

describe("log of a timeline that a standby has not come to", () => {
  beforeEach(() => put(older, streamed(0x10_0000)));

  it.each([
    ["has ended long before its beginning", "0/110F030", 0x4_a000],
    ["has ended just at its beginning", "0/110F030", 0x10_f030],
    ["has ended behind the header of its page", "0/1110000", 0x11_0018],
  ])("is removed if it %s, so that the older one's is read", async (_, begin, filledTo) => {
    put("00000002.history", `1\t${begin}\tno recovery target specified\n`);
    put(newer, streamed(filledTo));
    expect(await dropUnreachedTimeline(dataDir)).toBe(newer);
    expect(left()).toEqual([older]);
  });

  it.each([
    ["holds its first record", "0/110F030", 0x10_f038],
    ["holds its first record, on a page of its own", "0/1110000", 0x11_0020],
    ["begins in an earlier segment", "0/FF0000", 0x4_a000],
  ])("stays if it %s", async (_, begin, filledTo) => {
    put("00000002.history", `1\t${begin}\tno recovery target specified\n`);
    put(newer, streamed(filledTo));
    expect(await dropUnreachedTimeline(dataDir)).toBeUndefined();
    expect(left()).toEqual([older, newer]);
  });

  it("stays if PostgreSQL does not know the timeline, or there is no other", async () => {
    put(newer, streamed(0x4_a000));
    expect(await dropUnreachedTimeline(dataDir)).toBeUndefined();
    rmSync(join(dataDir, "pg_wal", newer));
    expect(await dropUnreachedTimeline(dataDir)).toBeUndefined();
  });
});
