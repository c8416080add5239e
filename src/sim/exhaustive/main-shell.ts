import { trueRules } from "../../quorum/index.ts";
import { realClock } from "../../io/index.ts";
import { exhaust, findJobs, formatReport, jobs, runJob, searchMutants } from "./index.ts";

const usage = `npm run sim-exhaustive -- [--mutants] [--seconds N] [JOB ...]
jobs: ${jobs.map((job) => job.name).join(", ")}; none named: all`;

/** Runs the named jobs, or every mutant; the exit code. */
export function main(argv: readonly string[]): number {
  const names: string[] = [];
  let seconds = 300;
  let isMutants = false;
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? "";
    if (word === "--mutants") isMutants = true;
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

function refuse(text: string): number {
  console.error(text);
  return 2;
}
