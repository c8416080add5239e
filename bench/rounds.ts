/** Runs one load, or other work, on every contender, round by round, in turn. */
import { setTimeout as pause } from "node:timers/promises";
import { cpuBetween, type CpuTime, cpuTimeOf, settledCpuTime } from "./cpu.ts";
import type { Contender } from "./contender.ts";
import {
  type Load,
  measure,
  type Measured,
  tidy,
  type Tools,
  warmUp as warmUpWith,
} from "./pgbench.ts";
import type { BenchOptions } from "./options.ts";
import { besideOurs, formatTable, type Pair, type Row, rowOf } from "./report.ts";
import { median } from "./stats.ts";

export interface Round extends Measured {
  /** User and system time of all the contender's processes for one transaction; pgbench's own is not in it. */
  readonly cpuUs: number;
  readonly cpu: CpuTime;
}

export interface RoundsPlan {
  readonly options: BenchOptions;
  readonly tools: Tools;
  /** Statements before each run of a load that writes. */
  readonly before?: readonly string[];
  /** Where pgbench's words do not say what the load is. */
  readonly label?: string;
  readonly units?: Units;
}

export type Series = ReadonlyMap<string, readonly Round[]>;

/** What is counted, in tables and rows. */
export interface Units {
  readonly rate: string;
  readonly cpu: string;
}

const transactions: Units = { rate: "tps", cpu: "CPU µs/transaction" };

/** What contenders do in turn. Only `once` is measured. */
export interface Work<C extends Contender> {
  readonly label: string;
  readonly units?: Units;
  /** Of each contender, before the rounds. */
  readonly warmUp?: (contender: C) => Promise<unknown>;
  readonly before?: (contender: C) => Promise<unknown>;
  readonly once: (contender: C) => Promise<Measured>;
  readonly after?: (contender: C) => Promise<unknown>;
}

/** Every contender's rounds for one load, after a warm-up of each. */
export async function runRounds(
  contenders: readonly Contender[],
  load: Omit<Load, "seconds">,
  plan: RoundsPlan,
): Promise<Series> {
  const { options, tools, before = [], units = transactions } = plan;
  const { label = `${load.script} -M ${load.protocol} c=${load.clients}` } = plan;
  const { seconds, warmUpSeconds } = options;
  const work: Work<Contender> = {
    label,
    units,
    warmUp: ({ target }) => warmUpWith(tools, target, { ...load, seconds: warmUpSeconds }),
    once: ({ target }) => measure(tools, target, { ...load, seconds }),
    ...(load.script === "tpcb" ? { before: ({ target }) => tidy(tools, target, ...before) } : {}),
  };
  return runWork(contenders, work, options);
}

/** Every contender's rounds. The order turns by one each round. `restMs`: between readings of CPU times. */
export async function runWork<C extends Contender>(
  contenders: readonly C[],
  { label, units = transactions, warmUp, before, once, after }: Work<C>,
  { rounds, restMs = 125 }: Pick<BenchOptions, "rounds"> & { readonly restMs?: number },
): Promise<Series> {
  const series = new Map<string, Round[]>(contenders.map(({ name }) => [name, []]));
  for (const contender of contenders) await warmUp?.(contender);
  for (let round = 0; round < rounds; round++) {
    const results: string[] = [];
    for (let k = 0; k < contenders.length; k++) {
      const contender = contenders[(k + round) % contenders.length];
      if (!contender) continue;
      await before?.(contender);
      const { measured, cpu } = await runOne(contender, () => once(contender), restMs);
      await after?.(contender);
      const cpuUs = (cpu.totalMs * 1000) / measured.transactions;
      series.get(contender.name)?.push({ ...measured, cpuUs, cpu });
      const rate = `${legible(measured.tps)} ${units.rate}`;
      results.push(`${contender.name} ${rate} ${cpuUs.toFixed(0)} µs`);
    }
    console.log(`${label}, round ${round + 1} of ${rounds}: ${results.join(", ")}`);
  }
  console.log(`${summarize(series, units)}\n`);
  return series;
}

/** One run, with what goes on beside it. */
async function runOne(
  { pids, beside }: Contender,
  once: () => Promise<Measured>,
  restMs: number,
): Promise<{ measured: Measured; cpu: CpuTime }> {
  const over = new AbortController();
  const start = await settled(pids(), restMs);
  const besides = beside?.(over.signal);
  // Raised below, when the work has ended.
  besides?.catch(() => undefined);
  try {
    const measured = await once();
    const cpu = cpuBetween(start, await settled(pids(), restMs));
    return { measured, cpu };
  } finally {
    over.abort();
    await besides;
  }
}

/** After the backends of the last run have ended, or most of them. */
async function settled(roots: readonly number[], restMs: number): Promise<CpuTime> {
  await pause(restMs);
  return settledCpuTime(
    () => cpuTimeOf(roots),
    () => pause(restMs),
  );
}

/** The figures of one load: medians, and the least and most tps of the rounds. */
function summarize(series: Series, { rate, cpu }: Units): string {
  const rows = [...series].map(([name, rounds]) => {
    const tps = rounds.map((round) => round.tps);
    const rates = [median(tps), Math.min(...tps), Math.max(...tps)];
    const others = [
      median(rounds.map((round) => round.latencyMs)) * 1000,
      median(rounds.map((round) => round.cpuUs)),
    ];
    return [name, ...rates.map(legible), ...others.map((value) => value.toFixed(0))];
  });
  const table = formatTable(["", rate, "min", "max", "latency µs", cpu], rows);
  return [table, ...[...series].flatMap(([name, rounds]) => whereCpuGoes(name, rounds))].join("\n");
}

function legible(rate: number): string {
  return rate.toFixed(rate < 100 ? 1 : 0);
}

/** The CPU of a contender of several programs, by program. */
function whereCpuGoes(name: string, rounds: readonly Round[]): string[] {
  const count = rounds.reduce((sum, round) => sum + round.transactions, 0);
  const total = new Map<string, number>();
  for (const { cpu } of rounds) {
    for (const [label, ms] of cpu.byProcess) total.set(label, (total.get(label) ?? 0) + ms);
  }
  if (total.size < 2) return [];
  const parts = [...total]
    .toSorted((a, b) => b[1] - a[1])
    .map(([label, ms]) => `${label} ${((ms * 1000) / count).toFixed(0)}`);
  return [`CPU of ${name}, µs each: ${parts.join(", ")}`];
}

/** Two rows for each pair, of the rate and of CPU; unless told, "ours" beside each of the others. */
export function compareRounds(
  title: string,
  series: Series,
  {
    units = transactions,
    pairs = besideOurs(series.keys()),
  }: { units?: Units; pairs?: readonly Pair[] } = {},
): Row[] {
  return pairs.flatMap(([name, peerName]) => {
    const [ours, peer] = [series.get(name), series.get(peerName)];
    if (!ours || !peer) return [];
    const compare = (unit: string, pick: (round: Round) => number): Row =>
      rowOf({ case: title, unit, ours: ours.map(pick), peer: peer.map(pick), peerName });
    return [compare(units.rate, ({ tps }) => tps), compare(units.cpu, ({ cpuUs }) => cpuUs)];
  });
}
