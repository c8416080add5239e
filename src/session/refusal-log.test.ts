import { expect, it } from "vitest";
import { type RefusalFacts, RefusalLog } from "./refusal-log-shell.ts";

/** Its one timer is due when a test says so. */
class OneTimer {
  private due: (() => void) | undefined;

  nowMs(): number {
    return 0;
  }

  awakeOrAsleepMs(): number {
    return 0;
  }

  wallMs(): number {
    return 0;
  }

  after(_delayMs: number, fn: () => void): { cancel: () => void } {
    this.due = fn;
    return { cancel: () => (this.due = undefined) };
  }

  ring(): boolean {
    const { due } = this;
    due?.();
    return due !== undefined;
  }
}

it("tells what it has counted when its time is over, though nothing more comes, and at the end", () => {
  const clock = new OneTimer();
  const told: RefusalFacts[] = [];
  const log = new RefusalLog(clock, { ofKindMax: 2 }, (facts) => told.push(facts));
  for (let which = 0; which < 10_000; which++) log.note("a", { remote: `a:${which}` });
  expect(told).toEqual([{ remote: "a:0" }, { remote: "a:1" }]);
  expect(clock.ring()).toBe(true);
  expect(told.slice(2)).toEqual([{ remote: "a:9999", count: 9_998 }]);
  expect(clock.ring()).toBe(false);
  for (let which = 0; which < 201; which++) log.note(`${which}`, { remote: `b${which}` });
  log.close();
  expect(told).toHaveLength(3 + 200 + 1);
  expect(told.at(-1)).toEqual({ remote: "many", count: 1 });
  expect(clock.ring()).toBe(false);
});
