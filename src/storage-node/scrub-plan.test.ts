import { describe, expect, it } from "vitest";
import { epoch, timeline } from "../base/ids.ts";
import { lsn } from "../base/lsn.ts";
import { digestOf, judgeDigests, stretches } from "./scrub-plan.ts";

const run = (of: number, text: string) => ({
  epoch: epoch(of),
  timeline: timeline(1),
  bytes: Buffer.from(text),
});

describe("a digest", () => {
  it("is that of the log, however it is cut into runs", () => {
    expect(digestOf([run(1, "ab"), run(1, "c"), run(2, "d")])).toBe(
      digestOf([run(1, "abc"), run(2, "d")]),
    );
  });
  it("differs when a byte does, or its epoch", () => {
    const one = digestOf([run(1, "abc")]);
    expect(digestOf([run(1, "abd")])).not.toBe(one);
    expect(digestOf([run(2, "abc")])).not.toBe(one);
    expect(digestOf([run(1, "ab"), run(2, "c")])).not.toBe(one);
  });
});

describe("copies that differ", () => {
  it.each([
    ["a", ["a", "a"], "same"],
    ["a", [], "same"],
    ["a", ["b"], "unclear"],
    ["a", ["b", "b"], "ownIsWrong"],
    ["a", ["b", "b", "a"], "ownIsWrong"],
    ["a", ["b", "b", "a", "a"], "unclear"],
    ["a", ["b", "c"], "unclear"],
    ["a", ["a", "a", "b"], "unclear"],
  ] as const)("own %s, peers %j: %s", (own, peers, verdict) => {
    expect(judgeDigests(own, peers)).toBe(verdict);
  });
});

describe("a scrub's way", () => {
  it("goes through all of the log, in stretches that nodes have in common", () => {
    const mib = 1024n * 1024n;
    expect(stretches(lsn(mib + 5n), lsn(3n * mib + 7n))).toEqual([
      { from: mib + 5n, to: 2n * mib },
      { from: 2n * mib, to: 3n * mib },
      { from: 3n * mib, to: 3n * mib + 7n },
    ]);
    expect(stretches(lsn(5n), lsn(5n))).toEqual([]);
  });
});
