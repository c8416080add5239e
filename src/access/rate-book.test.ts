import { expect, it } from "vitest";
import { RateBook } from "./rate-book.ts";

it("an address has its burst at once, then its rate, and no more for having tried", () => {
  const book = new RateBook({ perSecond: 10, burst: 5 });
  const taken = (count: number, nowMs: number): number =>
    Array.from({ length: count }, () => book.take("a", nowMs)).filter(Boolean).length;
  expect(taken(20, 0)).toBe(5);
  expect(taken(20, 99)).toBe(0);
  expect(taken(20, 100)).toBe(1);
  // Six tenths of a second since: six would be due, and the burst is five.
  expect(taken(20, 1_000)).toBe(5);
  expect(book.take("b", 1_000)).toBe(true);
});

it("0 bounds nothing, and remembers nobody", () => {
  const book = new RateBook({ perSecond: 0, burst: 1 });
  expect([book.take("a", 0), book.take("a", 0), book.addressCount]).toEqual([true, true, 0]);
});

it("who has all of it again is forgotten, and with very many whoever came least lately", () => {
  const book = new RateBook({ perSecond: 1, burst: 2 });
  for (let n = 0; n < 100; n++) book.take(`early ${n}`, 0);
  expect(book.addressCount).toBe(100);
  for (let n = 0; n < 100; n++) book.take("late", 10_000);
  expect(book.addressCount).toBe(1);
  for (let n = 0; n < 12_000; n++) book.take(`many ${n}`, 10_000);
  expect(book.addressCount).toBe(10_000);
});
