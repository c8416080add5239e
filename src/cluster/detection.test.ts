import { describe, expect, it } from "vitest";
import type { InstanceStatus } from "../instance/index.ts";
import { WriterWatch } from "./detection.ts";

const open = { role: "writer", isAdmitted: true } as InstanceStatus; // what is read of a status
const dying = { role: "writer", isAdmitted: false } as InstanceStatus;
const none = { role: "none", isAdmitted: false } as InstanceStatus;

function make(): WriterWatch {
  return new WriterWatch({ detectionMs: 2_000, stepMs: 250, nowMs: 0 });
}

/** Judges as often as is meant, from `fromMs` on; when it was lost first, or undefined. */
function lostAt(
  watch: WriterWatch,
  { fromMs, toMs, pulse }: { fromMs: number; toMs: number; pulse?: (nowMs: number) => void },
): number | undefined {
  for (let nowMs = fromMs; nowMs <= toMs; nowMs += 250) {
    pulse?.(nowMs);
    if (watch.judge(nowMs)) return nowMs;
  }
  return undefined;
}

describe("the watch over the writer", () => {
  it.each([
    ["its PostgreSQL dies", dying],
    ["its agent has no role any more", none],
    ["the line to its agent is gone", undefined],
  ])("sees at once that %s", (_, status) => {
    const watch = make();
    watch.noteStatus(open, 10);
    expect(watch.judge(20)).toBe(undefined);
    watch.noteStatus(status, 30);
    expect(watch.judge(30)).toBe("ended");
  });

  it("lets one live that answers", () => {
    const watch = make();
    watch.noteStatus(open, 0);
    const pulse = (nowMs: number): void => watch.notePulse(900, nowMs);
    expect(lostAt(watch, { fromMs: 0, toMs: 60_000, pulse })).toBe(undefined);
  });

  it("gives one up whose agent does not answer, after the time that was set", () => {
    const watch = make();
    watch.noteStatus(open, 0);
    expect(lostAt(watch, { fromMs: 0, toMs: 9_000 })).toBe(2_250);
    expect(watch.judge(9_250)).toBe("silent");
  });

  it("gives one up whose agent answers that PostgreSQL does not", () => {
    const watch = make();
    watch.noteStatus(open, 0);
    const pulse = (nowMs: number): void => watch.notePulse(nowMs, nowMs);
    expect(lostAt(watch, { fromMs: 0, toMs: 9_000, pulse })).toBe(2_250);
  });

  it("lets an agent take longer where everything does, and its PostgreSQL no longer than that one says", () => {
    const third = (ms: number): number => ms / 3;
    const watch = make();
    watch.noteStatus(open, 0);
    for (let nowMs = 0; nowMs <= 6_000; nowMs += 250)
      expect(watch.judge(nowMs, third)).toBe(undefined);
    expect(watch.judge(6_250, third)).toBe("silent");
    const other = make();
    other.noteStatus(open, 0);
    let lostMs = 0;
    for (let nowMs = 0; lostMs === 0 && nowMs < 9_000; nowMs += 250) {
      other.notePulse(nowMs, nowMs);
      if (other.judge(nowMs, third)) lostMs = nowMs;
    }
    expect(lostMs).toBe(2_250);
  });

  it("does not take for silence that it did not run itself", () => {
    const watch = make();
    watch.noteStatus(open, 0);
    watch.judge(0);
    expect(watch.judge(60_000)).toBe(undefined);
    expect(lostAt(watch, { fromMs: 60_250, toMs: 90_000 })).toBeGreaterThan(61_500);
  });

  it("lets one recover for as long as it takes, if its agent answers", () => {
    const watch = make();
    watch.noteStatus(dying, 0);
    const pulse = (nowMs: number): void => watch.notePulse(0, nowMs);
    expect(lostAt(watch, { fromMs: 0, toMs: 600_000, pulse })).toBe(undefined);
    watch.noteStatus(none, 600_250);
    expect(watch.judge(600_250)).toBe(undefined);
  });

  it("does not take what a starting one said last for a sign of life", () => {
    const watch = make();
    const repeat = (): void => watch.noteStatus(dying, 0);
    expect(lostAt(watch, { fromMs: 0, toMs: 60_000, pulse: repeat })).toBe(10_250);
  });

  it("heeds only the silence of its agent while a job may stop it", () => {
    const watch = make();
    watch.noteStatus(open, 0);
    watch.expectEnd(10);
    expect(watch.judge(20)).toBe(undefined);
    const pulse = (nowMs: number): void => {
      watch.expectEnd(nowMs);
      if (nowMs < 30_000) watch.notePulse(0, nowMs);
    };
    expect(lostAt(watch, { fromMs: 0, toMs: 60_000, pulse })).toBe(40_000);
  });

  it("lets one start again that was asked to, while its agent answers, and gives it up when that does not", () => {
    const watch = make();
    watch.noteStatus(open, 0);
    const pulse = (nowMs: number): void => {
      watch.expectRestart(none);
      if (nowMs < 30_000) watch.notePulse(0, nowMs);
    };
    expect(lostAt(watch, { fromMs: 0, toMs: 60_000, pulse })).toBe(32_000);
    expect(watch.judge(32_250)).toBe("silent");
  });

  it("sees at once that the agent of one that starts again is gone", () => {
    const watch = make();
    watch.noteStatus(open, 0);
    watch.expectRestart(none);
    expect(watch.judge(10)).toBe(undefined);
    watch.expectRestart(undefined);
    expect(watch.judge(20)).toBe("ended");
  });

  it("waits longer for one that was never heard", () => {
    expect(lostAt(make(), { fromMs: 0, toMs: 60_000 })).toBe(10_250);
  });

  it("begins anew when another is appointed, and when the lost one opens again", () => {
    const watch = make();
    watch.noteStatus(open, 0);
    watch.noteStatus(none, 10);
    watch.reset(20);
    expect(watch.judge(30)).toBe(undefined);
    watch.noteStatus(open, 40);
    watch.noteStatus(none, 50);
    watch.noteStatus(open, 60);
    expect(watch.judge(70)).toBe(undefined);
  });
});
