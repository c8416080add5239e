import { describe, expect, it } from "vitest";
import { lsn, type Lsn } from "../base/lsn.ts";
import { learn, markEveryBytes, seek, SegmentTable } from "./segment-table.ts";

const at = (value: number): Lsn => lsn(BigInt(value));

function aTable(...firstLsns: readonly number[]): SegmentTable {
  const table = new SegmentTable();
  firstLsns.forEach((first, index) => table.push(index + 1, at(first)));
  return table;
}

describe("a table of log files", () => {
  it("finds the file of an LSN and where its log ends", () => {
    const table = aTable(0, 100, 250);
    const found = (value: number): unknown => {
      const one = table.find(at(value), at(300));
      return one && [one.segment.sequence, one.end];
    };
    expect([0, 99, 100, 249, 250, 299, 300].map(found)).toEqual([
      [1, 100n],
      [1, 100n],
      [2, 250n],
      [2, 250n],
      [3, 300n],
      [3, 300n],
      undefined,
    ]);
    expect(aTable(100).find(at(99), at(300))).toBeUndefined();
  });

  it("ends an earlier file's log where a cut began a later one", () => {
    const table = aTable(0, 100, 250);
    const dead = table.push(4, at(180));
    expect(dead.map((segment) => segment.sequence)).toEqual([3]);
    expect(table.find(at(170), at(400))).toMatchObject({ segment: { sequence: 2 }, end: 180n });
    expect(table.find(at(180), at(400))).toMatchObject({ segment: { sequence: 4 }, end: 400n });
  });

  it("forgets whole files below the base, and never the newest", () => {
    const table = aTable(0, 100, 250);
    expect(table.trim(at(99)).map((segment) => segment.sequence)).toEqual([]);
    expect(table.trim(at(100)).map((segment) => segment.sequence)).toEqual([1]);
    expect(table.trim(at(9999)).map((segment) => segment.sequence)).toEqual([2]);
    expect(table.all.map((segment) => segment.sequence)).toEqual([3]);
  });

  it("begins a walk at the nearest known frame", () => {
    const segment = aTable(0).last;
    if (!segment) throw new Error("no segment");
    expect(seek(segment, at(50))).toEqual({ lsn: 0n, at: 64 });
    learn(segment, { lsn: at(40), at: 200 });
    expect(seek(segment, at(50))).toEqual({ lsn: 0n, at: 64 });
    learn(segment, { lsn: at(45), at: 64 + markEveryBytes });
    expect(seek(segment, at(50))).toEqual({ lsn: 45n, at: 64 + markEveryBytes });
    expect(seek(segment, at(44))).toEqual({ lsn: 0n, at: 64 });
    segment.hint = { lsn: at(48), at: 64 + markEveryBytes + 90 };
    expect(seek(segment, at(50))).toEqual(segment.hint);
  });

  it("learns of a frame start wherever none near it is known, also before others", () => {
    const segment = aTable(0).last;
    if (!segment) throw new Error("no segment");
    const atOf = (times: number): number => 64 + times * markEveryBytes;
    for (const times of [5, 2, 2.5, 4.5, 3, 5.5, 1])
      learn(segment, { lsn: at(times * 10), at: atOf(times) });
    expect(segment.marks.map((mark) => mark.at)).toEqual([0, 1, 2, 3, 5].map(atOf));
    expect(seek(segment, at(29))).toEqual({ lsn: 20n, at: atOf(2) });
  });
});
