import { describe, expect, it } from "vitest";
import { FeedbackBook, noHorizon } from "./feedback.ts";

function feedback(
  from: string,
  xmin: number,
  xminEpoch = 0,
): Parameters<FeedbackBook["record"]>[0] {
  return { from, xmin, xminEpoch, catalogXmin: 0, catalogXminEpoch: 0 };
}

describe("the feedback of several readers", () => {
  it("is the oldest of them", () => {
    const book = new FeedbackBook();
    book.record(feedback("r1", 900), 0);
    book.record(feedback("r2", 800), 0);
    expect(book.horizon(1)).toEqual({ ...noHorizon, xmin: 800 });
  });

  it("orders by epoch before number: numbers wrap", () => {
    const book = new FeedbackBook();
    book.record(feedback("r1", 5, 2), 0);
    book.record(feedback("r2", 4_000_000_000, 1), 0);
    expect(book.horizon(1)).toMatchObject({ xmin: 4_000_000_000, xminEpoch: 1 });
  });

  it("ignores a reader that has no horizon, and forgets one that fell silent", () => {
    const book = new FeedbackBook();
    book.record(feedback("r1", 0), 0);
    book.record(feedback("r2", 700), 0);
    expect(book.horizon(10)).toMatchObject({ xmin: 700 });
    expect(book.horizon(60_000)).toEqual(noHorizon);
  });
});
