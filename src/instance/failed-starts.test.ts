import { expect, it } from "vitest";
import { FailedStarts } from "./failed-starts.ts";

const damaged = {
  detail: 'PANIC:  could not open file "global/pg_control": No such file or directory',
};
const full = { detail: "FATAL:  could not write lock file: No space left on device" };

it("has a cache built anew after two starts that PostgreSQL has ended, and not over and over", () => {
  const starts = new FailedStarts();
  expect([1, 2, 3, 4].map(() => starts.note(damaged))).toEqual([false, true, false, false]);
  starts.clear();
  expect([1, 2].map(() => starts.note(damaged))).toEqual([false, true]);
});

it("does not count what another cache would not change", () => {
  const starts = new FailedStarts();
  expect([full, full, full].map((one) => starts.note(one))).toEqual([false, false, false]);
  const killed = {
    detail: "LOG:  startup process (PID 7) was terminated by signal 9: Killed\nLOG:  aborting",
  };
  expect([damaged, full, killed, damaged].map((one) => starts.note(one))).toEqual([
    false,
    false,
    false,
    true,
  ]);
});

it("counts none before a start that came right", () => {
  const starts = new FailedStarts();
  starts.note(damaged);
  starts.clear();
  expect(starts.note(damaged)).toBe(false);
});
