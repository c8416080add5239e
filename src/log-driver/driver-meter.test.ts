import { describe, expect, it } from "vitest";
import { countOf } from "../base/histogram.ts";
import { lsn } from "../base/lsn.ts";
import { DriverCounts } from "./driver-figures.ts";
import { DriverMeter } from "./driver-meter.ts";

const wallMs = 1_700_000_000_000;

/** A driver's day: its fine clock begins at 0, at `wallMs`. */
function aMeter() {
  const counts = new DriverCounts();
  const meter = new DriverMeter(counts);
  let bytes = 0;
  return {
    counts,
    meter,
    /** Log up to `end` comes, with commits that were made at these moments of the fine clock. */
    read(end: bigint, nowMs: number, ...madeMs: number[]): void {
      meter.arrived(nowMs, wallMs + nowMs);
      for (const ms of madeMs) meter.commitSeen(wallMs + ms);
      bytes += 10;
      meter.received(lsn(end), bytes);
    },
  };
}

describe("the time that commits wait in a log driver", () => {
  it("is that of each commit, by what it waits for", () => {
    const { counts, meter, read } = aMeter();
    read(100n, 10, 9, 7);
    read(200n, 11, 10.5);
    meter.sent(lsn(50n), { nowMs: () => 11.5 });
    meter.sent(lsn(100n), { nowMs: () => 12 });
    // Another node: it is no news.
    meter.sent(lsn(100n), { nowMs: () => 13 });
    meter.sent(lsn(200n), { nowMs: () => 15 });
    meter.durable(lsn(150n), 16);
    meter.durable(lsn(200n), 18);
    const { commits, logBytes, parts, durable } = counts.figures;
    expect({ commits, logBytes }).toEqual({ commits: 3, logBytes: 20 });
    expect(parts.postgresql.sumMs).toBeCloseTo(1 + 3 + 0.5);
    expect(parts.driver.sumMs).toBe(2 + 2 + 4);
    expect(parts.nodes.sumMs).toBe(4 + 4 + 3);
    expect(durable.sumMs).toBe(6 + 6 + 7);
    for (const part of [parts.postgresql, parts.driver, parts.nodes, durable])
      expect(countOf(part)).toBe(3);
  });

  it("is not measured of log without commits, which is counted as bytes", () => {
    const { counts, meter, read } = aMeter();
    read(100n, 10);
    meter.sent(lsn(100n), { nowMs: () => 11 });
    meter.durable(lsn(100n), 12);
    expect(countOf(counts.figures.durable)).toBe(0);
    expect(counts.figures.logBytes).toBe(10);
  });

  it("is nobody's before the commit was made, whatever the clocks say", () => {
    const { counts, read } = aMeter();
    read(100n, 10, 12);
    expect(counts.figures.parts.postgresql).toMatchObject({ sumMs: 0 });
  });

  it("is all the driver's where a quorum has log that this driver did not send", () => {
    const { counts, meter, read } = aMeter();
    read(100n, 10, 10);
    meter.durable(lsn(100n), 14);
    expect(counts.figures.parts.driver.sumMs).toBe(4);
    expect(counts.figures.parts.nodes).toMatchObject({ sumMs: 0 });
    read(200n, 20, 20);
    meter.sent(lsn(200n), { nowMs: () => 21 });
    meter.durable(lsn(200n), 23);
    expect(counts.figures.parts.nodes.sumMs).toBe(2);
  });

  it("counts nothing of log that is the epoch's own again, and came from no PostgreSQL", () => {
    const { counts, meter } = aMeter();
    meter.commitSeen(wallMs);
    expect(counts.figures.commits).toBe(0);
  });

  it("keeps a bounded number of reads in mind while the quorum is away", () => {
    const { counts, meter, read } = aMeter();
    for (let end = 1n; end <= 10_000n; end++) read(end, 0, 0);
    meter.durable(lsn(10_000n), 1);
    expect(countOf(counts.figures.durable)).toBe(4_096);
    expect(counts.figures.commits).toBe(10_000);
    read(10_001n, 2, 2);
    meter.durable(lsn(10_001n), 3);
    expect(countOf(counts.figures.durable)).toBe(4_097);
  });

  it("begins anew with another stream, and goes on counting", () => {
    const { counts, meter, read } = aMeter();
    read(500n, 10, 10);
    meter.begin(0);
    meter.arrived(20, wallMs + 20);
    meter.commitSeen(wallMs + 20);
    meter.received(lsn(100n), 7);
    meter.durable(lsn(600n), 21);
    expect(countOf(counts.figures.durable)).toBe(1);
    expect(counts.figures).toMatchObject({ commits: 2, logBytes: 17 });
  });
});

describe("what drivers have counted", () => {
  it("is in memory that outlives each of them, by name of node", () => {
    const counts = new DriverCounts();
    const inThread = new DriverCounts(counts.memory);
    inThread.appendsTo("az1-full").observe(3);
    inThread.appendsTo("az1-tail");
    inThread.addCommit();
    new DriverCounts(counts.memory).appendsTo("az1-full").observe(4);
    const { appends, commits } = counts.figures;
    expect(commits).toBe(1);
    expect(appends.map(({ node, durations }) => [node, durations.sumMs])).toEqual([
      ["az1-full", 7],
    ]);
  });

  it("has an end: nodes beyond it are measured nowhere", () => {
    const counts = new DriverCounts();
    for (let index = 0; index < 40; index++) counts.appendsTo(`node-${index}`).observe(1);
    expect(counts.figures.appends).toHaveLength(24);
    expect(counts.figures.durable.sumMs).toBe(0);
  });
});
