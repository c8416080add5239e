import { describe, expect, it } from "vitest";
import { MemoryStore } from "../../test/helpers/memory-store.ts";
import { BorealisError, sqlState } from "../base/errors.ts";
import { epoch, timeline, volumeId } from "../base/ids.ts";
import { lsn } from "../base/lsn.ts";
import { ExtentSealer } from "./extent-sealer-shell.ts";
import type { LogPath } from "./log-path.ts";
import { Replicas } from "./replicas-shell.ts";
import { isUsable, usableSnapshots } from "./usable-snapshot-shell.ts";

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

describe("where there is none in the stores that answer", () => {
  const search = async (away: readonly boolean[]) => {
    const stores = away.map((isAway, n) => {
      const store = new MemoryStore(`store-${n}`);
      if (isAway) store.failure = new BorealisError(sqlState.ioError, `store-${n} is away`);
      return store;
    });
    const told: string[] = [];
    const found = usableSnapshots({
      ...wish,
      stores,
      replicas: new Replicas({ stores, isSafe: () => true }),
      sealer: new ExtentSealer({
        volumeId: volumeId("11111111-2222-3333-4444-555555555555"),
        keys: undefined,
      }),
      onUnlisted: ({ message }) => void told.push(message),
      signal: new AbortController().signal,
    });
    const { done } = await found.next();
    return { done, told };
  };

  it("says which one does not: that may have one", async () => {
    expect(await search([false, false])).toEqual({ done: true, told: [] });
    expect(await search([false, true])).toEqual({ done: true, told: ["store-1 is away"] });
    await expect(search([true, true])).rejects.toThrow("store-0 is away");
  });
});
