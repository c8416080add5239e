import { parseArgs } from "node:util";

export interface BenchOptions {
  readonly name: string | undefined;
  readonly json: string | undefined;
  readonly isQuick: boolean;
  readonly rounds: number;
  /** Of the writer's, of each contender. */
  readonly failovers: number;
  /** Readers of ours; undefined: as many as the benchmark thinks right. */
  readonly readers: number | undefined;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly clients: readonly number[] | undefined;
  readonly scale: number | undefined;
  /** Of 10^6 bytes: what bulk copies, and the log that scale writes before. */
  readonly megabytes: number;
  readonly peers: readonly string[] | undefined;
  /** Of `all`: which, and for how long. */
  readonly benches: readonly string[] | undefined;
  readonly minutes: number;
  readonly postgresBin: string | undefined;
  readonly dir: string | undefined;
}

export const usage = `usage: npm run bench -- NAME [options]
  --json FILE         write the rows to FILE
  --quick             one round of 2 s, a small data set: shows that it works, measures nothing
  --rounds N          interleaved rounds (3; at least 5 for a claim of a few per cent)
  --failovers N       how often the writer of each is killed (10; 50 for a figure)
  --readers N         readers of ours (failover and lag: 2, as by default; snapshot: 2, then 0; scale: up to 15; elsewhere 0)
  --seconds N         length of a run (15)
  --clients A,B,..    numbers of clients
  --scale N           pgbench's scale
  --megabytes N       rows that are copied in and out (bulk), log that is in storage (scale); 1000
  --peers A,B,..      only these contenders; "ours" is one (all)
  --benches A,B,..    of all: only these
  --minutes N         of all: what is not done by then is not done (38: stopping takes a little, too)
  --postgres-bin DIR  engine of every contender (default: the newest that all of them can use)
  --dir DIR           where the data directories go (a new directory under the system's temporary one)`;

/** Raises an Error with what is wrong. */
export function parseOptions(argv: readonly string[]): BenchOptions {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      json: { type: "string" },
      quick: { type: "boolean", default: false },
      rounds: { type: "string" },
      failovers: { type: "string" },
      readers: { type: "string" },
      seconds: { type: "string" },
      clients: { type: "string" },
      scale: { type: "string" },
      megabytes: { type: "string" },
      peers: { type: "string" },
      benches: { type: "string" },
      minutes: { type: "string" },
      "postgres-bin": { type: "string" },
      dir: { type: "string" },
    },
  });
  if (positionals.length > 1)
    throw new Error(`one benchmark at a time, not ${positionals.join(" ")}`);
  const { quick } = values;
  const seconds = numberOf("--seconds", values.seconds) ?? (quick ? 2 : 15);
  return {
    name: positionals[0],
    json: values.json,
    isQuick: quick,
    rounds: numberOf("--rounds", values.rounds) ?? (quick ? 1 : 3),
    failovers: numberOf("--failovers", values.failovers) ?? (quick ? 1 : 10),
    readers: numberOf("--readers", values.readers, 0),
    seconds,
    warmUpSeconds: quick ? 1 : Math.min(5, seconds),
    clients: values.clients?.split(",").map((text) => numberOf("--clients", text) ?? 1),
    scale: numberOf("--scale", values.scale) ?? (quick ? 2 : undefined),
    megabytes: numberOf("--megabytes", values.megabytes) ?? (quick ? 32 : 1000),
    peers: values.peers?.split(","),
    benches: values.benches?.split(","),
    minutes: numberOf("--minutes", values.minutes) ?? 38,
    postgresBin: values["postgres-bin"],
    dir: values.dir,
  };
}

function numberOf(option: string, text: string | undefined, least = 1): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (text === "" || !Number.isInteger(value) || value < least)
    throw new Error(`${option} takes a whole number from ${least} on, not "${text}"`);
  return value;
}
