import type { NetworkFaults } from "./network.ts";

/** What may happen in a run, and how often: weights of one chaos step, and what is always on. */
export interface Profile {
  readonly name: string;
  readonly chaosMs: readonly [number, number];
  readonly weights: Readonly<Partial<Record<ChaosKind, number>>>;
  readonly network: NetworkFaults;
  readonly syncFails: number;
  readonly spares: number;
  readonly readers: number;
  /** Between two rounds of transactions; a writer that writes little is fenced late. */
  readonly workMs: readonly [number, number];
  /** Counters that must have counted something over the seeds of a CI run. */
  readonly sometimes: readonly string[];
}

export type ChaosKind =
  | "claim"
  | "backtrack"
  | "killInstance"
  | "killNode"
  | "powerOff"
  | "bootNode"
  | "bootAll"
  | "partition"
  | "isolateInstance"
  | "split"
  | "heal"
  | "slowDisk"
  | "fullDisk"
  | "rot"
  | "loseDisk"
  | "read"
  | "changeMembers"
  | "lowWater"
  | "clone"
  | "dropClone"
  | "nothing";

const lossy: NetworkFaults = { drop: 0.03, double: 0.03, corrupt: 0.003, straggle: 0.03 };
const gentle: NetworkFaults = { drop: 0.005, double: 0.01, corrupt: 0.001, straggle: 0.01 };

const common = {
  chaosMs: [30, 160],
  network: lossy,
  syncFails: 0,
  spares: 0,
  readers: 1,
  workMs: [5, 60],
} as const;

const pinned = ["pins complete", "pins released", "clones read"] as const;
const always = ["epochs opened", "commits", "cuts", "pulls", "torn tails"] as const;

export const profiles: readonly Profile[] = [
  {
    ...common,
    name: "general",
    weights: {
      claim: 3,
      killInstance: 1,
      killNode: 2,
      powerOff: 2,
      bootNode: 5,
      bootAll: 1,
      partition: 2,
      heal: 2,
      slowDisk: 1,
      read: 2,
      nothing: 6,
    },
    sometimes: [...always, "record-splitting recoveries", "readers advanced", "grants"],
  },
  {
    ...common,
    name: "partitions",
    weights: {
      claim: 4,
      partition: 6,
      isolateInstance: 3,
      heal: 4,
      killNode: 1,
      bootNode: 2,
      read: 2,
      nothing: 4,
    },
    sometimes: ["epochs opened", "commits", "cuts", "pulls", "messages cut off", "stood down"],
  },
  {
    ...common,
    name: "disk",
    network: gentle,
    syncFails: 0.002,
    weights: {
      claim: 2,
      powerOff: 5,
      killNode: 2,
      bootNode: 7,
      bootAll: 1,
      slowDisk: 3,
      fullDisk: 1,
      rot: 2,
      loseDisk: 0.3,
      nothing: 5,
    },
    sometimes: [
      ...always,
      "rot found at start",
      "repaired",
      "syncs failed",
      "writes without space",
    ],
  },
  {
    ...common,
    name: "backtrack",
    weights: {
      claim: 3,
      clone: 2,
      dropClone: 0.5,
      backtrack: 3,
      killInstance: 1,
      killNode: 1,
      powerOff: 1,
      bootNode: 3,
      partition: 2,
      heal: 2,
      nothing: 5,
    },
    sometimes: [...always, "backtracks opened", "readers rebuilt", "tails taken back", ...pinned],
  },
  {
    ...common,
    name: "reads",
    network: { ...gentle, straggle: 0.06 },
    chaosMs: [15, 80],
    workMs: [40, 700],
    weights: {
      split: 4,
      claim: 3,
      read: 12,
      partition: 3,
      isolateInstance: 4,
      heal: 3,
      killNode: 1,
      bootNode: 2,
      nothing: 2,
    },
    sometimes: ["epochs opened", "commits", "reads released", "reads refused"],
  },
  {
    ...common,
    name: "membership",
    spares: 2,
    weights: {
      claim: 2.5,
      clone: 3,
      dropClone: 0.7,
      changeMembers: 4,
      // So that who joins has to pull pins: their log is gone.
      lowWater: 1.5,
      killInstance: 1,
      killNode: 2,
      powerOff: 1,
      bootNode: 4,
      loseDisk: 0.7,
      partition: 1,
      heal: 2,
      nothing: 5,
    },
    sometimes: [
      "epochs opened",
      "commits",
      "changes begun",
      "changes finished",
      ...pinned,
      "pins pulled",
    ],
  },
  {
    ...common,
    name: "low-water",
    // Who joins above the low-water has to begin there.
    spares: 1,
    weights: {
      changeMembers: 2,
      claim: 3,
      lowWater: 5,
      backtrack: 1.5,
      killNode: 2,
      bootNode: 4,
      powerOff: 1,
      partition: 1,
      heal: 2,
      nothing: 5,
    },
    sometimes: ["epochs opened", "commits", "low-waters advanced", "rebases", "readers rebuilt"],
  },
  {
    ...common,
    name: "abandoned",
    network: { ...lossy, drop: 0.06 },
    weights: {
      claim: 4,
      backtrack: 5,
      killInstance: 4,
      partition: 2,
      heal: 2,
      bootNode: 2,
      killNode: 1,
      nothing: 3,
    },
    sometimes: ["epochs opened", "backtracks begun", "backtracks opened", "tails taken back"],
  },
];

export function profileOf(name: string): Profile | undefined {
  return profiles.find((profile) => profile.name === name);
}
