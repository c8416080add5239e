/** A thread of `npm run sim`: runs the seeds, or hunts the mutants, that it is given. */
import { parentPort, workerData } from "node:worker_threads";
import { addReport, huntMutant, mutants, newTally, profileFor, runSeed } from "../sim/index.ts";

export interface SimOrder {
  readonly seeds?: { readonly first: number; readonly count: number; readonly stride: number };
  readonly profile?: string | undefined;
  readonly steps: number;
  readonly mutants?: readonly string[];
}

/** Seeds between two reports. */
const batchSeeds = 8;

function work(order: SimOrder): void {
  const { seeds, steps } = order;
  for (const id of order.mutants ?? []) {
    const mutant = mutants.find((one) => one.id === id);
    if (mutant) parentPort?.postMessage({ kind: "hunt", hunt: huntMutant(mutant) });
  }
  if (!seeds) return;
  let tally = newTally();
  for (let n = 0; n < seeds.count; n++) {
    const seed = seeds.first + n * seeds.stride;
    addReport(tally, runSeed({ seed, profile: profileFor(seed, order.profile), steps }));
    if (tally.seeds < batchSeeds && tally.failures.length === 0) continue;
    parentPort?.postMessage({ kind: "tally", tally });
    tally = newTally();
  }
  parentPort?.postMessage({ kind: "tally", tally });
}

// What the main thread made this worker with.
work(workerData as SimOrder);
