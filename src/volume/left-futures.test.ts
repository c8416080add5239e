import { describe, expect, it } from "vitest";
import { type Lsn, lsn } from "../base/lsn.ts";
import {
  futureOfLsn,
  futureOfSeen,
  futureOfTime,
  type LeftFuture,
  unnamedFutures,
} from "./left-futures.ts";

const at = (value: number): Lsn => lsn(BigInt(value));
const us = (seconds: number): bigint => BigInt(Math.round(seconds * 1e6));

/** Left at that second, by a backtrack to `fork`; it had come to `end`. */
function left(
  second: number,
  fork: number,
  end: number,
  more: Partial<LeftFuture> = {},
): LeftFuture {
  return {
    fork: at(fork),
    end: at(end),
    leftAtMs: second * 1000,
    firstUs: undefined,
    returned: undefined,
    untilMs: undefined,
    ...more,
  };
}
const returnTo = (second: number, to: number, nextUs?: bigint): Partial<LeftFuture> => {
  return { returned: { leftAtMs: second * 1000, to: at(to), nextUs } };
};

/** When the future was left that a time is in; `found`: where the present path has its moment. */
function leftOf(futures: readonly LeftFuture[], second: number, found: number): number | undefined {
  const future = futureOfTime(futures, us(second), at(found));
  return future && future.leftAtMs / 1000;
}
function leftOfLsn(futures: readonly LeftFuture[], value: number, end = 1000): number | undefined {
  const future = futureOfLsn(futures, at(value), at(end));
  return future && future.leftAtMs / 1000;
}

describe("after a backtrack at second 10 from 100 to 50", () => {
  const futures = [left(10, 50, 100)];

  it("a time between is in the future that was left, and one before or since is not", () => {
    expect(leftOf(futures, 5, 49)).toBeUndefined();
    expect(leftOf(futures, 8, 50)).toBe(10);
    expect(leftOf(futures, 9.9, 55)).toBe(10);
    expect(leftOf(futures, 10, 55)).toBeUndefined();
    expect(leftOf(futures, 20, 120)).toBeUndefined();
  });

  it("a time is the present path's, too, if nothing had been committed by then behind the fork", () => {
    const told = [left(10, 50, 100, { firstUs: us(7) })];
    expect([leftOf(told, 6.9, 55), leftOf(told, 7, 55)]).toEqual([undefined, 10]);
  });

  it("an LSN that both have is refused, up to its end, and later only its end", () => {
    expect([49, 50, 51, 100, 101].map((value) => leftOfLsn(futures, value))).toEqual([
      undefined,
      undefined,
      10,
      10,
      undefined,
    ]);
    const gone = [left(10, 50, 100, { untilMs: 20_000 })];
    expect([51, 99, 100].map((value) => leftOfLsn(gone, value))).toEqual([
      undefined,
      undefined,
      10,
    ]);
    expect([60, 61, 99].map((value) => leftOfLsn(gone, value, 60))).toEqual([undefined, 10, 10]);
  });
});

describe("after a second backtrack that went back further", () => {
  const futures = [left(10, 50, 100), left(20, 30, 80)];

  it("a time before the first is in a future, too, from where the second went to", () => {
    expect(leftOf(futures, 5, 29)).toBeUndefined();
    expect(leftOf(futures, 5, 40)).toBe(10);
    expect(leftOf(futures, 15, 40)).toBe(20);
    expect(leftOf(futures, 20, 40)).toBeUndefined();
  });

  it("nothing was committed by then only if that is known of both", () => {
    const [first, second] = futures;
    const told = (a: number, b: number) =>
      [first, second].flatMap((one, place) => (one ? { ...one, firstUs: us(place ? b : a) } : []));
    expect(leftOf(told(7, 6), 5, 40)).toBeUndefined();
    expect(leftOf(told(7, 4), 5, 40)).toBe(10);
    expect(leftOf(told(4, 6), 5, 40)).toBe(10);
  });

  it("an LSN is of the newest that has it", () => {
    expect([30, 31, 80, 81, 100, 101].map((value) => leftOfLsn(futures, value))).toEqual([
      undefined,
      20,
      20,
      10,
      10,
      undefined,
    ]);
  });
});

