import { describe, expect, it } from "vitest";
import { epoch, timeline } from "../base/ids.ts";
import { lsn } from "../base/lsn.ts";
import type { History } from "../quorum/index.ts";
import { viewOf } from "./volume-view.ts";

/** [epoch, start] rows. */
function path(...rows: [number, number][]): History {
  return rows.map(([e, start]) => ({
    epoch: epoch(e),
    timeline: timeline(e),
    start: lsn(BigInt(start)),
    kind: "branch",
  }));
}

function node(history: History, scl: number, more: { base?: number; vdl?: [number, number] } = {}) {
  const [vdl, vdlEpoch] = more.vdl ?? [0, 0];
  return {
    history,
    scl: lsn(BigInt(scl)),
    base: lsn(BigInt(more.base ?? 0)),
    vdl: lsn(BigInt(vdl)),
    vdlEpoch: epoch(vdlEpoch),
  };
}

const old = path([1, 0]);
const now = path([1, 0], [2, 500]);

describe("what nodes say, put together", () => {
  it("is durable where four of the newest epoch have it", () => {
    const scls = [900, 880, 870, 860, 700, 600];
    expect(viewOf(scls.map((scl) => node(now, scl)))?.durable).toBe(860n);
  });

  it("is durable where one was told so, too, if fewer answer", () => {
    const three = [node(now, 900), node(now, 880, { vdl: [840, 2] }), node(now, 700)];
    expect(viewOf(three)?.durable).toBe(840n);
    expect(viewOf([node(now, 900)])?.durable).toBe(0n);
  });

  it("does not count a long log of an older epoch, nor what was said in it", () => {
    const states = [
      node(old, 9000, { vdl: [8000, 1] }),
      node(now, 900),
      node(now, 880),
      node(now, 870),
      node(now, 860, { vdl: [870, 2] }),
    ];
    expect(viewOf(states)).toMatchObject({ path: now, durable: 870n });
  });

  it("begins where any node that is on the path begins", () => {
    const states = [
      node(now, 900, { base: 300 }),
      node(now, 880, { base: 200 }),
      // Its log has left the path: what it has below counts for nothing.
      node(old, 800, { base: 100 }),
      // It lags, and is on the path as far as it goes.
      node(old, 400, { base: 250 }),
    ];
    expect(viewOf(states)?.from).toBe(200n);
  });

  it("is nothing where nobody answers, or nothing was ever written", () => {
    expect(viewOf([])).toBeUndefined();
    expect(viewOf([node([], 100)])).toBeUndefined();
  });
});
