import { describe, expect, it } from "vitest";
import { type Rules, trueRules } from "../../quorum/index.ts";
import { exhaust, jobs, runJob, searchMutants, walk } from "./index.ts";

/** Nothing here depends on time. */
const clock = { nowMs: () => 0 };
const patienceMs = 120_000;

describe("the shipped state machines, searched exhaustively", () => {
  for (const job of jobs.filter((one) => one.isShort)) {
    it(`break no law: ${job.what}`, { timeout: patienceMs }, () => {
      const { report, isPassed } = runJob(job, { clock });
      expect(report.violation).toBeUndefined();
      expect(isPassed).toBe(true);
      for (const [kind, count] of Object.entries(report.events))
        expect(count, `${kind} happens`).toBeGreaterThan(0);
    });
  }
});

/** Six nodes, W = 4, R = 3: the backtrack of epoch 2 is met by n5, inherited by epoch 3, and abandoned with it. */
const abandonedHeir = [
  ...["n1", "n2", "n3", "n4"].map((node) => `${node} promises epoch 1`),
  "epoch 1 decides on a branch at 0, with promises of n1, n2, n3, n4",
  ...["n1", "n2", "n3", "n4"].map((node) => `${node} accepts the Elect of epoch 1`),
  "epoch 1 opens",
  ...["n1", "n2", "n3", "n4"].map((node) => `${node} appends for epoch 1`),
  "epoch 1 acknowledges 1 units",
  ...["n1", "n2", "n5", "n6"].map((node) => `${node} promises epoch 2`),
  "epoch 2 decides on a backtrack at 0, with promises of n1, n2, n5, n6",
  "n5 accepts the Elect of epoch 2",
  ...["n1", "n2", "n5", "n6"].map((node) => `${node} promises epoch 3`),
  "epoch 3 decides on a branch at 0, with promises of n1, n2, n5, n6",
  "n1 accepts the Elect of epoch 3: 1 → -",
  ...["n2", "n3", "n4", "n6"].map((node) => `${node} promises epoch 4`),
  "epoch 4 decides on a branch at 1, with promises of n2, n3, n4, n6",
  "n5 accepts the Elect of epoch 4",
  "n6 accepts the Elect of epoch 4",
  "n1 accepts the Elect of epoch 4: - → 1",
];

describe("a way through six nodes", () => {
  const world = { nodes: 6, epochs: 4, units: 1, backtracks: 1, withPull: true };

  it("gives back what an abandoned backtrack's heir had cut", () => {
    expect(walk(world, abandonedHeir)).toEqual({ law: undefined, steps: abandonedHeir.length });
  });

  it("loses it if only the backtrack's own Elect keeps tails aside", () => {
    const keepsAside: Rules["keepsAside"] = (_, to) => to.at(-1)?.kind === "backtrack";
    const lines = abandonedHeir.with(-1, "n1 accepts the Elect of epoch 4");
    const { law } = walk({ ...world, rules: { ...trueRules, keepsAside } }, lines);
    expect(law).toMatch(/^I3 recoverability: a read quorum \(n1, n5, n6\) recovers -/);
  });
});

describe("a broken rule", () => {
  for (const { id, name, broken, law, world } of searchMutants) {
    it(`is caught: ${id} ${name}`, { timeout: patienceMs }, () => {
      const rules = { ...trueRules, ...broken };
      const { violation } = exhaust({ ...world, rules, clock });
      expect(violation?.law.slice(0, law.length)).toBe(law);
      expect(violation?.trace.length).toBe(violation?.depth);
    });
  }
});
