/** What encryption at rest costs a commit: the same cluster with it, as by default, and without it, in one run. */
import type { Bench } from "./bench.ts";
import { fill, sql } from "./pgbench.ts";
import { startBorealis } from "./peers/borealis.ts";
import type { Row } from "./report.ts";
import { compareRounds, runRounds } from "./rounds.ts";

export const encryption: Bench = {
  what: "TPC-B-like transactions with storage.encryption on beside off",
  async run({ ground, options, postgresBin, startAll }) {
    const contenders = await startAll([
      { name: "ours", start: () => startBorealis(ground, { postgresBin }) },
      {
        name: "plain",
        start: () =>
          startBorealis(ground, {
            postgresBin,
            name: "plain",
            settings: ["storage.encryption=off"],
          }),
      },
    ]);
    const scale = options.scale ?? 20;
    for (const { name, target } of contenders) {
      console.log(`Filling ${name} (scale ${scale}) ...`);
      await fill(ground.tools, target, scale);
      await sql(ground.tools, target, "VACUUM ANALYZE", "CHECKPOINT");
    }
    const rows: Row[] = [];
    for (const clients of options.clients ?? [1, 16]) {
      const load = { clients, protocol: "prepared", script: "tpcb" } as const;
      const series = await runRounds(contenders, load, { options, tools: ground.tools });
      rows.push(...compareRounds(`TPC-B scale ${scale}, prepared, c=${clients}`, series));
    }
    return rows;
  },
};
