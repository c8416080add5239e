/** Runs one load on every contender, round by round, in turn. */
import { setTimeout as pause } from "node:timers/promises";
import { cpuBetween, type CpuTime, cpuTimeOf } from "./cpu.ts";
import type { Contender } from "./contender.ts";
import { type Load, measure, type Measured, tidy, type Tools } from "./pgbench.ts";
import type { BenchOptions } from "./options.ts";
import { formatTable, type Row, rowOf } from "./report.ts";
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
}

export type Series = ReadonlyMap<string, readonly Round[]>;

/** Every contender's rounds for one load, after a warm-up of each. The order turns by one each round. */
export async function runRounds(
  contenders: readonly Contender[],
  load: Omit<Load, "seconds">,
  { options, tools, before = [] }: RoundsPlan,
): Promise<Series> {
  const series = new Map<string, Round[]>(contenders.map(({ name }) => [name, []]));
  const label = `${load.script} -M ${load.protocol} c=${load.clients}`;
  for (const { target } of contenders) {
    await measure(tools, target, { ...load, seconds: options.warmUpSeconds });
  }
  for (let round = 0; round < options.rounds; round++) {
    const results: string[] = [];
    for (let k = 0; k < contenders.length; k++) {
      const contender = contenders[(k + round) % contenders.length];
      if (!contender) continue;
      const { name, target } = contender;
      if (load.script === "tpcb") await tidy(tools, target, ...before);
      const run = { ...load, seconds: options.seconds };
      const { measured, cpu } = await runOne(contender, run, tools);
      const cpuUs = (cpu.totalMs * 1000) / measured.transactions;
      series.get(name)?.push({ ...measured, cpuUs, cpu });
      results.push(`${name} ${measured.tps.toFixed(0)} tps ${cpuUs.toFixed(0)} µs`);
    }
    console.log(`${label}, round ${round + 1} of ${options.rounds}: ${results.join(", ")}`);
  }
  console.log(`${summarize(series)}\n`);
  return series;
}

/** One run, with what goes on beside it. */
async function runOne(
  { target, pids, beside }: Contender,
  load: Load,
  tools: Tools,
): Promise<{ measured: Measured; cpu: CpuTime }> {
  const over = new AbortController();
  const start = await settledCpuTime(pids());
  const besides = beside?.(over.signal);
  // Raised below, when pgbench has ended.
  besides?.catch(() => undefined);
  try {
    const measured = await measure(tools, target, load);
    const cpu = cpuBetween(start, await settledCpuTime(pids()));
    return { measured, cpu };
  } finally {
    over.abort();
    await besides;
  }
}

/** After the backends of the last run have ended, and their parent has their time. */
async function settledCpuTime(roots: readonly number[]): Promise<CpuTime> {
  await pause(250);
  return cpuTimeOf(roots);
}

/** The figures of one load: medians, and the least and most tps of the rounds. */
function summarize(series: Series): string {
  const rows = [...series].map(([name, rounds]) => {
    const tps = rounds.map((round) => round.tps);
    const numbers = [
      median(tps),
      Math.min(...tps),
      Math.max(...tps),
      median(rounds.map((round) => round.latencyMs)) * 1000,
      median(rounds.map((round) => round.cpuUs)),
    ];
    return [name, ...numbers.map((value) => value.toFixed(0))];
  });
  const table = formatTable(["", "tps", "min", "max", "latency µs", "CPU µs/tx"], rows);
  return [table, ...[...series].flatMap(([name, rounds]) => whereCpuGoes(name, rounds))].join("\n");
}

/** The CPU of a contender of several programs, by program. */
function whereCpuGoes(name: string, rounds: readonly Round[]): string[] {
  const transactions = rounds.reduce((sum, round) => sum + round.transactions, 0);
  const total = new Map<string, number>();
  for (const { cpu } of rounds) {
    for (const [label, ms] of cpu.byProcess) total.set(label, (total.get(label) ?? 0) + ms);
  }
  if (total.size < 2) return [];
  const parts = [...total]
    .toSorted((a, b) => b[1] - a[1])
    .map(([label, ms]) => `${label} ${((ms * 1000) / transactions).toFixed(0)}`);
  return [`CPU of ${name}, µs/tx: ${parts.join(", ")}`];
}

/** Rows "tps" and "CPU µs/transaction" of ours beside each peer. */
export function compareRounds(title: string, series: Series): Row[] {
  const ours = series.get("ours");
  if (!ours) return [];
  const rows: Row[] = [];
  for (const [peerName, peer] of series) {
    if (peerName === "ours") continue;
    const compare = (unit: string, pick: (round: Round) => number): Row =>
      rowOf({ case: title, unit, ours: ours.map(pick), peer: peer.map(pick), peerName });
    rows.push(compare("tps", (round) => round.tps));
    rows.push(compare("CPU µs/transaction", (round) => round.cpuUs));
  }
  return rows;
}
