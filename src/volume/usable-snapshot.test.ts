import { describe, expect, it } from "vitest";
import { epoch, timeline } from "../base/ids.ts";
import { lsn } from "../base/lsn.ts";
import type { LogPath } from "./log-path.ts";
import { isUsable } from "./usable-snapshot-shell.ts";

const mebi = 1n << 20n;
const first: LogPath = [{ epoch: epoch(1), timeline: timeline(1), start: lsn(0n), kind: "branch" }];
const snapshot = { startLsn: lsn(40n * mebi), endLsn: lsn(50n * mebi), history: first };
const wish = { path: first, at: lsn(50n * mebi), base: lsn(32n * mebi) };

describe("a snapshot can be used to build an instance", () => {
  it("when it ends at or before the place and its log is there", () => {
    expect(isUsable(snapshot, wish)).toBe(true);
    expect(isUsable(snapshot, { ...wish, at: undefined })).toBe(true);
  });
  it("and not when it holds what lies beyond", () => {
    expect(isUsable(snapshot, { ...wish, at: lsn(50n * mebi - 1n) })).toBe(false);
  });
  it("and not when the segment that its log begins in has been dropped", () => {
    expect(isUsable(snapshot, { ...wish, base: lsn(33n * mebi) })).toBe(false);
  });
  it("and not when the volume has left its history within it", () => {
    const next = { epoch: epoch(2), timeline: timeline(2), kind: "branch" as const };
    const path = (start: bigint): LogPath => [...first, { ...next, start: lsn(start) }];
    expect(isUsable(snapshot, { ...wish, path: path(50n * mebi) })).toBe(true);
    expect(isUsable(snapshot, { ...wish, path: path(50n * mebi - 8n) })).toBe(false);
  });
});
