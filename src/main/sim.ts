/** `npm run sim`: the simulator of the quorum log on all cores. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname } from "node:path";
import { Worker } from "node:worker_threads";
import { Command, CommanderError } from "commander";
import {
  addTally,
  failureText,
  type Hunt,
  huntBySearch,
  mutants,
  newTally,
  playScenarios,
  profileFor,
  profileOf,
  runExhaustive,
  runSeed,
  type RunReport,
  searchMutants,
  shrinkFailure,
  silentCounters,
  stepsDefault,
  type Tally,
  thousands,
} from "../sim/index.ts";
import type { SimOrder } from "./sim-worker.ts";

interface SimOptions {
  readonly seeds: string;
  readonly seed?: string;
  readonly first: string;
  readonly profile?: string;
  readonly steps: string;
  readonly mutant?: string;
  readonly scenario?: string;
  readonly trace?: boolean;
  readonly soak?: boolean;
  readonly allowSilence?: boolean;
}

const shrinkMs = 20_000;
const soakFile = "docs/soak.json";

/** Gives the exit code: 1 for a violation, a mutant that lives, or something that should happen and never did. */
export async function main(args: readonly string[]): Promise<number> {
  if (args[0] === "--exhaustive") return runExhaustive(args.slice(1));
  const command = new Command("sim")
    .description("run the quorum log in a simulator, from seeds")
    .option("--seeds <n>", "how many seeds, profiles in turn", "200")
    .option("--first <n>", "the first of them", "1")
    .option("--seed <n>", "this seed only")
    .option("--profile <name>", "this profile only")
    .option("--steps <n>", "steps of chaos in a run", String(stepsDefault))
    .option("--mutant <id>", "hunt a mutant: M1..M39, its name, `fast` or `all`")
    .option("--scenario <id>", "play a fixed script: S1..S25, or `all`")
    .option("--trace", "with --seed: print every event")
    .option("--soak", `go on where the last soak ended, and add up in ${soakFile}`)
    .option("--allow-silence", "counters may stay at zero")
    .option("--exhaustive", "first: search small worlds whole, as `npm run sim-exhaustive` does")
    .exitOverride();
  try {
    command.parse(args, { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    throw error;
  }
  const options = command.opts<SimOptions>();
  if (options.profile !== undefined && !profileOf(options.profile)) {
    console.error(`no profile "${options.profile}"`);
    return 2;
  }
  if (options.scenario !== undefined) return playScenarios(options.scenario);
  if (options.mutant !== undefined) return hunt(options.mutant);
  if (options.seed !== undefined) return single(options, Number(options.seed));
  return campaign(options);
}

function single(options: SimOptions, seed: number): number {
  const profile = profileFor(seed, options.profile);
  const steps = Number(options.steps);
  const onEvent = (name: string, atMs: number): void => {
    console.log(`${atMs.toFixed(1).padStart(9)} ${name}`);
  };
  const report = runSeed({ seed, profile, steps, ...(options.trace ? { onEvent } : {}) });
  if (report.failure) return fail(report, steps);
  console.log(`seed ${seed}, profile ${profile}: ${thousands(report.steps)} steps, no violation`);
  console.log(JSON.stringify(report.counters));
  return 0;
}

/** Shrinks, prints, and keeps what failed. */
function fail(report: RunReport, steps: number): number {
  const { seed, profile, failure } = report;
  if (!failure) return 0;
  const endMs = performance.now() + shrinkMs;
  const shrunk = shrinkFailure(
    { seed, profile, steps },
    failure.law,
    () => performance.now() > endMs,
  );
  console.log(failureText(shrunk, report));
  mkdirSync("sim-failures", { recursive: true });
  const { events, schedule } = shrunk;
  const kept = {
    seed,
    profile,
    steps,
    law: failure.law,
    message: failure.message,
    events,
    schedule,
  };
  writeFileSync(`sim-failures/${seed}.json`, `${JSON.stringify(kept, null, 1)}\n`);
  return 1;
}

type Report =
  | { readonly kind: "tally"; readonly tally: Tally }
  | { readonly kind: "hunt"; readonly hunt: Hunt };

function runWorker(order: SimOrder, onReport: (report: Report) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL("sim-worker.js", import.meta.url), { workerData: order });
    worker.on("message", onReport);
    worker.on("error", reject);
    worker.on("exit", () => resolve());
  });
}

