/**
 * From starting what was stopped in order to the first acknowledged write: `borealis up` beside a stock primary; and with two
 * readers, until each of these answers, too, beside a primary with two streaming standbys.
 */
import { join } from "node:path";
import type { Bench, Plan } from "./bench.ts";
import type { Ground, Named } from "./contender.ts";
import { compareDurations, timeRounds } from "./durations.ts";
import { type BorealisPlan, startBorealis } from "./peers/borealis.ts";
import { evenSettings, writeOwned } from "./peers/postgres.ts";
import { filledServer, StockServer } from "./peers/stock-server.ts";
import { fillForProbes, firstAnswer, settleDisk } from "./probe.ts";

interface Bootable extends Named {
  /** In ms; it is stopped again when this returns. */
  readonly boot: () => Promise<number>;
}

const standbys = ["standby-1", "standby-2"] as const;

export const boot: Bench = {
  what: "a start to the first write, beside a stock primary, and a primary with two standbys",
  async run({ ground, options, postgresBin, startAll }) {
    const scale = options.scale ?? 20;
    const ours = (name: string, readers: number) => (): Promise<Bootable> =>
      bootOurs(ground, { postgresBin, name, readers }, scale);
    const plans: Plan<Bootable>[] = [
      { name: "ours", start: ours("ours", 0) },
      { name: "postgres", start: () => bootPrimary(ground, scale) },
      { name: "ours-readers", start: ours("ours-readers", standbys.length) },
      { name: "standbys", start: () => bootWithStandbys(ground, scale) },
    ];
    const contenders = await startAll(plans);
    const once = ({ boot: bootOnce }: Bootable): Promise<number> => bootOnce();
    const durations = await timeRounds("boot", contenders, { options, once });
    return [
      ...compareDurations("start to the first write", durations, [["ours", "postgres"]]),
      ...compareDurations("start to the first write, and every instance answers", durations, [
        ["ours-readers", "standbys"],
      ]),
    ];
  },
};

async function bootOurs(
  ground: Ground,
  plan: BorealisPlan & { name: string; readers: number },
  scale: number,
): Promise<Bootable> {
  const { name, readers } = plan;
  const ours = await startBorealis(ground, plan);
  await fillForProbes(ground, { name, target: ours.target, scale });
  await ours.settle();
  await ours.stop();
  const { signal } = ground;
  return {
    name,
    settings: ours.settings,
    async boot() {
      await settleDisk(ground);
      const beganMs = performance.now();
      const whose = ours.launch();
      const written = firstAnswer({ target: ours.target, what: "write", whose, signal });
      const read = (readers > 0 ? ours.instances : []).map((target) =>
        firstAnswer({ target, what: "read", whose, signal }),
      );
      const tookMs = (await lastOf([written, ...read])) - beganMs;
      await ours.untilReady();
      await ours.settle();
      await ours.stop();
      return tookMs;
    },
  };
}

async function bootPrimary(ground: Ground, scale: number): Promise<Bootable> {
  const name = "postgres";
  const primary = await filledServer(ground, name, scale);
  const { signal } = ground;
  return {
    name,
    settings: [`PostgreSQL ${ground.engine.version}`, ...evenSettings(ground.engine.major)],
    async boot() {
      await settleDisk(ground);
      const beganMs = performance.now();
      const whose = primary.launch();
      const { target } = primary;
      const { atMs } = await firstAnswer({ target, what: "write", whose, signal });
      await primary.stop();
      return atMs - beganMs;
    },
  };
}

async function bootWithStandbys(ground: Ground, scale: number): Promise<Bootable> {
  const primary = await filledServer(ground, "standbys", scale);
  const followers: StockServer[] = [];
  for (const name of standbys) {
    const follower = await StockServer.place(ground, name);
    await follower.copyFrom(primary.place.data);
    writeOwned(ground, join(follower.place.data, "standby.signal"), "");
    followers.push(follower);
  }
  const { home, port } = primary.place;
  const following = [
    `primary_conninfo=host=${home} port=${port} user=postgres`,
    // As elsewhere: with the default of 5 s a standby that comes before its primary would wait so long.
    "wal_retrieve_retry_interval=100ms",
  ];
  const { signal } = ground;
  return {
    name: "standbys",
    settings: [
      `PostgreSQL ${ground.engine.version}, a primary and two standbys, asynchronous`,
      "wal_retrieve_retry_interval=100ms",
      ...evenSettings(ground.engine.major),
    ],
    async boot() {
      await settleDisk(ground);
      const beganMs = performance.now();
      const whose = primary.launch();
      const written = firstAnswer({ target: primary.target, what: "write", whose, signal });
      const read = followers.map((follower) => {
        const child = follower.launch(following);
        return firstAnswer({ target: follower.target, what: "read", whose: child, signal });
      });
      const tookMs = (await lastOf([written, ...read])) - beganMs;
      // The primary last: its shutdown waits for them.
      for (const server of [...followers, primary]) await server.stop();
      return tookMs;
    },
  };
}

async function lastOf(answers: readonly Promise<{ atMs: number }>[]): Promise<number> {
  return Math.max(...(await Promise.all(answers)).map(({ atMs }) => atMs));
}
