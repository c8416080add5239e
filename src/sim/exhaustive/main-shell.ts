import { trueRules } from "../../quorum/index.ts";
import { realClock } from "../../io/index.ts";
import { playScenarios, scenarios } from "../scenarios/index.ts";
import { exhaust } from "./exhaust.ts";
import { findJobs, jobs, runJob } from "./jobs.ts";
import { searchMutants } from "./mutants.ts";
import { formatReport } from "./report.ts";

const usage = `npm run sim-exhaustive -- [--mutants] [--seconds N] [JOB ...] | --scenario ID
jobs: ${jobs.map((job) => job.name).join(", ")}; none named: all
scenarios: ${scenarios.map((scenario) => scenario.id).join(", ")}, or all`;

/** Runs the named jobs, or every mutant; the exit code. */
export function main(argv: readonly string[]): number {
  const names: string[] = [];
  let seconds = 300;
  let isMutants = false;
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? "";
    if (word === "--mutants") isMutants = true;
    else if (word === "--scenario") return playScenarios(argv[i + 1] ?? "");
    else if (word === "--seconds") seconds = Number(argv[++i]);
    else if (word.startsWith("-")) return refuse(usage);
    else names.push(word);
  }
  if (!(seconds > 0)) return refuse("--seconds is a number above 0");
  const limits = { clock: realClock, timeLimitMs: seconds * 1000 };
  if (isMutants)
    return huntBySearch(
      searchMutants.map(({ id }) => id),
      limits,
    ).length === 0
      ? 0
      : 1;
  const chosen = findJobs(names);
  if (!chosen) return refuse(usage);
  let failed = 0;
  for (const job of chosen) {
    const { report, isPassed } = runJob(job, limits);
    console.log(`${formatReport(job.name, report)}\n  ${job.what}`);
    if (!isPassed) failed++;
  }
  return failed === 0 ? 0 : 1;
}

interface Limits {
  readonly clock: { nowMs(): number };
  readonly timeLimitMs: number;
}

/** Searches for what each of these mutants breaks, and prints it; the ids of those that live, or are not searched for. */
export function huntBySearch(
  ids: readonly string[],
  limits: Limits = { clock: realClock, timeLimitMs: 60_000 },
): string[] {
  const alive: string[] = [];
  for (const id of ids) {
    const mutant = searchMutants.find((one) => one.id === id);
    if (!mutant) {
      alive.push(id);
      continue;
    }
    const { name, broken, world } = mutant;
    const report = exhaust({ ...world, ...limits, rules: { ...trueRules, ...broken } });
    console.log(formatReport(`${id} ${name}, exhaustive search`, report));
    if (!report.violation) alive.push(id);
  }
  console.log(`${ids.length - alive.length} of ${ids.length} mutants caught by exhaustive search`);
  return alive;
}

function refuse(text: string): number {
  console.error(text);
  return 2;
}
