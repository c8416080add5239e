/**
 * How far readers are behind: from the acknowledged commit on the writer until a session on a reader shows its row, while
 * pgbench writes; beside a stock hot standby.
 */
import { setTimeout as pause } from "node:timers/promises";
import pg from "pg";
import type { Bench, Plan } from "./bench.ts";
import type { Contender, Ground } from "./contender.ts";
import { fill, measure, sql, type Target, tidy } from "./pgbench.ts";
import { startBorealis } from "./peers/borealis.ts";
import { StreamingPair } from "./peers/streaming.ts";
import { formatTable, type Row, rowOf } from "./report.ts";
import { median, percentile } from "./stats.ts";

interface Replicated extends Contender {
  readonly reader: Target;
}

interface Round {
  /** From the acknowledgement until the reading client has the row. */
  readonly lagsMs: readonly number[];
  /** From the acknowledgement until that client asks for the last time: who asks then is shown the row. 0 at the first look. */
  readonly askedMs: readonly number[];
  /** Of one look. */
  readonly lookMs: number;
  readonly tps: number;
}

/** Between two probes: random, so that none of them keeps step with anything. */
const restMsMax = 20;
/** Between two looks at a row that is not there yet: without it, looking takes a core from those who bring the row. */
const restOfLookMs = 1;
const percents = [50, 99];

export const lag: Bench = {
  what: "from a commit's acknowledgement to its row on a reader, under load, beside a hot standby",
  async run({ ground, options, postgresBin, startAll, note }) {
    const { readers = 2 } = options;
    const plans: Plan<Replicated>[] = [
      { name: "ours", start: () => startBorealis(ground, { postgresBin, readers }) },
      { name: "streaming", start: () => StreamingPair.start(ground) },
    ];
    const contenders = await startAll(plans);
    const scale = options.scale ?? 20;
    const clients = options.clients?.[0] ?? 16;
    for (const contender of contenders) {
      const { name, target } = contender;
      console.log(`Filling ${name} (scale ${scale}) ...`);
      await fill(ground.tools, target, scale);
      const table = "CREATE TABLE lag_probe (n bigint PRIMARY KEY)";
      await sql(ground.tools, target, table, "VACUUM ANALYZE", "CHECKPOINT");
      await untilFollowed(ground, contender);
      await probeUnderLoad(ground, contender, clients, options.warmUpSeconds);
    }
    const series = new Map<string, Round[]>(contenders.map(({ name }) => [name, []]));
    for (let round = 0; round < options.rounds; round++) {
      const results: string[] = [];
      for (let k = 0; k < contenders.length; k++) {
        const contender = contenders[(k + round) % contenders.length];
        if (!contender) continue;
        await tidy(ground.tools, contender.target);
        const one = await probeUnderLoad(ground, contender, clients, options.seconds);
        series.get(contender.name)?.push(one);
        const figures = percents.map(
          (percent) => `p${percent} ${percentile(one.lagsMs, percent).toFixed(1)}`,
        );
        results.push(`${contender.name} ${figures.join(" ")} ms at ${one.tps.toFixed(0)} tps`);
      }
      console.log(
        `lag, c=${clients}, round ${round + 1} of ${options.rounds}: ${results.join(", ")}`,
      );
    }
    console.log(`${summarize(series)}\n`);
    note(
      '"until shown" has one look at the reader in it, at least; "until asked" ends where the look begins that shows the row',
    );
    return compare(series, clients);
  },
};

/** A reader that has just been handed all of pgbench's tables may be seconds behind: that is not what is measured. */
async function untilFollowed(
  { tools, signal }: Ground,
  { name, reader }: Replicated,
): Promise<void> {
  const isThere = "SELECT count(*) FROM pg_class WHERE relname = 'lag_probe'";
  const beganMs = performance.now();
  while ((await sql(tools, reader, isThere)) !== "1") await pause(50, undefined, { signal });
  const tookMs = performance.now() - beganMs;
  console.log(`the reader of ${name} has followed after ${(tookMs / 1000).toFixed(1)} s`);
}

/** The time of each probe while pgbench runs for so long. */
async function probeUnderLoad(
  ground: Ground,
  { target, reader }: Replicated,
  clients: number,
  seconds: number,
): Promise<Round> {
  const load = { clients, seconds, protocol: "prepared", script: "tpcb" } as const;
  let isOver = false;
  const running = measure(ground.tools, target, load).finally(() => (isOver = true));
  // Raised below, after the sessions here have been closed.
  running.catch(() => undefined);
  const [writing, reading] = [connectTo(target), connectTo(reader)];
  const lagsMs: number[] = [];
  const looksMs: number[] = [];
  const lastAskedMs: number[] = [];
  try {
    const [writer, viewer] = [await writing, await reading];
    for (let isFirst = true; !isOver; isFirst = false) {
      const n = probesSoFar++;
      await writer.query({ name: "probe", text: "INSERT INTO lag_probe VALUES ($1)", values: [n] });
      const ackedMs = performance.now();
      const look = { name: "look", text: "SELECT 1 FROM lag_probe WHERE n = $1", values: [n] };
      let askedMs = ackedMs;
      let isThere = false;
      while (!isThere) {
        askedMs = performance.now();
        isThere = (await viewer.query(look)).rows.length > 0;
        looksMs.push(performance.now() - askedMs);
        if (!isThere) await pause(restOfLookMs, undefined, { signal: ground.signal });
      }
      // The first prepares its statements; the last has no load beside it.
      if (!isFirst && !isOver) {
        lagsMs.push(performance.now() - ackedMs);
        lastAskedMs.push(askedMs - ackedMs);
      }
      await pause(Math.random() * restMsMax, undefined, { signal: ground.signal });
    }
  } finally {
    await Promise.allSettled([writing, reading].map(async (one) => (await one).end()));
  }
  const { tps } = await running;
  return { lagsMs, askedMs: lastAskedMs, lookMs: median(looksMs), tps };
}

let probesSoFar = 0;

async function connectTo(target: Target): Promise<pg.Client> {
  const client = new pg.Client({ ...target, database: "postgres" });
  client.on("error", () => undefined);
  await client.connect();
  return client;
}

function summarize(series: ReadonlyMap<string, readonly Round[]>): string {
  const rows = [...series].flatMap(([name, rounds]) => {
    const line = (what: string, lags: readonly number[]): string[] => [
      `${name}, ${what}`,
      ...[50, 90, 99, 99.9, 100].map((percent) => percentile(lags, percent).toFixed(2)),
      String(lags.length),
      median(rounds.map(({ lookMs }) => lookMs)).toFixed(2),
      median(rounds.map(({ tps }) => tps)).toFixed(0),
    ];
    return [
      line(
        "until shown",
        rounds.flatMap(({ lagsMs }) => lagsMs),
      ),
      line(
        "until asked",
        rounds.flatMap(({ askedMs }) => askedMs),
      ),
    ];
  });
  const header = ["lag, ms", "p50", "p90", "p99", "p99.9", "max", "rows", "a look, ms", "tps"];
  return formatTable(header, rows);
}

function compare(series: ReadonlyMap<string, readonly Round[]>, clients: number): Row[] {
  const [ours = [], peer = []] = [series.get("ours"), series.get("streaming")];
  if (ours.length === 0 || peer.length === 0) return [];
  return percents.map((percent) => {
    const pick = ({ lagsMs }: Round): number => percentile(lagsMs, percent);
    return rowOf({
      case: `reader lag until shown, p${percent}, TPC-B prepared, c=${clients}`,
      unit: "ms",
      ours: ours.map(pick),
      peer: peer.map(pick),
      peerName: "streaming",
    });
  });
}
