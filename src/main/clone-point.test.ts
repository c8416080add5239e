import { expect, it } from "vitest";
import { epoch, timeline } from "../base/ids.ts";
import { lsn } from "../base/lsn.ts";
import type { HistoryEntry } from "../quorum/index.ts";
import { requireFound } from "./clone-point.ts";

const at = (value: number) => lsn(BigInt(value));
const entry = (of: number, start: number, kind: HistoryEntry["kind"] = "branch"): HistoryEntry => {
  return { epoch: epoch(of), timeline: timeline(of), start: at(start), kind };
};
const before = [entry(1, 0), entry(2, 0x1000)];
const branch = { path: before, to: "0/2000" };
const pin = (path: readonly HistoryEntry[], to = 0x2000) => {
  return { path, from: at(0x800), to: at(to) };
};

it("a clone branches off where its moment was found, or not at all", () => {
  // A failover goes on from where the parent was.
  for (const path of [before, [...before, entry(3, 0x2000)]])
    expect(() => requireFound(branch, pin(path))).not.toThrow();
  const told = expect.objectContaining({
    code: "55000",
    message: expect.stringMatching(
      /^the parent went back .* at 0\/2000 it has another moment now$/,
    ),
  });
  // A backtrack came first: to what is below, and the path from there on has come to that LSN by now,
  const back = entry(3, 0x1800, "backtrack");
  expect(() => requireFound(branch, pin([...before, back]))).toThrow(told);
  // or has one record there that begins where it went to.
  expect(() => requireFound(branch, pin(before, 0x1800))).toThrow(told);
  // To what is behind, nothing has changed.
  const late = entry(3, 0x2800, "backtrack");
  expect(() => requireFound(branch, pin([...before, late]))).not.toThrow();
});

it("whatever is durable when the parent keeps it is its end", () => {
  expect(() => requireFound({ path: undefined, to: null }, pin([entry(7, 0)]))).not.toThrow();
});
