/**
 * What a commit costs: pgbench's TPC-B-like script through the writer endpoint, beside stock PostgreSQL on its own
 * disk, and beside the same durability from stock parts.
 */
import type { Bench, Plan } from "./bench.ts";
import { fill, sql } from "./pgbench.ts";
import { startAnyFour } from "./peers/any-four.ts";
import { startBorealis } from "./peers/borealis.ts";
import { startStock } from "./peers/postgres.ts";
import type { Row } from "./report.ts";
import { compareRounds, runRounds } from "./rounds.ts";

export const commit: Bench = {
  what: "TPC-B-like transactions beside PostgreSQL alone and beside ANY 4 of six pg_receivewal",
  needs: "pg_receivewal",
  async run({ ground, options, postgresBin, clientProgram: pgReceivewal, startAll, note }) {
    const plans: Plan[] = [
      { name: "ours", start: () => startBorealis(ground, { postgresBin }) },
      { name: "postgres", start: () => startStock(ground) },
    ];
    if (pgReceivewal === undefined) {
      note("skipped any4: there is no pg_receivewal that can stream from this engine");
    } else {
      const name = "any4-fsync-off";
      plans.push({
        name: "any4",
        start: () => startAnyFour(ground, { name: "any4", pgReceivewal, fsync: "on" }),
      });
      plans.push({
        name,
        isExtra: true,
        start: () => startAnyFour(ground, { name, pgReceivewal, fsync: "off" }),
      });
    }
    const contenders = await startAll(plans);
    const scale = options.scale ?? 20;
    for (const { name, target } of contenders) {
      console.log(`Filling ${name} (scale ${scale}) ...`);
      await fill(ground.tools, target, scale);
      // What filling left to do is done before the first round, not in it.
      await sql(ground.tools, target, "VACUUM ANALYZE", "CHECKPOINT");
    }
    const rows: Row[] = [];
    for (const clients of options.clients ?? [1, 16, 64]) {
      const load = { clients, protocol: "prepared", script: "tpcb" } as const;
      const series = await runRounds(contenders, load, { options, tools: ground.tools });
      rows.push(...compareRounds(`TPC-B scale ${scale}, prepared, c=${clients}`, series));
    }
    return rows;
  },
};
