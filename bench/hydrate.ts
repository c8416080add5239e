/**
 * An instance from nothing but what the cluster stores, beside pg_basebackup of a primary: one that is lost with the whole
 * cluster down, until it takes a write; and one more, until it answers a read.
 */
import { removeInstances, resolveLayout } from "../src/main/data-dir.ts";
import type { Bench, BenchContext, Plan } from "./bench.ts";
import { runToEnd } from "./child.ts";
import type { Ground, Named } from "./contender.ts";
import { compareDurations, timeRounds } from "./durations.ts";
import { startBorealis } from "./peers/borealis.ts";
import { evenSettings } from "./peers/postgres.ts";
import { StockServer } from "./peers/stock-server.ts";
import { measure, type Target } from "./pgbench.ts";
import type { Row } from "./report.ts";
import { fillForProbes, firstAnswer, settleDisk } from "./probe.ts";

interface Hydrating extends Named {
  /** One that writes, of which nothing was left; in ms. */
  readonly writer: () => Promise<number>;
  /** One more, beside the one that writes; in ms. */
  readonly reader: () => Promise<number>;
}

/** After the snapshot, so that ours has log to replay, as it would; a base backup has the same in its files. */
const load = { clients: 16, protocol: "prepared", script: "tpcb" } as const;
const added = "added";
/** As elsewhere, and Borealis's own; the default is 5 s, which a standby may wait for log. */
const following = ["wal_retrieve_retry_interval=100ms"];

export const hydrate: Bench = {
  what: "an instance without its cache, and one more, beside pg_basebackup and a start",
  needs: "pg_basebackup",
  async run(context) {
    const { options, clientProgram, startAll, note } = context;
    const plans: Plan<Hydrating>[] = [{ name: "ours", start: () => hydrateOurs(context) }];
    if (clientProgram === undefined) {
      note("skipped basebackup: there is no pg_basebackup that can talk to this engine");
    } else {
      const backup = (name: string, args: readonly string[]) => (): Promise<Hydrating> =>
        backupOf(context, { name, program: clientProgram, args });
      plans.push({ name: "basebackup", start: backup("basebackup", []) });
      const name = "basebackup-no-sync";
      plans.push({ name, isExtra: true, start: backup(name, ["--no-sync"]) });
    }
    const contenders = await startAll(plans);
    const titles = {
      writer: "an instance from nothing, to the first write",
      reader: "one more instance, to the first read",
    } as const;
    const rows: Row[] = [];
    for (const what of ["writer", "reader"] as const) {
      const once = (contender: Hydrating): Promise<number> => contender[what]();
      const durations = await timeRounds(`hydrate, ${what}`, contenders, { options, once });
      rows.push(...compareDurations(`${titles[what]}, scale ${scaleOf(context)}`, durations));
    }
    return rows;
  },
};

const scaleOf = ({ options }: BenchContext): number => options.scale ?? 20;

async function fillAndWrite(
  context: BenchContext,
  { name, target }: { name: string; target: Target },
  beforeLoad: () => Promise<unknown>,
): Promise<void> {
  const { ground, options } = context;
  await fillForProbes(ground, { name, target, scale: scaleOf(context) });
  await beforeLoad();
  await measure(ground.tools, target, { ...load, seconds: options.seconds });
}

async function hydrateOurs(context: BenchContext): Promise<Hydrating> {
  const { ground, options, postgresBin } = context;
  const ours = await startBorealis(ground, { postgresBin, readers: options.readers ?? 0 });
  const { name, settings, target, dataDir } = ours;
  await fillAndWrite(context, { name, target }, () => ours.cli("snapshot", "create", "filled"));
  await ours.stop();
  const { signal } = ground;
  return {
    name,
    settings: [...settings, `a snapshot, and the log of ${options.seconds} s of TPC-B behind it`],
    async writer() {
      removeInstances(resolveLayout(dataDir));
      await settleDisk(ground);
      const beganMs = performance.now();
      const whose = ours.launch();
      const { atMs } = await firstAnswer({ target, what: "write", whose, signal });
      await ours.untilReady();
      await ours.settle();
      await ours.stop();
      return atMs - beganMs;
    },
    async reader() {
      const whose = ours.launch();
      await ours.untilReady();
      await ours.settle();
      const writer = await firstAnswer({ target, what: "read", whose, signal });
      await settleDisk(ground);
      const beganMs = performance.now();
      await ours.cli("instance", "add", "--id", added);
      const question = { target: ours.reader, what: "read", notFrom: writer.server } as const;
      const { atMs } = await firstAnswer({ ...question, whose, signal });
      await ours.cli("instance", "remove", added);
      await ours.stop();
      return atMs - beganMs;
    },
  };
}

async function backupOf(
  context: BenchContext,
  plan: { name: string; program: string; args: readonly string[] },
): Promise<Hydrating> {
  const { ground, options } = context;
  const { engine, signal } = ground;
  const { name } = plan;
  const primary = await StockServer.create(ground, name);
  const copy = await StockServer.place(ground, `${name}-copy`);
  await primary.start();
  const { target } = primary;
  await fillAndWrite(context, { name, target }, () => Promise.resolve());
  await primary.stop();
  const time = async (what: "read" | "write", more: readonly string[]): Promise<number> => {
    await primary.start();
    await settleDisk(ground);
    const beganMs = performance.now();
    await backUp(ground, { ...plan, args: [...plan.args, ...more], primary, copy });
    const whose = copy.launch(following);
    const { atMs } = await firstAnswer({ target: copy.target, what, whose, signal });
    for (const server of [copy, primary]) await server.stop();
    copy.removeData();
    return atMs - beganMs;
  };
  const command = ["pg_basebackup -c fast -X stream", ...plan.args].join(" ");
  return {
    name,
    settings: [
      `PostgreSQL ${engine.version}, ${command} over TCP; as a standby with -R`,
      `the same ${options.seconds} s of TPC-B in its files`,
      ...following,
      ...evenSettings(engine.major),
    ],
    writer: () => time("write", []),
    reader: () => time("read", ["-R"]),
  };
}

async function backUp(
  { user, signal }: Ground,
  of: { program: string; args: readonly string[]; primary: StockServer; copy: StockServer },
): Promise<void> {
  const { program, args, primary, copy } = of;
  const where = ["-D", copy.place.data, "-h", "127.0.0.1", "-p", String(primary.place.port)];
  const how = ["-U", "postgres", "-c", "fast", "-X", "stream", ...args];
  const env = { PGSSLMODE: "disable" };
  await runToEnd({ program, args: [...where, ...how], env, user, signal });
}
