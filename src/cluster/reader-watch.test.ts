import { describe, expect, it } from "vitest";
import { lsn } from "../base/lsn.ts";
import { ReaderWatch } from "./reader-watch.ts";

const life = "instance-2.7.1";

/** A watch over one reader, looked at as often as is meant. */
function make() {
  const watch = new ReaderWatch({ detectionMs: 2_000, stepMs: 250, nowMs: 0 });
  const seen = { durable: 100n, replayed: 100n, life, nowMs: 0 };
  const changes: number[] = [];
  /** `silentMs`: what its agent says each time; undefined: nothing. Gives whether it is silent at the end. */
  const during = (ms: number, silentMs: (nowMs: number) => number | undefined): boolean => {
    const untilMs = seen.nowMs + ms;
    while (seen.nowMs < untilMs) {
      seen.nowMs += 250;
      const told = silentMs(seen.nowMs);
      if (told !== undefined) watch.notePulse(seen.life, told, seen.nowMs);
      const readers = [{ life: seen.life, replayed: lsn(seen.replayed) }];
      const { nowMs } = seen;
      if (watch.judge(readers, { durable: lsn(seen.durable), nowMs })) changes.push(nowMs);
    }
    return watch.isSilent(seen.life);
  };
  during(250, () => 0);
  return { watch, seen, during, changes };
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
    expect(changes).toEqual([2_500]);
  });

  it("finds one silent whose agent says that its PostgreSQL is", () => {
    const { during } = make();
    expect(during(2_000, (nowMs) => nowMs - 250)).toBe(false);
    expect(during(250, (nowMs) => nowMs - 250)).toBe(true);
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
});
