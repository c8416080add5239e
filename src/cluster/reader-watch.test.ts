import { describe, expect, it } from "vitest";
import { lsn } from "../base/lsn.ts";
import { ReaderWatch, UnheardWatch } from "./reader-watch.ts";

const life = "instance-2.7.1";
const others = ["instance-3.7.1", "instance-4.7.1"];

/** A watch over one reader, and others that answer unless it is said otherwise; looked at as often as is meant. */
function make({ count = 1 } = {}) {
  const watch = new ReaderWatch({ detectionMs: 2_000, stepMs: 250, nowMs: 0 });
  const all = [life, ...others.slice(0, count)];
  const seen = { durable: 100n, replayed: 100n, life, nowMs: 0, isWriterWell: false };
  const changes: number[] = [];
  type Silence = (nowMs: number) => number | undefined;
  const during = (ms: number, silentMs: Silence, ofOthers: Silence[] = []): boolean => {
    const untilMs = seen.nowMs + ms;
    while (seen.nowMs < untilMs) {
      seen.nowMs += 250;
      const { nowMs } = seen;
      const lives = [seen.life, ...all.slice(1)];
      for (const [index, one] of lives.entries()) {
        const told = index === 0 ? silentMs : (ofOthers[index - 1] ?? well);
        const answer = told(nowMs);
        if (answer !== undefined) watch.notePulse(one, answer, nowMs);
      }
      const readers = lives.map((one) => ({ life: one, replayed: lsn(seen.replayed) }));
      const writerHeardMs = seen.isWriterWell ? nowMs : undefined;
      if (watch.judge(readers, { durable: lsn(seen.durable), nowMs, writerHeardMs }))
        changes.push(nowMs);
    }
    return watch.isSilent(seen.life);
  };
  during(500, well);
  changes.length = 0;
  return { watch, seen, during, changes, silent: () => all.filter((one) => watch.isSilent(one)) };
}

const well = (): number => 0;
const frozen = (): undefined => undefined;

