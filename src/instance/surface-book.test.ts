import { expect, test } from "vitest";
import { SurfaceBook } from "./surface-book.ts";

test("what is made is not made again", () => {
  const book = new SurfaceBook();
  expect(book.isDue("a", 0)).toBe(true);
  book.made("a");
  expect(book.isDue("a", 1e9)).toBe(false);
  expect(book.isDue("b", 0)).toBe(true);
});

test("what fails is tried less and less often, and told when its reason changes", () => {
  const book = new SurfaceBook();
  let nowMs = 0;
  const pauses: number[] = [];
  const news: boolean[] = [];
  for (let round = 0; round < 12; round++) {
    news.push(book.failed("a", round < 6 ? "locked" : "refused", nowMs));
    const from = nowMs;
    while (!book.isDue("a", nowMs)) nowMs += 1_000;
    pauses.push((nowMs - from) / 1_000);
  }
  expect(pauses).toEqual([5, 5, 5, 10, 20, 40, 80, 160, 300, 300, 300, 300]);
  expect(news.flatMap((is, round) => (is ? [round] : []))).toEqual([0, 6]);
});

test("after a success a failure is the first one again", () => {
  const book = new SurfaceBook();
  for (const _ of [1, 2, 3, 4]) book.failed("a", "locked", 0);
  book.made("a");
  expect(book.failed("a", "locked", 0)).toBe(true);
});
