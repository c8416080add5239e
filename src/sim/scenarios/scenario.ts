import { InvariantBroken } from "../../base/assert.ts";
import type { ExhaustOptions } from "../exhaustive/exhaust.ts";
import { walk } from "../exhaustive/walk.ts";
import { SimFailure } from "../failure.ts";

interface Described {
  /** As in simulation-tests.md, section 4. */
  readonly id: string;
  readonly what: string;
  readonly expected: string;
}

/** A fixed script: one way through a small world of shipped state machines, every law checked after every step. */
export interface Scenario extends Described {
  readonly world: Omit<ExhaustOptions, "clock">;
  /** Steps as walk() reads them; what the nodes and drivers decide is part of each line. */
  readonly script: readonly string[];
}

/** The same as a program: for what needs disks, clocks and members (scene.ts), or is no matter of a world at all. */
export interface ScenePlay extends Described {
  /** Raises SimFailure if it comes otherwise, or if a law breaks. */
  readonly play: () => void;
}

/** What broke: a law, or the script's own expectation; undefined: nothing. */
export function play(scenario: Scenario | ScenePlay): string | undefined {
  try {
    if ("script" in scenario) return walk(scenario.world, scenario.script).law;
    scenario.play();
    return undefined;
  } catch (error) {
    if (error instanceof SimFailure) return `${error.law}: ${error.message}`;
    if (error instanceof InvariantBroken) return error.message;
    throw error;
  }
}

/** The same step at several nodes: `each("n1 n2", "promises epoch 1")`. */
export function each(nodes: string, step: string): string[] {
  return nodes.split(" ").map((node) => `${node} ${step}`);
}

/** An epoch from its first promise to open, by these nodes alone; `decision` as "a branch at 0". */
export function reign(epoch: number, nodes: string, decision: string): string[] {
  const names = nodes.split(" ").join(", ");
  return [
    ...each(nodes, `promises epoch ${epoch}`),
    `epoch ${epoch} decides on ${decision}, with promises of ${names}`,
    ...each(nodes, `accepts the Elect of epoch ${epoch}`),
    `epoch ${epoch} opens`,
  ];
}

/** Six nodes, W = 4, R = 3. */
export const six = { nodes: 6, epochs: 3, units: 2, backtracks: 0, withPull: true } as const;
