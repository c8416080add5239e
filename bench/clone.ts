/**
 * A second cluster with the same data, to its first write: `borealis clone` of one that runs, beside a plain copy of a stopped
 * stock data directory, and beside CREATE DATABASE ... TEMPLATE within one server.
 */
import type { Bench, BenchContext, Plan } from "./bench.ts";
import type { Ground, Named } from "./contender.ts";
import { compareDurations, timeRounds } from "./durations.ts";
import { placeBorealis, startBorealis } from "./peers/borealis.ts";
import { evenSettings } from "./peers/postgres.ts";
import { filledServer, StockServer } from "./peers/stock-server.ts";
import { sql, type Target } from "./pgbench.ts";
import { fillForProbes, firstAnswer, settleDisk } from "./probe.ts";

interface Clonable extends Named {
  /** In ms; nothing of the clone is left when this returns. */
  readonly clone: () => Promise<number>;
}

export const clone: Bench = {
  what: "a copy that can be written to, beside cp of a data directory, and a template database",
  async run(context) {
    const { options, startAll } = context;
    const scale = options.scale ?? 20;
    const plans: Plan<Clonable>[] = [
      { name: "ours", start: () => cloneOurs(context, scale) },
      { name: "cp", start: () => cloneByCopy(context.ground, scale) },
      { name: "template", start: () => cloneByTemplate(context.ground, scale) },
    ];
    const contenders = await startAll(plans);
    const once = ({ clone: cloneOnce }: Clonable): Promise<number> => cloneOnce();
    const durations = await timeRounds("clone", contenders, { options, once });
    return compareDurations(`clone to the first write, scale ${scale}`, durations);
  },
};

async function cloneOurs(context: BenchContext, scale: number): Promise<Clonable> {
  const { ground, options, postgresBin } = context;
  const readers = options.readers ?? 0;
  const ours = await startBorealis(ground, { postgresBin, readers });
  const copy = await placeBorealis(ground, { postgresBin, name: "clone", readers });
  const { name, settings, target } = ours;
  await fillForProbes(ground, { name, target, scale });
  // A cluster that has run for a while has one.
  await ours.cli("snapshot", "create", "filled");
  await ours.stop();
  const { signal } = ground;
  return {
    name,
    settings: [...settings, "a snapshot of all but the last moments; the parent runs meanwhile"],
    async clone() {
      ours.launch();
      await ours.untilReady();
      await ours.settle();
      await settleDisk(ground);
      const beganMs = performance.now();
      await ours.cli("clone", "--into", copy.dataDir, "--readers", String(readers));
      const whose = copy.launch();
      const { atMs } = await firstAnswer({ target: copy.target, what: "write", whose, signal });
      await copy.untilReady();
      await requireWhole(ground, { name, target: copy.target, scale });
      await copy.stop();
      await copy.cli("delete", "--yes");
      await ours.stop();
      return atMs - beganMs;
    },
  };
}

async function cloneByCopy(ground: Ground, scale: number): Promise<Clonable> {
  const name = "cp";
  const source = await filledServer(ground, name, scale);
  const copy = await StockServer.place(ground, `${name}-copy`);
  const { signal } = ground;
  return {
    name,
    settings: [
      `PostgreSQL ${ground.engine.version}, cp -r --reflink=never of a stopped server's data, no sync, and a start`,
      ...evenSettings(ground.engine.major),
    ],
    async clone() {
      await settleDisk(ground);
      const beganMs = performance.now();
      await copy.copyFrom(source.place.data);
      const whose = copy.launch();
      const { atMs } = await firstAnswer({ target: copy.target, what: "write", whose, signal });
      await requireWhole(ground, { name, target: copy.target, scale });
      await copy.stop();
      copy.removeData();
      return atMs - beganMs;
    },
  };
}

async function cloneByTemplate(ground: Ground, scale: number): Promise<Clonable> {
  const name = "template";
  const source = await filledServer(ground, name, scale);
  const { target } = source;
  const { tools, signal } = ground;
  return {
    name,
    settings: [
      `PostgreSQL ${ground.engine.version}, CREATE DATABASE ... TEMPLATE, default strategy: within one server, nobody connected to the template`,
      ...evenSettings(ground.engine.major),
    ],
    async clone() {
      await source.start();
      await settleDisk(ground);
      const beganMs = performance.now();
      await sql(tools, target, "CREATE DATABASE clone TEMPLATE postgres");
      const { atMs } = await firstAnswer({ target, what: "write", database: "clone", signal });
      await sql(tools, target, "DROP DATABASE clone");
      await source.stop();
      return atMs - beganMs;
    },
  };
}

/** Raises an Error if the clone lacks a row. */
async function requireWhole(
  { tools }: Ground,
  { name, target, scale }: { name: string; target: Target; scale: number },
): Promise<void> {
  const rows = await sql(tools, target, "SELECT count(*) FROM pgbench_accounts");
  if (Number(rows) !== 100_000 * scale)
    throw new Error(`the clone of ${name} has ${rows} of ${100_000 * scale} accounts`);
}