async function campaign(options: SimOptions): Promise<number> {
  const workers = Math.max(1, Math.min(availableParallelism(), 8));
  const count = Number(options.seeds);
  const steps = Number(options.steps);
  const before = options.soak ? readSoak() : undefined;
  const first = before ? before.nextSeed : Number(options.first);
  const tally = newTally();
  const startMs = performance.now();
  const runs = Array.from({ length: workers }, (_, index) => {
    const share = Math.floor((count - index + workers - 1) / workers);
    const seeds = { first: first + index, count: share, stride: workers };
    return runWorker({ seeds, steps, profile: options.profile }, (report) => {
      if (report.kind === "tally") addTally(tally, report.tally);
    });
  });
  await Promise.all(runs);
  const seconds = (performance.now() - startMs) / 1000;
  const rate = thousands(Math.round(tally.steps / seconds));
  console.log(
    `${thousands(tally.seeds)} seeds, ${thousands(tally.steps)} steps, ${rate} steps/s, ` +
      `${seconds.toFixed(1)} s, ${tally.failures.length} violations`,
  );
  printCounters(tally);
  if (before) writeSoak(before, tally, { nextSeed: first + count, seconds });
  tally.failures.sort((a, b) => a.seed - b.seed);
  const [failure] = tally.failures;
  if (failure) return fail(failure, steps);
  const silent = options.allowSilence ? [] : silentCounters(tally);
  for (const what of silent) console.log(`never happened: ${what}`);
  return silent.length === 0 ? 0 : 1;
}

function printCounters(tally: Tally): void {
  for (const [profile, counts] of Object.entries(tally.counters).toSorted(([a], [b]) =>
    a.localeCompare(b),
  )) {
    const parts = Object.entries(counts).map(([what, times]) => `${what} ${thousands(times)}`);
    console.log(`  ${profile}: ${parts.join(", ")}`);
  }
}

async function hunt(which: string): Promise<number> {
  const fastSteps = 200_000;
  const chosen = mutants.filter((mutant) => {
    if (which === "all") return true;
    if (which === "fast") return mutant.budget * stepsDefault <= fastSteps;
    return mutant.id === which || mutant.name === which;
  });
  const isSearched = (id: string, name: string): boolean =>
    which === "all" || which === id || which === name;
  const searchedOnly = searchMutants
    .filter(({ id, name }) => isSearched(id, name) && !mutants.some((mutant) => mutant.id === id))
    .map(({ id }) => id);
  if (chosen.length + searchedOnly.length === 0) {
    console.error(`no mutant "${which}"`);
    return 2;
  }
  const workers = Math.max(1, Math.min(availableParallelism(), 8));
  const hunts: Hunt[] = [];
  const orders = Array.from({ length: workers }, (_, index) => {
    const mine = chosen.filter((__, n) => n % workers === index).map(({ id }) => id);
    return runWorker({ steps: stepsDefault, mutants: mine }, (report) => {
      if (report.kind !== "hunt") return;
      hunts.push(report.hunt);
      printHunt(report.hunt);
    });
  });
  await Promise.all(orders);
  const missed = hunts.filter((one) => !one.caught).map((one) => one.mutant);
  console.log(`${hunts.length - missed.length} of ${hunts.length} mutants caught by seeds`);
  const rest = [...missed, ...searchedOnly];
  return rest.length === 0 || huntBySearch(rest).length === 0 ? 0 : 1;
}

function printHunt({ mutant, seeds, steps, caught }: Hunt): void {
  const name = mutants.find((one) => one.id === mutant)?.name ?? "";
  const after = `${thousands(seeds)} seeds (${thousands(steps)} steps)`;
  console.log(
    caught
      ? `${mutant} ${name}: caught after ${after}: ${caught.law} ${caught.message}`
      : `${mutant} ${name}: NOT CAUGHT in ${after}`,
  );
}

interface Soak {
  readonly seeds: number;
  readonly steps: number;
  readonly seconds: number;
  readonly violations: readonly string[];
  readonly nextSeed: number;
}

function readSoak(): Soak {
  const none: Soak = { seeds: 0, steps: 0, seconds: 0, violations: [], nextSeed: 1_000_000 };
  return existsSync(soakFile) ? (JSON.parse(readFileSync(soakFile, "utf8")) as Soak) : none;
}

function writeSoak(before: Soak, tally: Tally, more: { nextSeed: number; seconds: number }): void {
  const found = tally.failures.map(
    ({ seed, profile, failure }) =>
      `${seed} ${profile}: ${failure?.law ?? ""} ${failure?.message ?? ""}`,
  );
  const after: Soak = {
    seeds: before.seeds + tally.seeds,
    steps: before.steps + tally.steps,
    seconds: Math.round(before.seconds + more.seconds),
    violations: [...before.violations, ...found],
    nextSeed: more.nextSeed,
  };
  mkdirSync(dirname(soakFile), { recursive: true });
  writeFileSync(soakFile, `${JSON.stringify(after, null, 2)}\n`);
}
