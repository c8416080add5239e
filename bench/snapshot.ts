/**
 * What taking snapshots costs the workload: one cluster under TPC-B, with one snapshot after another being taken, beside the
 * same without; with readers, one of which they are taken from, and with the writer alone.
 */
import { randomUUID } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { tell } from "../src/main/control-calls.ts";
import { resolveLayout } from "../src/main/data-dir.ts";
import { orAborted } from "./abort.ts";
import type { Bench, BenchContext } from "./bench.ts";
import type { Contender } from "./contender.ts";
import { type BorealisContender, startBorealis } from "./peers/borealis.ts";
import { fillAndSettle } from "./select.ts";
import type { Row } from "./report.ts";
import { compareRounds, type Round, runRounds } from "./rounds.ts";
import { median } from "./stats.ts";

/** A snapshot as the keeper logs it. */
export interface TakenSnapshot {
  readonly id: string;
  readonly mode: string;
  readonly readBytes: number;
  readonly storedBytes: number;
  readonly tookMs: number;
}

const takeMs = 600_000;

export const snapshot: Bench = {
  what: "TPC-B-like transactions while snapshots are taken, beside the same without",
  async run(context) {
    const { readers } = context.options;
    const rows: Row[] = [];
    for (const count of readers === undefined ? [2, 0] : [readers]) {
      rows.push(...(await withReaders(context, count)));
    }
    return rows;
  },
};

async function withReaders(context: BenchContext, readers: number): Promise<Row[]> {
  const { ground, options, postgresBin, note } = context;
  const scale = options.scale ?? 20;
  const title = `${readers} readers`;
  const cluster = await startBorealis(ground, { postgresBin, readers, name: `readers-${readers}` });
  console.log(`${title}: ${cluster.settings.join("; ")}\nFilling it (scale ${scale}) ...`);
  await fillAndSettle(context, cluster.target, scale);
  await cluster.settle();
  // Those in the rounds come after another one, as they do in the life of a cluster: incremental where PostgreSQL can.
  await takeOne(context, cluster);
  const rows: Row[] = [];
  for (const clients of options.clients ?? [16, 1]) {
    const known = new Set(snapshotsIn(keeperLog(cluster)).map(({ id }) => id));
    const load = { clients, protocol: "prepared", script: "tpcb" } as const;
    const series = await runRounds(sidesOf(context, cluster), load, {
      options,
      tools: ground.tools,
      // A checkpoint belongs to a snapshot: the round without one is not to begin with what it saves, or costs.
      before: ["CHECKPOINT"],
    });
    const label = `TPC-B scale ${scale}, prepared, c=${clients}, ${title}`;
    rows.push(...compareRounds(`${label}, snapshots taken`, series));
    const taken = snapshotsIn(keeperLog(cluster)).filter(({ id }) => !known.has(id));
    note(`${label}: ${describeSnapshots(taken, options.rounds)}`);
    const { ours = [], undisturbed = [] } = Object.fromEntries(series);
    note(`${label}: ${describeCost(costOf({ ours, undisturbed, count: taken.length }))}`);
  }
  await cluster.stop();
  rmSync(cluster.dataDir, { recursive: true, force: true });
  return rows;
}

/** Both are the same cluster. */
function sidesOf(context: BenchContext, cluster: BorealisContender): Contender[] {
  const { target, pids, settings } = cluster;
  const side = { target, pids, settings };
  const beside = async (isOver: AbortSignal): Promise<void> => {
    while (!isOver.aborted) await takeOne(context, cluster);
  };
  return [
    { ...side, name: "ours", beside },
    { ...side, name: "undisturbed" },
  ];
}

/** As `borealis snapshot create ID`, without a process for it: that would be load beside the load. */
async function takeOne(
  { ground }: BenchContext,
  { dataDir }: Pick<BorealisContender, "dataDir">,
): Promise<void> {
  const id = `bench-${randomUUID()}`;
  const taken = tell(resolveLayout(dataDir), "snapshotCreate", { id }, takeMs);
  await orAborted(taken, ground.signal);
}

function keeperLog({ dataDir }: Pick<BorealisContender, "dataDir">): string {
  return readFileSync(join(dataDir, "log", "keeper.log"), "utf8");
}

/** Those that users or the schedule asked for, in a keeper's log; the one that a volume is born with has no figures. */
export function snapshotsIn(log: string): TakenSnapshot[] {
  return log.split("\n").flatMap((line) => {
    if (!line.startsWith("{")) return [];
    const {
      event,
      snapshot: id,
      ...figures
    } = JSON.parse(line) as Partial<TakenSnapshot & { event: string; snapshot: string }>;
    const { mode, readBytes, storedBytes, tookMs } = figures;
    if (event !== "snapshot.taken" || id === undefined || mode === undefined) return [];
    if (readBytes === undefined || storedBytes === undefined || tookMs === undefined) return [];
    return [{ id, mode, readBytes, storedBytes, tookMs }];
  });
}

/** How many, and what one of them was: who takes one an hour has so much less of the cost. */
export function describeSnapshots(taken: readonly TakenSnapshot[], rounds: number): string {
  const modes = [...new Set(taken.map(({ mode }) => mode))]
    .map((mode) => `${taken.filter((one) => one.mode === mode).length} ${mode}`)
    .join(", ");
  const middle = (pick: (one: TakenSnapshot) => number): string =>
    median(taken.map(pick)).toFixed(1);
  const seconds = middle(({ tookMs }) => tookMs / 1000);
  const [read, stored] = [
    middle(({ readBytes }) => readBytes / 2 ** 20),
    middle(({ storedBytes }) => storedBytes / 2 ** 20),
  ];
  return `${taken.length} snapshots in ${rounds} rounds (${modes || "none"}); the median one copied for ${seconds} s, read ${read} MiB and stored ${stored} MiB`;
}

/** What one snapshot cost, whatever the time between two of them is. */
export interface SnapshotCost {
  /** Beyond what the transactions beside it cost in rounds without one. */
  readonly cpuMs: number;
  /** So long it would take, undisturbed, to run the transactions that were not run beside it. */
  readonly lostMs: number;
}

/**
 * Over all rounds. What the last snapshot of a round did after the round's end is in neither, so both are a little low; the
 * more so the fewer snapshots a round has.
 */
export function costOf(measured: {
  readonly ours: readonly Cost[];
  readonly undisturbed: readonly Cost[];
  readonly count: number;
}): SnapshotCost {
  const { ours, undisturbed, count } = measured;
  let [cpuMs, lostMs] = [0, 0];
  for (const [round, { tps, transactions, cpuUs }] of ours.entries()) {
    const without = undisturbed[round];
    if (!without) continue;
    cpuMs += (transactions * (cpuUs - without.cpuUs)) / 1000;
    lostMs += 1000 * transactions * (1 / tps - 1 / without.tps);
  }
  return { cpuMs: cpuMs / count, lostMs: lostMs / count };
}

type Cost = Pick<Round, "tps" | "transactions" | "cpuUs">;

function describeCost({ cpuMs, lostMs }: SnapshotCost): string {
  const [cpu, lost] = [cpuMs, lostMs].map((ms) => (ms / 1000).toFixed(2));
  return `a snapshot cost ${cpu} s of CPU, and as many transactions as ${lost} s of the load have`;
}
