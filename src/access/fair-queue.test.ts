import { describe, expect, it } from "vitest";
import { FairQueue } from "./fair-queue.ts";

describe("a queue of many addresses", () => {
  it("gives each its turn, and each its own in their order", () => {
    const queue = new FairQueue<string>();
    for (let n = 0; n < 3; n++) queue.push("crowd", `crowd ${n}`);
    expect(queue.take()).toBe("crowd 0");
    queue.push("a", "a 0");
    queue.push("b", "b 0");
    queue.push("a", "a 1");
    const order = Array.from({ length: 6 }, () => queue.take());
    expect(order).toEqual(["crowd 1", "a 0", "b 0", "crowd 2", "a 1", undefined]);
  });
});
