import { describe, expect, it } from "vitest";
import { newState } from "../../test/helpers/cluster-state.ts";
import {
  branched,
  clonesMax,
  liveClones,
  released,
  releasedPins,
  requireClone,
  withClone,
} from "./clones.ts";
import type { ClusterState } from "./state.ts";

const empty = newState();
const createdAt = "2026-01-02T00:00:00Z";
const pinOf = (n: number): string => `99999999-0000-4000-8000-${String(n).padStart(12, "0")}`;
const aClone = (n: number) => ({ pinId: pinOf(n), dataDir: `/data/c${n}`, createdAt });

function withClones(count: number): ClusterState {
  let state = empty;
  for (let n = 1; n <= count; n++) state = withClone(state, aClone(n));
  return state;
}

describe("the clones of a volume", () => {
  it("are known before they branch off, and then where", () => {
    // Whatever else is known of an order is not written down.
    const asked = withClone(empty, Object.assign(aClone(1), { to: "0/1" }));
    expect(liveClones(asked)).toEqual([{ ...aClone(1), lsn: null }]);
    // Whoever asks again, asks for the same.
    expect(withClone(asked, aClone(1))).toBe(asked);
    expect(liveClones(branched(asked, pinOf(1), "0/5000"))[0]?.lsn).toBe("0/5000");
  });

  it("are fifteen at most, and one that is released makes room", () => {
    const full = withClones(clonesMax);
    expect(() => withClone(full, aClone(16))).toThrow(/15 clones/);
    const freed = released(full, pinOf(3));
    expect(liveClones(withClone(freed, aClone(16)))).toHaveLength(clonesMax);
    expect(releasedPins(freed)).toEqual([pinOf(3)]);
  });

  it("are remembered when they are released, even ones that nobody knew; but not for ever", () => {
    expect(releasedPins(released(empty, pinOf(7)))).toEqual([pinOf(7)]);
    let state = withClones(1);
    for (let n = 100; n < 300; n++) state = released(state, pinOf(n));
    expect(releasedPins(state)).toHaveLength(100);
    expect(releasedPins(state).at(-1)).toBe(pinOf(299));
    expect(liveClones(state)).toHaveLength(1);
    // Twice is once.
    expect(released(state, pinOf(299)).clones).toHaveLength(101);
  });

  it("are called by their directory, or by as much of their id as is clear", () => {
    const clones = liveClones(withClones(3));
    expect(requireClone(clones, "/data/c2").pinId).toBe(pinOf(2));
    expect(requireClone(clones, pinOf(3)).dataDir).toBe("/data/c3");
    expect(() => requireClone(clones, "99999999")).toThrow(/may be several/);
    expect(() => requireClone(clones, "/data/c9")).toThrow(/no clone/);
    expect(requireClone(clones.slice(0, 1), "9999").pinId).toBe(pinOf(1));
  });
});
