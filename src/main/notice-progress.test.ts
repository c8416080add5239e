import { describe, expect, it } from "vitest";
import type { Clock } from "../io/index.ts";
import { NoticeProgress } from "./notice-progress.ts";

/** Moved by hand. */
class HandClock implements Clock {
  private ms = 0;
  private timers: { atMs: number; fn: () => void }[] = [];
  nowMs = (): number => this.ms;
  wallMs = (): number => this.ms;
  awakeOrAsleepMs = (): number => this.ms;
  after(delayMs: number, fn: () => void): { cancel: () => void } {
    const timer = { atMs: this.ms + delayMs, fn };
    this.timers.push(timer);
    return { cancel: () => void (this.timers = this.timers.filter((one) => one !== timer)) };
  }
  async pass(ms: number): Promise<void> {
    this.ms += ms;
    const due = this.timers.filter(({ atMs }) => atMs <= this.ms);
    this.timers = this.timers.filter(({ atMs }) => atMs > this.ms);
    for (const { fn } of due) fn();
    await new Promise((resolve) => setImmediate(resolve));
  }
  get pending(): number {
    return this.timers.length;
  }
}

describe("notices of progress", () => {
  it("come once a second at most, with something new, until it is over", async () => {
    const clock = new HandClock();
    const told: string[] = [];
    const over = new AbortController();
    const progress = new NoticeProgress(clock, (text) => told.push(text), over.signal);
    progress.begin("waiting");
    await clock.pass(500);
    expect(told).toEqual([]);
    await clock.pass(500);
    await clock.pass(1_000);
    expect(told).toEqual(["waiting"]);
    progress.begin("copying", 10_240);
    for (let count = 1; count <= 10; count++) {
      await clock.pass(100);
      progress.at(512 * count);
    }
    await clock.pass(1_000);
    expect(told.slice(1)).toEqual([
      "copying: 4.5 KiB of 10.0 KiB (45 %), 4.5 KiB/s, 2 s left",
      "copying: 5.0 KiB of 10.0 KiB (50 %), 2.5 KiB/s, 2 s left",
    ]);
    progress.end();
    await clock.pass(1_000);
    expect(told).toHaveLength(3);
    over.abort();
    expect(clock.pending).toBe(0);
  });
});
