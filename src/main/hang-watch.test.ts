import { expect, it } from "vitest";
import { HangWatch } from "./hang-watch.ts";

const stepMs = 1_000;
const limitMs = 5_000;

/** Looks each second from `fromMs` to `toMs`: when something else than waiting was to be done. */
function looks(
  watch: HangWatch,
  [fromMs, toMs]: readonly [number, number],
  cpu: (nowMs: number) => Parameters<HangWatch["look"]>[1] = () => undefined,
): string[] {
  const said: string[] = [];
  for (let nowMs = fromMs; nowMs <= toMs; nowMs += stepMs) {
    const verdict = watch.look(nowMs, cpu(nowMs));
    if (verdict !== "wait") said.push(`${nowMs} ${verdict}`);
  }
  return said;
}

const newWatch = (): HangWatch => new HangWatch({ limitMs, stepMs, nowMs: 0 });

it("asks one that answers each time it looks", () => {
  const watch = newWatch();
  for (let nowMs = 0; nowMs < 60_000; nowMs += stepMs) {
    expect(watch.look(nowMs, undefined)).toBe("ask");
    watch.answered();
  }
});

it("says that one hangs which has answered before, beyond the limit and no sooner", () => {
  const watch = newWatch();
  watch.look(0, undefined);
  watch.answered();
  expect(looks(watch, [1_000, 7_000])).toEqual(["1000 ask", "7000 hung"]);
});

it("says nothing of one that has not answered yet: it is starting", () => {
  expect(looks(newWatch(), [0, 600_000])).toEqual(["0 ask"]);
});

it("takes what comes late for an answer", () => {
  const watch = newWatch();
  watch.look(0, undefined);
  watch.answered();
  expect(looks(watch, [1_000, 5_000])).toEqual(["1000 ask"]);
  watch.answered();
  expect(looks(watch, [6_000, 12_000])).toEqual(["6000 ask", "12000 hung"]);
});

it("does not count moments in which we did not run ourselves", () => {
  const watch = newWatch();
  watch.look(0, undefined);
  watch.answered();
  expect(looks(watch, [1_000, 2_000])).toEqual(["1000 ask"]);
  // Stopped for an hour: the answer may be there, unread.
  expect(looks(watch, [3_600_000, 3_605_000])).toEqual([]);
  expect(watch.look(3_606_000, undefined)).toBe("hung");
});

it("counts less of a silence where we hardly run ourselves, a third of it always", () => {
  // For each second that we waited for a processor we had one for a millisecond.
  const starved = (nowMs: number) => ({ ranMs: nowMs / 1_000, waitedMs: nowMs });
  const watch = newWatch();
  watch.look(0, starved(0));
  watch.answered();
  expect(looks(watch, [1_000, 17_000], starved)).toEqual(["1000 ask", "17000 hung"]);
});
