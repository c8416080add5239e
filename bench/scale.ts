/**
 * Whether a commit costs the same whatever else there is: readers, log in storage, clients that are idle. Each beside itself at the
 * smallest. Only the cluster whose turn it is runs: on few cores the others would be what is measured.
 */
import { statfsSync } from "node:fs";
import { resolveLayout } from "../src/main/data-dir.ts";
import type { Bench, BenchContext, Plan } from "./bench.ts";
import { runToEnd } from "./child.ts";
import type { Contender } from "./contender.ts";
import { Crowd } from "./crowd.ts";
import { type BorealisContender, type BorealisPlan, startBorealis } from "./peers/borealis.ts";
import { measure, sql, tidy, warmUp } from "./pgbench.ts";
import type { Pair, Row } from "./report.ts";
import { compareRounds, runWork } from "./rounds.ts";
import { fillAndSettle } from "./select.ts";

interface Sized extends Contender {
  readonly cluster: BorealisContender;
  /** That write; the others are idle. */
  readonly writing: number;
  readonly idle: number;
}

const muchLog = "much-log";
const writingBesideIdle = 10;

export const scale: Bench = {
  what: "TPC-B-like transactions with readers, with log in storage, with idle clients, beside fewer",
  async run(context) {
    const { ground, options, startAll } = context;
    const { tools, signal } = ground;
    const sizes = sizesOf(options);
    const contenders = await startAll(plansOf(context, sizes));
    const crowds = new Map<string, Crowd>();
    const load = ({ writing }: Sized, seconds: number) =>
      ({ clients: writing, protocol: "prepared", script: "tpcb", seconds }) as const;
    const series = await runWork(
      contenders,
      {
        label: "scale",
        async before(contender) {
          const { name, cluster, target, idle } = contender;
          cluster.launch();
          await cluster.untilReady();
          await cluster.settle();
          const crowd = new Crowd(target);
          crowds.set(name, crowd);
          await crowd.grow(idle, signal);
          await warmUp(tools, target, load(contender, options.warmUpSeconds));
          await tidy(tools, target, "CHECKPOINT");
        },
        once: (contender) => measure(tools, contender.target, load(contender, options.seconds)),
        async after({ name, cluster }) {
          crowds.get(name)?.requireWhole();
          await crowds.get(name)?.leave();
          await cluster.stop();
        },
      },
      options,
    );
    const title = `TPC-B scale ${options.scale ?? 20}, prepared`;
    return pairsOf(sizes).flatMap((pair): Row[] =>
      compareRounds(`${title}, ${pair[0]}`, series, { pairs: [pair] }),
    );
  },
};

interface Sizes {
  readonly readers: readonly number[];
  readonly clients: readonly number[];
}

/** `--readers N`: with no more than these. */
export function sizesOf({
  readers,
  clients,
  isQuick,
}: {
  readonly readers: number | undefined;
  readonly clients: readonly number[] | undefined;
  readonly isQuick: boolean;
}): Sizes {
  const most = readers ?? (isQuick ? 2 : 15);
  return {
    readers: [0, 2, 5, 15].filter((count) => count <= most),
    clients: clients ?? (isQuick ? [10, 100] : [10, 100, 1_000, 5_000]),
  };
}

const withReaders = (count: number): string => `${count}-readers`;
const withClients = (count: number): string => `${count}-clients`;

/** Each beside the smallest of its kind. */
export function pairsOf({ readers, clients }: Sizes): Pair[] {
  const [fewest = 0, ...more] = clients;
  return [
    ...readers.slice(1).map((count): Pair => [withReaders(count), withReaders(0)]),
    [muchLog, withReaders(0)],
    ...more.map((count): Pair => [withClients(count), withClients(fewest)]),
  ];
}

function plansOf(context: BenchContext, { readers, clients }: Sizes): Plan<Sized>[] {
  const { postgresBin, options, note, ground } = context;
  const writing = 16;
  const plans = readers.map((count): Plan<Sized> => {
    const name = withReaders(count);
    const start = async (): Promise<Sized> => {
      const cluster = await filled(context, { postgresBin, name, readers: count });
      await cluster.stop();
      return { ...cluster, cluster, writing, idle: 0 };
    };
    return { name, start };
  });
  const startMuch = async (): Promise<Sized> => {
    const cluster = await filled(context, { postgresBin, name: muchLog });
    const megabytes = affordable(options.megabytes, ground.dir);
    const stored = await writeLog(context, cluster, megabytes);
    await cluster.stop();
    const asked = megabytes < options.megabytes ? `, not the ${options.megabytes} asked for` : "";
    note(`${muchLog}: ${megabytes} MB of pg_logical_emit_message${asked}; ${stored}`);
    return { ...cluster, cluster, writing, idle: 0 };
  };
  let shared: Promise<BorealisContender> | undefined;
  const pooled = async (): Promise<BorealisContender> => {
    const settings = ["pool.mode=auto"];
    const cluster = await filled(context, { postgresBin, name: "clients", settings });
    await cluster.stop();
    return cluster;
  };
  return [
    ...plans,
    { name: muchLog, start: startMuch },
    ...clients.map((count): Plan<Sized> => {
      const name = withClients(count);
      const start = async (): Promise<Sized> => {
        shared ??= pooled();
        const cluster = await shared;
        const active = Math.min(count, writingBesideIdle);
        const settings = [...cluster.settings, `${active} of ${count} clients write`];
        return { ...cluster, name, settings, cluster, writing: active, idle: count - active };
      };
      return { name, start };
    }),
  ];
}

async function filled(context: BenchContext, plan: BorealisPlan): Promise<BorealisContender> {
  const cluster = await startBorealis(context.ground, plan);
  console.log(`Filling ${cluster.name} ...`);
  await fillAndSettle(context, cluster.target, context.options.scale ?? 20);
  await cluster.settle();
  return cluster;
}

/** Six nodes, the archive and PostgreSQL's own copy of it, and room for everybody else. */
function affordable(megabytes: number, dir: string): number {
  const { bavail, bsize } = statfsSync(dir);
  return Math.max(1, Math.min(megabytes, Math.floor((bavail * bsize - 5e9) / 8e6)));
}

/** Log that changes no page, so that nothing but the log is more than elsewhere. What its nodes take then, in words. */
async function writeLog(
  { ground }: BenchContext,
  { target, dataDir }: BorealisContender,
  megabytes: number,
): Promise<string> {
  const { tools, signal } = ground;
  const each = 16;
  const message = "pg_logical_emit_message(false, 'bench', repeat(md5(n::text), 31250))";
  for (let left = megabytes; left > 0; left -= each) {
    const count = Math.min(each, left);
    await sql(tools, target, `SELECT count(${message}) FROM generate_series(1, ${count}) AS n`);
  }
  // Its commit waits until all of that is stored.
  await sql(tools, target, "CREATE TABLE bench_log_end ()", "CHECKPOINT");
  const { storageDir } = resolveLayout(dataDir);
  const size = await runToEnd({ program: "du", args: ["-sm", storageDir], signal });
  return `all files of its storage nodes take ${size.split("\t")[0] ?? "?"} MiB then`;
}
