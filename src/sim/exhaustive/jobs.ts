import type { Rules } from "../../quorum/index.ts";
import { strayBacktrack } from "./beginnings.ts";
import { exhaust, type ExhaustOptions, type ExhaustReport } from "./exhaust.ts";

export type World = Omit<
  ExhaustOptions,
  "clock" | "rules" | "depthMax" | "stateLimit" | "timeLimitMs"
>;

/** A world worth searching. */
export interface Job {
  readonly name: string;
  /** In one line, for people. */
  readonly what: string;
  readonly world: World;
  /** True: seconds; run with every test. */
  readonly isShort: boolean;
  /** Where it may stop; absent: it must reach its fixpoint. */
  readonly depthMax?: number;
}

const three = { nodes: 3, epochs: 2, units: 2, backtracks: 1, withPull: true } as const;

/** Section 6 of the simulation tests, and what grew beside it. */
export const jobs: readonly Job[] = [
  {
    name: "two-epochs",
    what: "3 nodes, 2 epochs, 2 units, 1 backtrack",
    world: three,
    isShort: true,
  },
  {
    name: "half-records",
    what: "3 nodes, 2 epochs, 1 record of 2 units, 1 backtrack, VDL hints",
    world: { ...three, unitsPerRecord: 2, withHints: true },
    isShort: true,
  },
  {
    name: "crashes",
    what: "3 nodes, 2 epochs, 2 units, 1 backtrack, late syncs and power failures",
    world: { ...three, withSync: true },
    isShort: true,
  },
  {
    name: "four-nodes",
    what: "4 nodes (W = 3, R = 2), 2 epochs, 1 unit, 1 backtrack, two claims of epoch 2",
    world: { ...three, nodes: 4, units: 1, rivals: 1 },
    isShort: true,
  },
  {
    name: "six-nodes",
    what: "6 nodes (W = 4, R = 3), 2 epochs, 1 unit, 1 backtrack",
    world: { ...three, nodes: 6, units: 1 },
    isShort: true,
  },
  {
    name: "three-epochs",
    what: "3 nodes, 3 epochs, 1 unit, 1 backtrack",
    world: { ...three, epochs: 3, units: 1 },
    isShort: true,
  },
  {
    name: "hints",
    what: "3 nodes, 2 epochs, 2 units, 1 backtrack, VDL hints",
    world: { ...three, withHints: true },
    isShort: true,
  },
  {
    name: "crashes-hints",
    what: "3 nodes, 2 epochs, 2 units, 1 backtrack, late syncs and power failures, VDL hints",
    world: { ...three, withSync: true, withHints: true },
    isShort: false,
  },
  {
    name: "two-backtracks",
    what: "3 nodes, 3 epochs, 1 unit, 2 backtracks, VDL hints",
    world: { ...three, epochs: 3, units: 1, backtracks: 2, withHints: true },
    isShort: false,
  },
  {
    name: "stray-backtrack",
    what: "5 nodes (W = R = 3), 4 epochs, 1 unit, from a backtrack that one node has met",
    world: { ...three, nodes: 5, epochs: 4, units: 1, from: strayBacktrack },
    isShort: false,
    depthMax: 14,
  },
  {
    name: "four-epochs",
    what: "3 nodes, 4 epochs, 1 unit, 1 backtrack",
    world: { ...three, epochs: 4, units: 1 },
    isShort: false,
  },
  {
    name: "three-epochs-two-units",
    what: "3 nodes, 3 epochs, 2 units, 1 backtrack",
    world: { ...three, epochs: 3 },
    isShort: false,
  },
];

/** Jobs of these names; none given: all. Undefined for a name that is no job's. */
export function findJobs(names: readonly string[]): readonly Job[] | undefined {
  if (names.length === 0) return jobs;
  const found = names.map((name) => jobs.find((job) => job.name === name));
  return found.every((job) => job !== undefined) ? found : undefined;
}

export interface RunOptions {
  readonly clock: { nowMs(): number };
  readonly rules?: Rules;
  readonly stateLimit?: number;
  readonly timeLimitMs?: number;
}

export interface JobResult {
  readonly job: Job;
  readonly report: ExhaustReport;
  /** Nothing was found, and the search went as far as the job asks. */
  readonly isPassed: boolean;
}

/** Searches the job's world. */
export function runJob(job: Job, options: RunOptions): JobResult {
  const { depthMax } = job;
  const bound = depthMax === undefined ? {} : { depthMax };
  const report = exhaust({ ...job.world, ...bound, ...options });
  const { ended } = report;
  const isPassed = ended === "fixpoint" || (ended === "depth" && depthMax !== undefined);
  return { job, report, isPassed };
}
