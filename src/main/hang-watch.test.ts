import { describe, expect, it } from "vitest";
import { type HangMoment, HangWatch } from "./hang-watch.ts";

const stepMs = 1_000;
const limitMs = 5_000;

type Sights = (nowMs: number) => Partial<HangMoment>;

/** Looks each second from `fromMs` to `toMs`: when something else than waiting was to be done. */
function looks(watch: HangWatch, fromMs: number, toMs: number, sights: Sights = () => ({})) {
  const said: string[] = [];
  for (let nowMs = fromMs; nowMs <= toMs; nowMs += stepMs) {
    const verdict = watch.look({ nowMs, ours: undefined, its: undefined, ...sights(nowMs) });
    if (verdict !== "wait") said.push(`${nowMs} ${verdict}`);
  }
  return said;
}

const newWatch = (): HangWatch => new HangWatch({ limitMs, stepMs, nowMs: 0 });

/** One that has answered, and is asked at 1000. */
function answering(sights?: Sights): HangWatch {
  const watch = newWatch();
  looks(watch, 0, 0, sights);
  watch.answered();
  return watch;
}

describe("a process that is watched", () => {
  it("is asked at each look while it answers", () => {
    const watch = newWatch();
    for (let nowMs = 0; nowMs < 60_000; nowMs += stepMs) {
      expect(looks(watch, nowMs, nowMs)).toEqual([`${nowMs} ask`]);
      watch.answered();
    }
  });

  it("is hung, once, at the second look beyond the limit", () => {
    expect(looks(answering(), 1_000, 60_000)).toEqual(["1000 ask", "8000 hung"]);
  });

  it("is not where its answer was there, unread, at the first", () => {
    const watch = answering();
    expect(looks(watch, 1_000, 7_000)).toEqual(["1000 ask"]);
    watch.answered();
    expect(looks(watch, 8_000, 14_000)).toEqual(["8000 ask"]);
    expect(looks(watch, 15_000, 15_000)).toEqual(["15000 hung"]);
  });

  it("is starting until it has answered", () => {
    expect(looks(newWatch(), 0, 600_000)).toEqual(["0 ask"]);
  });

  it("is not silent while we do not run ourselves", () => {
    const watch = answering();
    expect(looks(watch, 1_000, 2_000)).toEqual(["1000 ask"]);
    expect(looks(watch, 3_600_000, 3_603_000)).toEqual([]);
    expect(looks(watch, 3_604_000, 3_605_000)).toEqual(["3605000 hung"]);
  });

  it("is hung where we are away again and again, too", () => {
    const watch = answering();
    const said: string[] = [];
    for (let nowMs = 1_000; nowMs <= 30_000; nowMs += 3_000)
      said.push(...looks(watch, nowMs, nowMs));
    expect(said).toEqual(["1000 ask", "22000 hung"]);
  });

  it("is silent for less where we hardly run, for a third at least", () => {
    // For each second that we waited for a processor we had one for a millisecond.
    const starved: Sights = (nowMs) => ({ ours: { ranMs: nowMs / 1_000, waitedMs: nowMs } });
    expect(looks(answering(starved), 1_000, 18_000, starved)).toEqual(["1000 ask", "18000 hung"]);
  });

  it("is not hung while it waits for a disk, and has all the time again afterwards", () => {
    const stalled: Sights = (nowMs) => ({ its: { ranMs: 0, isHeld: nowMs <= 60_000 } });
    expect(looks(answering(stalled), 1_000, 67_000, stalled)).toEqual(["1000 ask", "67000 hung"]);
  });

  it("has eight times as long while it works", () => {
    const working: Sights = (nowMs) => ({ its: { ranMs: nowMs / 2, isHeld: false } });
    expect(looks(answering(working), 1_000, 43_000, working)).toEqual(["1000 ask", "43000 hung"]);
  });
});
