import { trueRules } from "../../quorum/index.ts";
import { realClock } from "../../io/index.ts";
import { play, scenarios } from "../scenarios/index.ts";
import { exhaust, findJobs, formatReport, jobs, runJob, searchMutants } from "./index.ts";

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
  if (isMutants) return runMutants(limits);
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

function runMutants(limits: {
  readonly clock: { nowMs(): number };
  readonly timeLimitMs: number;
}): number {
  let survivors = 0;
  for (const { id, name, broken, world } of searchMutants) {
    const report = exhaust({ ...world, ...limits, rules: { ...trueRules, ...broken } });
    console.log(formatReport(`${id} ${name}`, report));
    if (!report.violation) survivors++;
  }
  console.log(`${searchMutants.length - survivors} of ${searchMutants.length} mutants caught`);
  return survivors === 0 ? 0 : 1;
}

function playScenarios(id: string): number {
  const chosen = scenarios.filter((scenario) => id === "all" || scenario.id === id);
  if (chosen.length === 0) return refuse(usage);
  let failed = 0;
  for (const scenario of chosen) {
    const { law, steps } = play(scenario);
    const outcome =
      law === undefined ? `${steps} steps, no law broken` : `${law}, at step ${steps}`;
    console.log(`${scenario.id} ${scenario.what}: ${scenario.expected}\n  ${outcome}`);
    if (law !== undefined) failed++;
  }
  return failed === 0 ? 0 : 1;
}

function refuse(text: string): number {
  console.error(text);
  return 2;
}
