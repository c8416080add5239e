import { Counters } from "./counters.ts";
import { type Mutant, rulesOf } from "./mutants.ts";
import { profiles } from "./profiles.ts";
import { type RunReport, runSeed } from "./run.ts";

export const stepsDefault = 1_500;

/** Profiles in turn, unless one is asked for. */
export function profileFor(seed: number, asked: string | undefined): string {
  return asked ?? profiles[seed % profiles.length]?.name ?? "general";
}

export interface Tally {
  seeds: number;
  steps: number;
  readonly failures: RunReport[];
  /** By profile. */
  readonly counters: Record<string, Record<string, number>>;
}

export function newTally(): Tally {
  return { seeds: 0, steps: 0, failures: [], counters: {} };
}

export function addReport(tally: Tally, report: RunReport): void {
  tally.seeds++;
  tally.steps += report.steps;
  if (report.failure) tally.failures.push(report);
  addCounters(tally, report.profile, report.counters);
}

export function addTally(tally: Tally, other: Tally): void {
  tally.seeds += other.seeds;
  tally.steps += other.steps;
  tally.failures.push(...other.failures);
  for (const [profile, counts] of Object.entries(other.counters))
    addCounters(tally, profile, counts);
}

function addCounters(
  tally: Tally,
  profile: string,
  counts: Readonly<Record<string, number>>,
): void {
  const sum = new Counters();
  sum.add(tally.counters[profile] ?? {});
  sum.add(counts);
  tally.counters[profile] = sum.toRecord();
}

/** What should happen sometimes and never did: a suite in which nothing happens proves nothing. */
export function silentCounters(tally: Tally): string[] {
  return profiles.flatMap(({ name, sometimes }) => {
    const counts = tally.counters[name];
    if (!counts) return [];
    return sometimes.filter((what) => !counts[what]).map((what) => `${name}: ${what}`);
  });
}

export interface Hunt {
  readonly mutant: string;
  readonly seeds: number;
  readonly steps: number;
  /** How it was caught; undefined: it was not. */
  readonly caught: { readonly law: string; readonly message: string } | undefined;
}

/** Seeds in order, until a law breaks or the budget is used up. */
export function huntMutant(mutant: Mutant, budget = mutant.budget): Hunt {
  let steps = 0;
  const rules = rulesOf(mutant);
  for (let seed = 1; seed <= budget; seed++) {
    const profile = profileFor(seed, mutant.profile);
    const report = runSeed({ seed, profile, steps: stepsDefault, rules });
    steps += report.steps;
    if (report.failure) {
      const { law, message } = report.failure;
      return { mutant: mutant.id, seeds: seed, steps, caught: { law, message } };
    }
  }
  return { mutant: mutant.id, seeds: budget, steps, caught: undefined };
}
