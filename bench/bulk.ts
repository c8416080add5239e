/** Rows by the bulk: COPY in and pg_dump out, through the writer endpoint, beside a stock PostgreSQL that is asked directly. */
import { closeSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { type Rng, seededRng } from "../src/base/rng.ts";
import type { Bench, BenchContext } from "./bench.ts";
import { runToEnd } from "./child.ts";
import type { Contender, Ground } from "./contender.ts";
import { connection, environment, type Measured, sql } from "./pgbench.ts";
import { startBorealis } from "./peers/borealis.ts";
import { startStock } from "./peers/postgres.ts";
import type { Row } from "./report.ts";
import { compareRounds, runWork, type Units } from "./rounds.ts";

const table = "bench_bulk";
const columns = "id bigint, customer integer, amount numeric(12,2), at timestamp, note text";
const units: Units = { rate: "MB/s", cpu: "CPU µs/MB" };
/** Longer than any compressor looks back; copied in as often as it takes. */
const chunkMegabytes = 16;

interface Rows {
  readonly file: string;
  /** How often the file is copied in. */
  readonly times: number;
  readonly count: number;
  readonly megabytes: number;
}

export const bulk: Bench = {
  what: "COPY in and pg_dump out through the endpoint, beside direct to PostgreSQL",
  needs: "pg_dump",
  async run(context) {
    const { ground, options, postgresBin, clientProgram: pgDump, startAll, note } = context;
    const contenders = await startAll([
      { name: "ours", start: () => startBorealis(ground, { postgresBin }) },
      { name: "postgres", start: () => startStock(ground) },
    ]);
    for (const { target } of contenders)
      await sql(ground.tools, target, `CREATE TABLE ${table} (${columns})`);
    const rows = generate(ground, options.megabytes);
    const found = await copyIn(context, contenders, rows);
    if (pgDump === undefined) {
      note("skipped pg_dump: there is none that can read from this engine");
      return found;
    }
    return [...found, ...(await dumpOut(context, contenders, { rows, pgDump }))];
  },
};

async function copyIn(
  { ground, options }: BenchContext,
  contenders: readonly Contender[],
  rows: Rows,
): Promise<Row[]> {
  const { tools } = ground;
  const label = `COPY in of ${rows.megabytes.toFixed(0)} MB`;
  const files = Array.from({ length: rows.times }, () => `"${rows.file}"`).join(" ");
  const copy = `\\copy ${table} FROM PROGRAM 'cat ${files}'`;
  const empty = ({ target }: Contender): Promise<string> =>
    sql(tools, target, `TRUNCATE ${table}`, "CHECKPOINT");
  const once = ({ target }: Contender): Promise<Measured> =>
    timed(rows.megabytes, () => sql(tools, target, copy));
  const series = await runWork(
    contenders,
    {
      label,
      units,
      warmUp: async (contender) => {
        await empty(contender);
        await once(contender);
      },
      before: empty,
      once,
      after: ({ name, target }) => requireWhole(ground, { name, target, count: rows.count }),
    },
    options,
  );
  return compareRounds(label, series, { units });
}

async function dumpOut(
  { ground, options }: BenchContext,
  contenders: readonly Contender[],
  { rows, pgDump }: { rows: Rows; pgDump: string },
): Promise<Row[]> {
  const label = `pg_dump of ${rows.megabytes.toFixed(0)} MB`;
  const { signal } = ground;
  const once = ({ target }: Contender): Promise<Measured> =>
    timed(rows.megabytes, () =>
      runToEnd({
        program: pgDump,
        args: ["-t", table, "-f", "/dev/null", ...connection(target)],
        env: environment(target),
        signal,
      }),
    );
  const series = await runWork(
    contenders,
    {
      label,
      units,
      warmUp: async (contender) => {
        // What the first look at new rows writes, hint bits and their log, is no part of a dump.
        await sql(ground.tools, contender.target, `VACUUM ${table}`, "CHECKPOINT");
        await once(contender);
      },
      once,
    },
    options,
  );
  return compareRounds(label, series, { units });
}

/** A transaction of this work is a MB. */
async function timed(megabytes: number, work: () => Promise<unknown>): Promise<Measured> {
  const beganMs = performance.now();
  await work();
  const latencyMs = performance.now() - beganMs;
  return { tps: (1000 * megabytes) / latencyMs, transactions: megabytes, latencyMs };
}

async function requireWhole(
  { tools }: Ground,
  { name, target, count }: { name: string; target: Contender["target"]; count: number },
): Promise<void> {
  const there = await sql(tools, target, `SELECT count(*) FROM ${table}`);
  if (Number(there) !== count) throw new Error(`${name} has ${there} rows of ${count}`);
}

function generate({ dir }: Ground, megabytes: number): Rows {
  const file = join(dir, "bulk.tsv");
  const times = Math.max(1, Math.round(megabytes / chunkMegabytes));
  const { text, count } = rowsOf(Math.min(megabytes, chunkMegabytes) * 1_000_000, seededRng(1));
  const fd = openSync(file, "w", 0o644);
  writeSync(fd, text);
  closeSync(fd);
  return { file, times, count: count * times, megabytes: (text.length * times) / 1e6 };
}

/** Rows in COPY's text form, as pg_dump prints them, of `bytes` bytes and at most a row more. */
export function rowsOf(bytes: number, random: Rng): { text: string; count: number } {
  const lines: string[] = [];
  let length = 0;
  while (length < bytes) {
    const amount = (random.below(1_000_000_000) / 100).toFixed(2);
    const at = new Date(1_700_000_000_000 + random.below(31_536_000) * 1000).toISOString();
    const note = Array.from({ length: 4 + random.below(8) }, () =>
      random.below(2 ** 31).toString(36),
    ).join(" ");
    const customer = random.below(1_000_000);
    const time = at.slice(0, 19).replace("T", " ");
    const line = `${lines.length + 1}\t${customer}\t${amount}\t${time}\t${note}\n`;
    lines.push(line);
    length += line.length;
  }
  return { text: lines.join(""), count: lines.length };
}
