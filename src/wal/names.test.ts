import { expect, test } from "vitest";
import { timeline } from "../base/ids.ts";
import { lsn, parseLsn } from "../base/lsn.ts";
import { formatHistoryFile, parseHistoryFile, parseSegmentName, segmentName } from "./index.ts";

test("segment names are PostgreSQL's, both ways", () => {
  const cases: [number, string, string][] = [
    [1, "0/1000000", "000000010000000000000001"],
    [1, "0/FF000000", "0000000100000000000000FF"],
    [0x1a, "1/0", "0000001A0000000100000000"],
    [2, "ABCD/12000000", "000000020000ABCD00000012"],
  ];
  for (const [branch, start, name] of cases) {
    expect(segmentName(timeline(branch), parseLsn(start))).toBe(name);
    expect(segmentName(timeline(branch), lsn(parseLsn(start) + 0xffffffn))).toBe(name);
    expect(parseSegmentName(name)).toEqual({ timeline: branch, start: parseLsn(start) });
  }
  for (const name of [
    "",
    "00000001.history",
    "000000010000000000000100",
    "00000001000000000000000g",
  ]) {
    expect(parseSegmentName(name)).toBeUndefined();
  }
});

test("a history file is read as PostgreSQL writes and reads it", () => {
  const text = "1\t0/5A3B7C8\tno recovery target specified\n\n# note\n3\t1/0\tbefore 2026-01-01\n";
  const lines = parseHistoryFile(text);
  expect(lines).toEqual([
    { parent: 1, switchLsn: parseLsn("0/5A3B7C8"), reason: "no recovery target specified" },
    { parent: 3, switchLsn: parseLsn("1/0"), reason: "before 2026-01-01" },
  ]);
  expect(parseHistoryFile(formatHistoryFile(lines))).toEqual(lines);
  expect(formatHistoryFile(lines)).toBe(
    "1\t0/5A3B7C8\tno recovery target specified\n3\t1/0\tbefore 2026-01-01\n",
  );
  expect(parseHistoryFile("2 0/05A3B7C8")).toEqual([
    { parent: 2, switchLsn: parseLsn("0/5A3B7C8"), reason: "" },
  ]);
});

test("a history without lines burns its number with a comment", () => {
  expect(formatHistoryFile([])).toMatch(/^#.*\n$/);
  expect(parseHistoryFile(formatHistoryFile([]))).toEqual([]);
});

test("a reason with a line break cannot make a line", () => {
  const line = { parent: timeline(1), switchLsn: parseLsn("0/10"), reason: "a\n2\t0/20\tb" };
  expect(parseHistoryFile(formatHistoryFile([line]))).toHaveLength(1);
});

test("what is no history is refused", () => {
  const bad = ["x", "1", "0\t0/1\tr", "1\tzz\tr", "2\t0/2\ta\n2\t0/3\tb", "1\t0/5\ta\n2\t0/4\tb"];
  for (const text of bad) expect(() => parseHistoryFile(text)).toThrow(/timeline history/);
});
