import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { trueRules } from "../quorum/index.ts";
import { mutants, profileFor, profiles, runSeed, trueSimRules } from "./index.ts";

describe("the simulator", () => {
  it("does the same for the same seed, event by event", () => {
    for (let seed = 1; seed <= 50; seed++) {
      const options = { seed, profile: profileFor(seed, undefined), steps: 300 };
      expect(runSeed(options), `seed ${seed}`).toEqual(runSeed(options));
    }
  }, 60_000);

  it("finds nothing in the shipped cores on a few seeds of each profile", () => {
    for (const { name } of profiles) {
      const { failure } = runSeed({ seed: 7, profile: name, steps: 600 });
      expect(failure, name).toBeUndefined();
    }
  }, 60_000);

  it("stops at an event that is dropped, and at nothing else", () => {
    const events: string[] = [];
    const options = { seed: 3, profile: "general", steps: 200 };
    const whole = runSeed({ ...options, onEvent: (name) => events.push(name) });
    const again = runSeed({ ...options, keep: new Set(events) });
    expect(again.traceHash).toBe(whole.traceHash);
  });
});

describe("mutants", () => {
  /** Rules that no mutant replaces yet, and why. */
  const explained: Readonly<Record<string, string>> = {
    keepsAside: "M39 is too rare at random: the exhaustive search has it",
    mayDropRetired: "the simulator's nodes keep their tails",
    baseAfter: "a node's own guard behind mayAdvanceLow, which M26 breaks",
    isRot: "tests of the storage node break it",
  };

  it("replace every rule, or it is said why not", () => {
    const replaced = new Set(mutants.flatMap((mutant) => Object.keys(mutant.rules)));
    const left = Object.keys(trueSimRules).filter((rule) => !replaced.has(rule));
    expect(left).toEqual(Object.keys(explained));
  });

  it("keep the shipped rules but for their own", () => {
    for (const [rule, value] of Object.entries(trueRules))
      expect(trueSimRules[rule as keyof typeof trueSimRules]).toBe(value);
    expect(Object.isFrozen(trueRules)).toBe(true);
  });

  it("are unknown to the processes that ship", () => {
    // Without `rules` the cores take the true ones; nobody outside the simulator passes any.
    for (const file of ["storage-node/node-shell.ts", "log-driver/driver-shell.ts"]) {
      const source = readFileSync(new URL(`../${file}`, import.meta.url), "utf8");
      expect(source).not.toMatch(/\brules\s*[:,]/);
    }
  });
});
