/**
 * What sharing server connections costs: one row by its key, 64 clients on 8 connections, through the writer endpoint
 * with pool.mode=auto, through PgBouncer in transaction mode, and through the endpoint with a connection each.
 */
import type { Bench, BenchContext, Plan } from "./bench.ts";
import type { Contender } from "./contender.ts";
import { startBorealis } from "./peers/borealis.ts";
import { findPgbouncer, followsPrepared, startPgbouncer } from "./peers/pgbouncer.ts";
import { startPostgres } from "./peers/postgres.ts";
import type { Row } from "./report.ts";
import { compareRounds, runRounds } from "./rounds.ts";
import { fillAndSettle } from "./select.ts";

const servers = 8;
/** 290 connections are for users (engine/settings.ts): three per cent of them are eight. */
const pooled = ["pool.mode=auto", "pool.maxConnectionsPercent=3"];

export const pool: Bench = {
  what: "select-only by 64 clients on 8 server connections, beside PgBouncer (transaction mode)",
  async run(context) {
    const { ground, options, note } = context;
    const contenders = await start(context);
    const run = { options, tools: ground.tools };
    const rows: Row[] = [];
    const pgbouncer = findPgbouncer();
    const follows = pgbouncer === undefined || followsPrepared(pgbouncer);
    if (!follows)
      note("no prepared statements: this PgBouncer does not follow them (1.21 and later do)");
    for (const clients of options.clients ?? [64]) {
      for (const protocol of follows ? (["prepared", "simple"] as const) : (["simple"] as const)) {
        const load = { clients, protocol, script: "select" } as const;
        const series = await runRounds(contenders, load, run);
        rows.push(...compareRounds(`select on ${servers}, ${protocol}, c=${clients}`, series));
      }
    }
    return rows;
  },
};

async function start(context: BenchContext): Promise<Contender[]> {
  const { ground, options, postgresBin, startAll, note } = context;
  const scale = options.scale ?? 5;
  const stock = await startPostgres(ground, "postgres");
  await fillAndSettle(context, stock.tcp, scale);
  const plans: Plan[] = [
    { name: "ours", start: () => startBorealis(ground, { postgresBin, settings: pooled }) },
    {
      name: "ours-unpooled",
      start: () => startBorealis(ground, { postgresBin, name: "ours-unpooled" }),
    },
  ];
  const program = findPgbouncer();
  if (program === undefined) note("skipped pgbouncer: it is not installed, and only root can");
  else
    plans.push({
      name: "pgbouncer",
      start: () => startPgbouncer(ground, program, stock, servers),
    });
  const contenders = await startAll(plans);
  for (const { name, target } of contenders)
    if (name.startsWith("ours")) await fillAndSettle(context, target, scale);
  return contenders;
}
