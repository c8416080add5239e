import { describe, expect, it } from "vitest";
import { describeProgress, formatBytes, ProgressMeter } from "./progress-meter.ts";

const mebi = 1024 * 1024;

describe("progress", () => {
  it("knows neither rate nor time left at the beginning", () => {
    const meter = new ProgressMeter("unpacking", 100 * mebi, 1_000);
    meter.at(mebi, 1_010);
    expect(meter.facts(1_010)).toEqual({
      step: "unpacking",
      doneBytes: mebi,
      totalBytes: 100 * mebi,
      bytesPerSecond: null,
      secondsLeft: null,
    });
  });

  it("says how fast it goes and how long it will take", () => {
    const meter = new ProgressMeter("unpacking", 100 * mebi, 0);
    for (let ms = 100; ms <= 2_000; ms += 100) meter.at((ms / 100) * mebi, ms);
    expect(meter.facts(2_000)).toMatchObject({ bytesPerSecond: 10 * mebi, secondsLeft: 8 });
    expect(describeProgress(meter.facts(2_000))).toBe(
      "unpacking: 20.0 MiB of 100.0 MiB (20 %), 10.0 MiB/s, 8 s left",
    );
  });

  it("follows a source that slows down, also when nothing comes any more", () => {
    const meter = new ProgressMeter("unpacking", 1000 * mebi, 0);
    for (let ms = 10; ms <= 10_000; ms += 10) meter.at((ms / 10) * 0.5 * mebi, ms);
    expect(meter.facts(10_000).bytesPerSecond).toBeCloseTo(50 * mebi, -5);
    for (let ms = 11_000; ms <= 20_000; ms += 1_000) meter.at((500 + ms / 1_000) * mebi, ms);
    expect(meter.facts(20_000).bytesPerSecond).toBe(mebi);
    expect(meter.facts(200_000).secondsLeft).toBeGreaterThan(1_000);
  });

  it("does without a total, and takes one that becomes known on the way", () => {
    const meter = new ProgressMeter("reading the log", undefined, 0);
    meter.at(4096, 1_000);
    expect(describeProgress(meter.facts(1_000))).toBe("reading the log: 4.0 KiB, 4.0 KiB/s");
    meter.at(8192, 2_000, 16_384);
    expect(meter.facts(2_000)).toMatchObject({ totalBytes: 16_384, secondsLeft: 2 });
  });

  it("never says more than all, nor divides by nothing", () => {
    const meter = new ProgressMeter("x", 0, 0);
    expect(describeProgress(meter.facts(1_000))).toBe("x: 0 bytes of 0 bytes (100 %), 0 bytes/s");
    meter.at(10, 2_000, 5);
    expect(meter.facts(2_000).secondsLeft).toBe(0);
    expect(describeProgress(meter.facts(2_000))).toContain("(100 %)");
  });

  it("says of a step without bytes what it is, and no more", () => {
    const meter = new ProgressMeter("sealing", undefined, 0);
    expect(describeProgress(meter.facts(5_000))).toBe("sealing ...");
    meter.at(2048, 6_000);
    expect(describeProgress(meter.facts(6_000))).toBe("sealing: 2.0 KiB, 341 bytes/s");
  });

  it("counts long times in minutes and hours", () => {
    const meter = new ProgressMeter("x", 10_000 * mebi, 0);
    meter.at(mebi, 1_000);
    expect(describeProgress(meter.facts(1_000))).toMatch(/1.0 MiB\/s, 2.8 h left$/);
    meter.at(20 * mebi, 2_000);
    expect(describeProgress(meter.facts(2_000))).toMatch(/10.0 MiB\/s, 17 min left$/);
  });

  it("names sizes as people read them", () => {
    expect([0, 1023, 1024, 1_258_291, 5 * 1024 ** 4].map(formatBytes)).toEqual([
      "0 bytes",
      "1023 bytes",
      "1.0 KiB",
      "1.2 MiB",
      "5.0 TiB",
    ]);
  });
});
