import { expect, it } from "vitest";
import { restMs } from "./pace.ts";

it("a paced scrub takes about as long as it may", () => {
  expect(restMs(1_000, { totalBytes: 10_000, intervalMs: 500 })).toBe(50);
  expect(restMs(1_000, { totalBytes: 0, intervalMs: 500 })).toBe(500);
});
