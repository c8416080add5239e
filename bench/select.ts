/**
 * What the endpoint costs: one row by its key, through the writer endpoint, through PgBouncer, and without anything
 * between, over TCP and over a unix socket; a server connection each, and sharing a few. The table fits into shared_buffers, so that the path is what is measured.
 */
import type { Bench, BenchContext, Plan } from "./bench.ts";
import type { Contender } from "./contender.ts";
import { fill, sql } from "./pgbench.ts";
import { startBorealis } from "./peers/borealis.ts";
import { findPgbouncer, followsPrepared, startPgbouncer } from "./peers/pgbouncer.ts";
import { startPostgres, type StockPostgres } from "./peers/postgres.ts";
import { besideOurs, type Pair, type Row, rowOf } from "./report.ts";
import { compareRounds, runRounds, type Series } from "./rounds.ts";
import { median } from "./stats.ts";

const gateOff = "ours-gate-off";
const pooled = { ours: "ours-pooled", pgbouncer: "pgbouncer-transaction" } as const;
/** Server connections of those that share them. */
const servers = 8;
/** 290 connections are for users (engine/settings.ts): three per cent of them are eight. */
const poolSettings = ["pool.mode=auto", "pool.maxConnectionsPercent=3"];
const protocols = ["prepared", "extended", "simple"] as const;

export const select: Bench = {
  what: "select-only through the endpoint beside PgBouncer (session and transaction mode) and direct",
  async run(context) {
    const { ground, options, note } = context;
    const pgbouncer = findPgbouncer();
    const contenders = await start(context, pgbouncer);
    const run = { options, tools: ground.tools };
    const unpooled = contenders.filter(({ name }) => !isPooled(name));
    const follows = pgbouncer === undefined || followsPrepared(pgbouncer);
    if (!follows)
      note(
        `skipped ${pooled.pgbouncer}, prepared: this PgBouncer does not follow them (1.21 does)`,
      );
    const rows: Row[] = [];
    for (const clients of options.clients ?? [16, 64]) {
      for (const protocol of protocols) {
        const load = { clients, protocol, script: "select" } as const;
        const sides = contenders.filter(
          ({ name }) => follows || protocol !== "prepared" || name !== pooled.pgbouncer,
        );
        const series = await runRounds(sides, load, run);
        const what = `${protocol}, c=${clients}`;
        const pairs = besideOurs(unpooled.map(({ name }) => name));
        rows.push(...compareRounds(`select, ${what}`, series, { pairs }));
        const shared: Pair[] = [pooled.pgbouncer, "ours"].map((name) => [pooled.ours, name]);
        rows.push(...compareRounds(`select on ${servers}, ${what}`, series, { pairs: shared }));
      }
    }
    const single = { clients: 1, protocol: "simple", script: "select" } as const;
    const series = await runRounds(unpooled, single, run);
    rows.push(...compareRounds("select, simple, c=1", series), ...compareLatency(series));
    noteAddedLatency(series, note);
    return rows;
  },
};

function isPooled(name: string): boolean {
  return name === pooled.ours || name === pooled.pgbouncer;
}

/** All peers stand before one stock PostgreSQL; each of ours has its own writer, with the same rows and settings. */
async function start(context: BenchContext, program: string | undefined): Promise<Contender[]> {
  const { ground, options, postgresBin, startAll, note } = context;
  const scale = options.scale ?? 5;
  const stock = await startPostgres(ground, "postgres");
  await fillAndSettle(context, stock.tcp, scale);
  const ours = (name: string, settings: readonly string[]) => (): Promise<Contender> =>
    startBorealis(ground, { postgresBin, name, settings });
  const plans: Plan[] = [
    { name: "ours", start: ours("ours", []) },
    // What the gate of reads costs.
    { name: gateOff, isExtra: true, start: ours(gateOff, ["gate.mode=off"]) },
    { name: "direct-tcp", start: () => Promise.resolve(direct("direct-tcp", stock, context)) },
    { name: "direct-unix", start: () => Promise.resolve(direct("direct-unix", stock, context)) },
    { name: pooled.ours, start: ours(pooled.ours, poolSettings) },
  ];
  if (program === undefined) note("skipped pgbouncer: it is not installed, and only root can");
  else {
    const shared = { name: pooled.pgbouncer, servers };
    plans.push(
      { name: "pgbouncer", start: () => startPgbouncer(ground, program, stock) },
      { name: shared.name, start: () => startPgbouncer(ground, program, stock, shared) },
    );
  }
  const contenders = await startAll(plans);
  for (const { name, target } of contenders)
    if (name.startsWith("ours")) await fillAndSettle(context, target, scale);
  return contenders;
}

export async function fillAndSettle(
  { ground }: BenchContext,
  target: Contender["target"],
  scale: number,
): Promise<void> {
  await fill(ground.tools, target, scale);
  await sql(ground.tools, target, "VACUUM ANALYZE", "CHECKPOINT");
}

export function direct(
  name: "direct-tcp" | "direct-unix",
  stock: StockPostgres,
  { ground }: BenchContext,
): Contender {
  return {
    name,
    target: name === "direct-tcp" ? stock.tcp : stock.unix,
    settings: [`PostgreSQL ${ground.engine.version}`, ...stock.settings],
    pids: () => [stock.server.pid],
  };
}

const roundTripUs = (series: Series, name: string): number[] =>
  (series.get(name) ?? []).map(({ tps }) => 1_000_000 / tps);

function compareLatency(series: Series): Row[] {
  const ours = roundTripUs(series, "ours");
  if (ours.length === 0) return [];
  const peers = [...series.keys()].filter((name) => name !== "ours");
  return peers.map((peerName) =>
    rowOf({
      case: "round trip, c=1",
      unit: "µs",
      ours,
      peer: roundTripUs(series, peerName),
      peerName,
    }),
  );
}

/** One client has one statement on its way, so the time of a round trip is what is added on its path. */
function noteAddedLatency(series: Series, note: (text: string) => void): void {
  for (const base of ["direct-tcp", "direct-unix"]) {
    const baseUs = roundTripUs(series, base);
    for (const name of ["ours", "pgbouncer"]) {
      const added = roundTripUs(series, name).map(
        (us, round) => us - (baseUs[round] ?? Number.NaN),
      );
      if (added.length === 0 || baseUs.length === 0) continue;
      const spread = `${Math.min(...added).toFixed(0)} to ${Math.max(...added).toFixed(0)}`;
      const middle = median(added).toFixed(0);
      note(`at one client, ${name} adds ${middle} µs (${spread}) to a round trip of ${base}`);
    }
  }
}
