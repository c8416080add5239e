import { expect, it } from "vitest";
import type { ArchiveReport } from "../keeper/index.ts";
import { ArchiveWatch } from "./archive-watch.ts";

const report: ArchiveReport = {
  isOn: true,
  hasBase: true,
  epoch: 1,
  archivedLsn: "0/1000000",
  lagBytes: 0,
  latestTime: "2026-01-01T00:00:00.000Z",
  earliestTime: null,
  problem: null,
};

it("what can be restored stays so while nobody says anything, and is nothing without a snapshot", () => {
  const watch = new ArchiveWatch();
  expect(watch.latestTime).toBeNull();
  watch.take(report);
  watch.take(undefined);
  // A keeper that has just begun does not know yet.
  watch.take({ ...report, latestTime: null });
  expect(watch.latestTime).toBe(report.latestTime);
  watch.take({ ...report, latestTime: null, hasBase: false });
  watch.take(undefined);
  expect(watch.latestTime).toBeNull();
  watch.take(report);
  expect(watch.latestTime).toBe(report.latestTime);
});
