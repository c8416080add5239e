import { expect, it } from "vitest";
import { ownedReason, valueReason } from "./owned-settings.ts";

it.each([
  ["transaction_timeout", "5min", true],
  ["transaction_timeout", "1s", true],
  ["transaction_timeout", "1500", true],
  ["transaction_timeout", "0", true],
  ["transaction_timeout", "999", false],
  ["transaction_timeout", "999us", false],
  // PostgreSQL takes these, too: 1 ms, or 5.
  ["transaction_timeout", "0x1", false],
  ["transaction_timeout", "1e0", false],
  ["transaction_timeout", "+5", false],
  ["Transaction_Timeout", "5ms", false],
  ["log_min_messages", "fatal", true],
  ["log_min_messages", "PANIC", false],
  ["work_mem", "1kB", true],
])("%s = %s for everybody: %s", (name, value, mayBe) => {
  expect(valueReason(name, value) === undefined).toBe(mayBe);
});

it("what a reader finds its log by is nobody's, whatever its case", () => {
  expect(ownedReason("Dynamic_Library_Path")).toMatch(/a reader/);
  expect(ownedReason("work_mem")).toBeUndefined();
});
