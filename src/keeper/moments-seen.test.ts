import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { epoch } from "../base/ids.ts";
import { lsn } from "../base/lsn.ts";
import { MomentsSeen } from "./moments-seen.ts";

function see(moments: MomentsSeen, vdl: number, atMs: number): void {
  moments.see({ epoch: epoch(1), lsn: lsn(BigInt(vdl)), atMs });
}

function seen(...sightings: [vdl: number, atMs: number][]): MomentsSeen {
  const moments = new MomentsSeen();
  for (const [vdl, atMs] of sightings) see(moments, vdl, atMs);
  return moments;
}

describe("the moment up to which everything is archived", () => {
  it("is that of the last sighting that the archive has passed", () => {
    const moments = seen([100, 1], [200, 2], [300, 3]);
    expect(moments.latest?.atMs).toBeUndefined();
    moments.reach(lsn(99n));
    expect(moments.latest?.atMs).toBeUndefined();
    moments.reach(lsn(200n));
    expect(moments.latest?.atMs).toBe(2);
    moments.reach(lsn(299n));
    expect(moments.latest?.atMs).toBe(2);
    moments.reach(lsn(300n));
    expect(moments.latest?.atMs).toBe(3);
  });

  it("goes on while nothing is written", () => {
    const moments = seen([100, 1]);
    moments.reach(lsn(100n));
    for (let atMs = 2; atMs < 10; atMs++) {
      see(moments, 100, atMs);
      moments.reach(lsn(100n));
      expect(moments.latest?.atMs).toBe(atMs);
    }
  });

  it("does not wait for log that a backtrack has removed, nor goes back", () => {
    const moments = seen([100, 1], [900, 2]);
    moments.reach(lsn(100n));
    see(moments, 120, 3);
    moments.reach(lsn(120n));
    expect(moments.latest?.atMs).toBe(3);
    // A clock that was set back says nothing.
    see(moments, 130, 2);
    moments.reach(lsn(130n));
    expect(moments.latest?.atMs).toBe(3);
  });

  it("is never later than what one who forgets nothing would say, and gets there", () => {
    const steps = fc.array(fc.tuple(fc.nat(3), fc.boolean()), { minLength: 1, maxLength: 3000 });
    fc.assert(
      fc.property(steps, (all) => {
        const moments = new MomentsSeen();
        const every: [number, number][] = [];
        let [vdl, archived] = [0, 0];
        for (const [i, [grown, isArchived]] of all.entries()) {
          vdl += grown;
          every.push([vdl, i]);
          see(moments, vdl, i);
          if (isArchived && i % 700 === 0) archived = vdl;
          moments.reach(lsn(BigInt(archived)));
          const best = every.findLast(([at]) => at <= archived)?.[1] ?? -1;
          expect(moments.latest?.atMs ?? -1).toBeLessThanOrEqual(best);
        }
        moments.reach(lsn(BigInt(vdl)));
        expect(moments.latest?.atMs).toBe(all.length - 1);
      }),
      { numRuns: 20 },
    );
  });
});
