import { describe, expect, it } from "vitest";
import { MemoryStore } from "../../test/helpers/memory-store.ts";
import { epoch, timeline, volumeId } from "../base/ids.ts";
import { type Lsn, lsn } from "../base/lsn.ts";
import { ExtentSealer } from "./extent-sealer-shell.ts";
import type { PathEntry } from "./log-path.ts";
import { reachedObject } from "./object-names.ts";
import { encodeReached, isReachedBy, parseReached } from "./reached-moment.ts";
import { readReached, writeReached } from "./reached-moment-shell.ts";

const at = (value: number): Lsn => lsn(BigInt(value));
const atMs = Date.parse("2026-01-02T03:04:05.678Z");
const reached = { epoch: epoch(2), lsn: at(500), atMs };
const sealer = new ExtentSealer({
  volumeId: volumeId("11111111-2222-3333-4444-555555555555"),
  keys: undefined,
});

function entry(of: number, start: number, kind: PathEntry["kind"] = "branch"): PathEntry {
  return { epoch: epoch(of), timeline: timeline(of), start: at(start), kind };
}

describe("a moment that an archive reaches", () => {
  it("comes back as it was written", async () => {
    const store = new MemoryStore("objects");
    expect(await readReached(store, sealer)).toBeUndefined();
    await writeReached(store, sealer, reached);
    expect(await readReached(store, sealer)).toEqual(reached);
  });

  it("says nothing when a bit of it has flipped, or it was cut", async () => {
    const store = new MemoryStore("objects");
    await writeReached(store, sealer, reached);
    const whole = store.kept.get(reachedObject) ?? Buffer.alloc(0);
    for (let bit = 0; bit < whole.length * 8; bit++) {
      const bad = Buffer.from(whole);
      bad[bit >> 3] = (bad[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      store.kept.set(reachedObject, bad);
      expect(await readReached(store, sealer), `bit ${bit}`).toBeUndefined();
    }
    for (let length = 0; length < whole.length; length++) {
      store.kept.set(reachedObject, whole.subarray(0, length));
      expect(await readReached(store, sealer), `${length} bytes`).toBeUndefined();
    }
  });

  it.each([
    ["another format", { format: 2 }],
    ["no format", { format: undefined }],
    ["no epoch", { epoch: "3" }],
    ["an epoch that cannot be", { epoch: -1 }],
    ["no LSN", { lsn: "here" }],
    ["no time", { at: "soon" }],
  ])("says nothing with %s", (_, changes) => {
    const fields = JSON.parse(encodeReached(reached).toString()) as object;
    expect(parseReached(Buffer.from(JSON.stringify({ ...fields, ...changes })))).toBeUndefined();
    for (const text of ["null", "7", "[]", "{"])
      expect(parseReached(Buffer.from(text))).toBeUndefined();
  });

  it("counts where the path has that LSN in that epoch, and the log is there", () => {
    const path = [entry(1, 100), entry(2, 300)];
    const isReached = (...more: PathEntry[]): boolean =>
      isReachedBy(reached, { path: [...path, ...more], to: at(900) });
    expect(isReached()).toBe(true);
    expect(isReachedBy(reached, { path, to: at(500) })).toBe(true);
    expect(isReachedBy(reached, { path, to: at(499) })).toBe(false);
    expect(isReached(entry(3, 500))).toBe(true);
    expect(isReached(entry(3, 700, "backtrack"))).toBe(true);
    // What it speaks of was left.
    expect(isReached(entry(3, 400, "backtrack"))).toBe(false);
    expect(isReachedBy(reached, { path: [entry(1, 100), entry(4, 600)], to: at(900) })).toBe(false);
    expect(isReachedBy(reached, { path: [entry(2, 600)], to: at(900) })).toBe(false);
    expect(isReachedBy(reached, { path: [], to: at(900) })).toBe(false);
  });
});