describe("after a return", () => {
  it("to its end, all of a future is the present path's", () => {
    const futures = [left(10, 50, 100), left(20, 50, 70, returnTo(10, 100))];
    expect([leftOf(futures, 8, 60), leftOf(futures, 9.9, 105)]).toEqual([undefined, undefined]);
    expect(leftOf(futures, 15, 105)).toBe(20);
    expect([60, 70, 100, 101].map((value) => leftOfLsn(futures, value))).toEqual([
      20,
      20,
      undefined,
      undefined,
    ]);
  });

  it("to a moment in it, so much of it is", () => {
    const futures = [left(10, 50, 100), left(20, 50, 70, returnTo(10, 80))];
    expect([leftOf(futures, 8, 79), leftOf(futures, 8, 80), leftOf(futures, 15, 80)]).toEqual([
      undefined,
      10,
      20,
    ]);
    expect([80, 81, 100].map((value) => leftOfLsn(futures, value))).toEqual([undefined, 10, 10]);
  });

  it("to a moment in it, that moment is the present path's whenever it is asked for", () => {
    const futures = [
      left(10, 50, 100, { firstUs: us(7) }),
      left(20, 50, 70, { firstUs: us(12), ...returnTo(10, 80, us(9)) }),
    ];
    expect([leftOf(futures, 8.9, 85), leftOf(futures, 9, 85)]).toEqual([undefined, 10]);
    // What the one between has committed for itself is nowhere else.
    expect([leftOf(futures, 11, 85), leftOf(futures, 13, 85)]).toEqual([20, 20]);
  });

  it("and a backtrack behind it, it is as much as that left", () => {
    const futures = [left(10, 50, 100), left(20, 50, 70, returnTo(10, 100)), left(30, 90, 130)];
    expect([leftOf(futures, 9, 89), leftOf(futures, 9.9, 90)]).toEqual([undefined, 10]);
    expect([leftOf(futures, 25, 90), leftOf(futures, 15, 90)]).toEqual([30, 20]);
    const told = futures.map((one) => ({ ...one, firstUs: us(9.5) }));
    expect([leftOf(told, 9.4, 95), leftOf(told, 9.5, 95)]).toEqual([undefined, 10]);
  });

  it("to what nobody remembers, no more than what came before it is known to have come back", () => {
    const futures = [left(20, 50, 70, returnTo(10, 100))];
    expect([leftOf(futures, 15, 49), leftOf(futures, 15, 55)]).toEqual([undefined, 20]);
  });
});

describe("many futures in one", () => {
  // To 50 and up to 100 at the most; then there was one more.
  const many = left(10, 50, 100, { merged: 7, untilMs: 20_000 });
  const futures = [many, left(20, 60, 90)];

  it("have every time before the last of them was left, but for what all paths have", () => {
    expect([leftOf(futures, 5, 49), leftOf(futures, 5, 50), leftOf(futures, 5, 500)]).toEqual([
      undefined,
      10,
      10,
    ]);
    expect([leftOf(futures, 15, 60), leftOf(futures, 25, 60)]).toEqual([20, undefined]);
  });

  it("have every LSN between the lowest fork and the highest end", () => {
    const [, last] = futures;
    const gone = [many, ...(last ? [{ ...last, untilMs: 30_000 }] : [])];
    expect([50, 51, 90, 100, 101].map((value) => leftOfLsn(gone, value))).toEqual([
      undefined,
      10,
      20,
      10,
      undefined,
    ]);
  });

  it("do not say what a return to one of them brought back", () => {
    const returned = [many, left(20, 60, 90, returnTo(10, 100))];
    expect([leftOf(returned, 5, 70), leftOf(returned, 15, 70)]).toEqual([10, 20]);
  });
});

describe("a path that was seen being left", () => {
  const seen = (from: number, leftAtMs: number) => ({ from: at(from), leftAtMs });

  it("is a future of its own if none that is remembered leaves off there", () => {
    const both = [seen(50, 10_000), seen(30, 20_000)];
    expect(unnamedFutures([], both)).toEqual(both);
    expect(unnamedFutures([left(9, 50, 100)], both)).toEqual([seen(30, 20_000)]);
    expect(unnamedFutures([left(19, 30, 80), left(9, 50, 100)], both)).toEqual([]);
    // Of two at one place, the one that is not told yet is the newer one.
    const twice = [seen(50, 30_000), seen(50, 10_000)];
    expect(unnamedFutures([left(9, 50, 100)], twice)).toEqual([seen(50, 30_000)]);
    // Nor does an older future stand for it, whose own path is not remembered as seen any more.
    const nightly = [left(9, 50, 100), left(19, 50, 90), left(29, 50, 95)];
    const late = [seen(50, 30_000), seen(50, 40_000)];
    expect(unnamedFutures(nightly, late)).toEqual([seen(50, 40_000)]);
  });

  it("has its times, though none of its log be left, and its LSNs as far as its log", () => {
    const short = [futureOfSeen({ ...seen(50, 10_000), end: at(50) })];
    expect([leftOf(short, 8, 50), leftOf(short, 8, 49)]).toEqual([10, undefined]);
    const known = [futureOfSeen({ ...seen(50, 10_000), end: at(90) })];
    expect([50, 90, 91].map((value) => leftOfLsn(known, value))).toEqual([
      undefined,
      10,
      undefined,
    ]);
  });
});
