/**
 * What the endpoint costs: one row by its key, through the writer endpoint, through PgBouncer, and without anything
 * between, over TCP and over a unix socket. The table fits into shared_buffers, so that the path is what is measured.
 */
import type { Bench, BenchContext, Plan } from "./bench.ts";
import type { Contender } from "./contender.ts";
import { fill, sql } from "./pgbench.ts";
import { startBorealis } from "./peers/borealis.ts";
import { findPgbouncer, startPgbouncer } from "./peers/pgbouncer.ts";
import { startPostgres, type StockPostgres } from "./peers/postgres.ts";
import { type Row, rowOf } from "./report.ts";
import { compareRounds, runRounds, type Series } from "./rounds.ts";
import { median } from "./stats.ts";

const gateOff = "ours-gate-off";

export const select: Bench = {
  what: "select-only through the endpoint beside PgBouncer (session mode) and direct connections",
  async run(context) {
    const { ground, options } = context;
    const contenders = await start(context);
    const run = { options, tools: ground.tools };
    const rows: Row[] = [];
    for (const clients of options.clients ?? [16]) {
      for (const protocol of ["prepared", "simple"] as const) {
        const load = { clients, protocol, script: "select" } as const;
        const series = await runRounds(contenders, load, run);
        rows.push(...compareRounds(`select, ${protocol}, c=${clients}`, series));
      }
    }
    const single = { clients: 1, protocol: "simple", script: "select" } as const;
    const series = await runRounds(contenders, single, run);
    rows.push(...compareRounds("select, simple, c=1", series), ...compareLatency(series));
    noteAddedLatency(series, context.note);
    return rows;
  },
};

/** All peers stand before one stock PostgreSQL; ours has its own writer, with the same rows and settings. */
async function start(context: BenchContext): Promise<Contender[]> {
  const { ground, options, postgresBin, startAll, note } = context;
  const scale = options.scale ?? 5;
  const stock = await startPostgres(ground, "postgres");
  await fillAndSettle(context, stock.tcp, scale);
  const plans: Plan[] = [
    { name: "ours", start: () => startBorealis(ground, { postgresBin }) },
    // What the gate of reads costs.
    {
      name: gateOff,
      isExtra: true,
      start: () =>
        startBorealis(ground, { postgresBin, name: gateOff, settings: ["gate.mode=off"] }),
    },
    { name: "direct-tcp", start: () => Promise.resolve(direct("direct-tcp", stock, context)) },
    { name: "direct-unix", start: () => Promise.resolve(direct("direct-unix", stock, context)) },
  ];
  const pgbouncer = findPgbouncer();
  if (pgbouncer === undefined) note("skipped pgbouncer: it is not installed, and only root can");
  else plans.push({ name: "pgbouncer", start: () => startPgbouncer(ground, pgbouncer, stock) });
  const contenders = await startAll(plans);
  for (const { name, target } of contenders)
    if (name === "ours" || name === gateOff) await fillAndSettle(context, target, scale);
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

function direct(
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
