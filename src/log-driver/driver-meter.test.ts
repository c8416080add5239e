import { describe, expect, it } from "vitest";
import { lsn } from "../base/lsn.ts";
import { DriverMeter } from "./driver-meter.ts";

const countOf = (meter: DriverMeter): number =>
  meter.figures.counts.reduce((sum, one) => sum + one);

describe("the time from PostgreSQL's socket to the quorum", () => {
  it("is that of each read whose last record VDL has passed", () => {
    const meter = new DriverMeter();
    meter.received(lsn(100n), 10);
    meter.received(lsn(200n), 11);
    meter.received(lsn(300n), 12);
    meter.durable(lsn(250n), 15);
    expect(meter.figures.sumMs).toBe(5 + 4);
    meter.durable(lsn(300n), 20);
    expect(meter.figures.sumMs).toBe(5 + 4 + 8);
    meter.durable(lsn(400n), 99);
    expect(countOf(meter)).toBe(3);
  });

  it("is not measured of a read without the end of a record", () => {
    const meter = new DriverMeter();
    meter.received(lsn(100n), 10);
    meter.received(lsn(100n), 11);
    meter.durable(lsn(100n), 12);
    expect(countOf(meter)).toBe(1);
    expect(meter.figures.sumMs).toBe(2);
  });

  it("keeps a bounded number of reads in mind while the quorum is away", () => {
    const meter = new DriverMeter();
    for (let end = 1n; end <= 10_000n; end++) meter.received(lsn(end), 0);
    meter.durable(lsn(10_000n), 1);
    expect(countOf(meter)).toBe(4_096);
  });

  it("begins anew with another stream", () => {
    const meter = new DriverMeter();
    meter.received(lsn(500n), 10);
    meter.begin();
    meter.received(lsn(100n), 20);
    meter.durable(lsn(600n), 21);
    expect(countOf(meter)).toBe(1);
    expect(meter.figures.sumMs).toBe(1);
  });
});
