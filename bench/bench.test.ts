import { expect, test } from "vitest";
import { parseOptions } from "./options.ts";
import { parsePgbench } from "./pgbench.ts";
import { formatTable, rowOf } from "./report.ts";
import { median, percentile, ratios } from "./stats.ts";
import { formatTimeline, eventsOf } from "./timeline.ts";

const output = `pgbench (15.18)
scaling factor: 5
number of transactions actually processed: 43938
number of failed transactions: 0 (0.000%)
latency average = 0.728 ms
initial connection time = 3.021 ms
tps = 10984.514321 (without initial connection time)
`;

test("pgbench's output is read, and a failed transaction is no result", () => {
  expect(parsePgbench(output)).toEqual({
    tps: 10984.514321,
    transactions: 43938,
    latencyMs: 0.728,
  });
  expect(() =>
    parsePgbench(output.replace("failed transactions: 0", "failed transactions: 1")),
  ).toThrow();
  expect(() => parsePgbench("client 0 aborted")).toThrow();
});

test("a row's ratio is the median of the rounds' ratios", () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
  expect(ratios([10, 20], [5, 40])).toEqual([2, 0.5]);
  const row = rowOf({
    case: "c",
    unit: "tps",
    ours: [100, 50, 10],
    peer: [100, 100, 100],
    peerName: "p",
  });
  expect(row).toEqual({
    case: "c",
    unit: "tps",
    ours: 50,
    peer: 100,
    peerName: "p",
    ratio: 0.5,
    min: 0.1,
    max: 1,
    rounds: 3,
  });
});

test("a percentile is a value that was measured", () => {
  const values = [5, 1, 4, 2, 3];
  expect([1, 50, 80, 81, 99, 100].map((percent) => percentile(values, percent))).toEqual([
    1, 3, 4, 5, 5, 5,
  ]);
  expect(percentile([], 50)).toBeNaN();
});

test("a log's lines are events, and what is no line of a log is left out", () => {
  const log = `node: a warning\n{"time":"2026-01-01T00:00:01.250Z","event":"epoch.claimed","epoch":2}\n`;
  expect(eventsOf(log)).toEqual([
    { at: new Date("2026-01-01T00:00:01.250Z"), event: "epoch.claimed" },
  ]);
  expect(formatTimeline([{ atMs: 250, process: "instance-1", event: "epoch.claimed" }])).toBe(
    "   250  instance-1         epoch.claimed",
  );
});

test("options are checked, and --quick changes the defaults only", () => {
  expect(parseOptions(["commit", "--quick", "--rounds", "2"])).toMatchObject({
    rounds: 2,
    failovers: 1,
    seconds: 2,
    scale: 2,
  });
  expect(parseOptions(["commit", "--clients", "1,16"]).clients).toEqual([1, 16]);
  for (const bad of [["--rounds", "0"], ["--clients", "1,x"], ["a", "b"], ["--nonsense"]]) {
    expect(() => parseOptions(bad)).toThrow();
  }
});

test("a table aligns numbers to the right and words to the left", () => {
  expect(
    formatTable(
      ["name", "n"],
      [
        ["a", "1"],
        ["bcdef", "10"],
      ],
    ),
  ).toBe("name    n\n-----  --\na       1\nbcdef  10");
});