describe("the watch over readers", () => {
  it("leaves one alone that answers, however slowly", () => {
    const { during, changes } = make();
    expect(during(60_000, () => 1_900)).toBe(false);
    expect(during(250, well)).toBe(false);
    expect(during(60_000, (nowMs) => (nowMs % 2_000 === 0 ? 0 : undefined))).toBe(false);
    expect(changes).toEqual([]);
  });

  it("finds one silent whose agent says nothing, after the time that was set", () => {
    const { during, changes } = make();
    expect(during(2_000, frozen)).toBe(false);
    expect(during(250, frozen)).toBe(true);
    expect(during(60_000, frozen)).toBe(true);
    expect(changes).toEqual([2_750]);
  });

  it("finds one silent whose agent says that its PostgreSQL is", () => {
    const { during } = make();
    expect(during(2_000, (nowMs) => nowMs - 500)).toBe(false);
    expect(during(250, (nowMs) => nowMs - 500)).toBe(true);
  });

  it("does not take for silence that it did not run itself", () => {
    const { seen, during, changes } = make();
    seen.nowMs += 30_000;
    expect(during(1_500, frozen)).toBe(false);
    expect(during(10_000, well)).toBe(false);
    expect(changes).toEqual([]);
  });

  it("lets one come back that has answered for as long, and not one that comes and goes", () => {
    const { during } = make();
    expect(during(5_000, frozen)).toBe(true);
    for (let round = 0; round < 5; round++) {
      expect(during(1_500, well)).toBe(true);
      expect(during(4_000, frozen)).toBe(true);
    }
    expect(during(2_000, well)).toBe(true);
    expect(during(250, well)).toBe(false);
  });

  it("lets one come back once it has replayed what was durable when it had answered for as long", () => {
    const { seen, during } = make();
    expect(during(5_000, frozen)).toBe(true);
    seen.durable = 200n;
    expect(during(2_000, well)).toBe(true);
    expect(during(1_000, well)).toBe(true);
    // The log goes on, and it is not to be chased for ever.
    seen.durable = 300n;
    seen.replayed = 200n;
    expect(during(250, well)).toBe(false);
  });

  it("leaves one to the bound of lag that answers and does not catch up", () => {
    const { seen, during } = make();
    expect(during(5_000, frozen)).toBe(true);
    seen.durable = 200n;
    expect(during(10_000, well)).toBe(true);
    expect(during(750, well)).toBe(false);
  });

  it("begins anew with each start of its PostgreSQL, and forgets who is gone", () => {
    const { watch, seen, during } = make();
    expect(during(5_000, frozen)).toBe(true);
    seen.life = "instance-2.7.2";
    expect(during(250, frozen)).toBe(false);
    expect(watch.isSilent(life)).toBe(false);
  });

  it("leaves nobody out while nobody answers promptly: it is the machine", () => {
    const { during, silent } = make({ count: 2 });
    expect(during(60_000, frozen, [frozen, frozen])).toBe(false);
    expect(during(60_000, frozen, [() => 1_500, () => 1_500])).toBe(false);
    expect(silent()).toEqual([]);
  });

  it("leaves out one after the other, and the last one after twice the time if the writer answers", () => {
    const { seen, during, changes, silent } = make({ count: 2 });
    during(2_250, frozen, [frozen, well]);
    expect(silent()).toHaveLength(1);
    during(1_750, frozen, [frozen, well]);
    expect(silent()).toHaveLength(1);
    during(250, frozen, [frozen, well]);
    expect(silent()).toEqual([life, others[0]]);
    // Those two do not count: they answer nobody. The writer does not answer, either.
    during(20_000, frozen, [frozen, frozen]);
    expect(silent()).toEqual([life, others[0]]);
    seen.isWriterWell = true;
    during(250, frozen, [frozen, frozen]);
    expect(silent()).toEqual([life, ...others]);
    expect(changes).toHaveLength(3);
  });

  it("keeps a single one for twice as long, though the writer answers", () => {
    const { seen, during } = make({ count: 0 });
    seen.isWriterWell = true;
    expect(during(4_000, frozen)).toBe(false);
    expect(during(250, frozen)).toBe(true);
  });

  it("takes the word of one that is new to it, but for a second in which that can answer", () => {
    const ill = make();
    ill.seen.life = "instance-2.7.2";
    expect(ill.during(1_500, () => 60_000)).toBe(false);
    expect(ill.during(250, () => 60_000)).toBe(true);
    const fine = make();
    fine.seen.life = "instance-2.7.2";
    // Nobody had asked its PostgreSQL for a while.
    expect(fine.during(500, () => 60_000)).toBe(false);
    expect(fine.during(60_000, well)).toBe(false);
  });

  it("has one show first that it answers whose agent said nothing before", () => {
    const watch = new ReaderWatch({ detectionMs: 2_000, stepMs: 250, nowMs: 0 });
    for (let nowMs = 250; nowMs <= 3_000; nowMs += 250) {
      const reader = { life, replayed: lsn(100n), wasUnheard: nowMs === 250 };
      watch.judge([reader], { durable: lsn(100n), nowMs });
      watch.notePulse(life, 0, nowMs);
      expect(watch.isSilent(life)).toBe(nowMs < 2_250);
    }
  });
});

describe("the watch over agents that were never heard", () => {
  it("finds one silent that says nothing, not one that speaks or is gone, and counts no pause of our own", () => {
    const watch = new UnheardWatch({ maxMs: 3_000, stepMs: 250, nowMs: 0 });
    let nowMs = 0;
    const during = (ms: number, ids: string[]): boolean => {
      const untilMs = nowMs + ms;
      let hasChanged = false;
      while (nowMs < untilMs) hasChanged = watch.look(ids, (nowMs += 250)) || hasChanged;
      return hasChanged;
    };
    during(2_500, ["a", "b"]);
    nowMs += 60_000;
    expect(during(250, ["b"])).toBe(false);
    expect(during(250, ["a", "b"])).toBe(true);
    expect([watch.isSilent("a"), watch.isSilent("b")]).toEqual([false, true]);
    expect(during(250, ["a"])).toBe(true);
    expect(watch.isSilent("b")).toBe(false);
  });
});
