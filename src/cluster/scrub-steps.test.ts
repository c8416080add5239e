import { describe, expect, it } from "vitest";
import { LogStep } from "./scrub-steps.ts";

describe("log that nodes read", () => {
  it("is told of all nodes together, as far as they have told", () => {
    const step = new LogStep();
    expect(step.take("a", { doneBytes: 10, totalBytes: 100 })).toMatchObject({
      doneBytes: 10,
      totalBytes: 100,
    });
    expect(step.take("b", { doneBytes: 5, totalBytes: 50 })).toMatchObject({
      doneBytes: 15,
      totalBytes: 150,
    });
    expect(step.take("a", { doneBytes: 30, totalBytes: 100 })).toMatchObject({ doneBytes: 35 });
  });

  it("is all there was where a node has come to its end, though it has dropped some meanwhile", () => {
    const step = new LogStep();
    step.take("a", { doneBytes: 10, totalBytes: 100 });
    expect(step.end("a", 60)).toMatchObject({ doneBytes: 60, totalBytes: 60 });
  });

  it("never goes back, also where a node has found rot and begins anew", () => {
    const step = new LogStep();
    step.take("a", { doneBytes: 90, totalBytes: 100 });
    const again = step.take("a", { doneBytes: 1, totalBytes: 80 });
    expect(again).toMatchObject({ doneBytes: 90, totalBytes: 100 });
  });
});
