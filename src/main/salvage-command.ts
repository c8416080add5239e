import { pathToFileURL } from "node:url";
import { BorealisError, sqlState } from "../base/errors.ts";
import { volumeId } from "../base/ids.ts";
import { formatLsn } from "../base/lsn.ts";
import type { ClusterState, Layout } from "../cluster/index.ts";
import { linkOwner, volumeNodes } from "../instance/index.ts";
import { openLogger, realClock, realEntropy, realRng, sleep } from "../io/index.ts";
import { inspectNode, type Salvageable, sealVolume } from "../log-driver/index.ts";
import type { State } from "../quorum/index.ts";
import { environment } from "./environment.ts";
import { down, type Options, printJson, readReport, requireCluster } from "./commands.ts";
import { resolveSettings } from "./config.ts";
import { isConfirmed } from "./confirmation.ts";
import { lockDataDir } from "./data-dir.ts";
import { resumedObjectStore } from "./object-store.ts";
import { print } from "./print.ts";
import { Progress } from "./progress.ts";
import { buildSuccessor, finishSalvage, type Survivor } from "./salvage-build.ts";
import { forgetSalvage, readSalvage, type SalvageFile, writeSalvage } from "./salvage-file.ts";
import { type StoppedVolume, withStoppedVolume } from "./stopped-volume.ts";
import { isRunning } from "./running.ts";

const sealTimeoutMs = 30_000;
const lookTimeoutMs = 15_000;
const askTimeoutMs = 1_000;
const lookAgainMs = 200;

/**
 * The way out when an availability zone and one more storage node are lost for good: the three that are left are sealed, so
 * that the old volume can have an owner nevermore, whoever returns; and a successor with six nodes takes its place, with
 * everything that was ever acknowledged. Repeating the command after it was interrupted goes on.
 */
export async function storageSalvage(options: Options & { yes?: boolean }): Promise<void> {
  const startedMs = performance.now();
  const { layout, state } = requireCluster(options);
  if (isRunning(layout)) await requireTrouble(options);
  await confirm(options, layout);
  const progress = new Progress({ isJson: options.json ?? false });
  let done: SalvageFile;
  try {
    done = await salvage({ layout, state, progress, isJson: options.json ?? false });
  } finally {
    progress.close();
  }
  const seconds = Math.round(performance.now() - startedMs) / 1000;
  const { successor, futuresLost = [] } = done;
  const salvaged = formerOf(done, state);
  const objects = objectsElsewhere(layout, salvaged);
  if (options.json) return printJson({ salvaged, successor, seconds, futuresLost, objects });
  print(`volume ${successor} has taken the place of what was lost (${seconds.toFixed(1)} s)`);
  for (const { end } of futuresLost)
    print(`lost: what a backtrack left, which backtrack --to ${end} would have returned to`);
  if (objects)
    print(
      `the old volume's objects stay in ${objects.store}, in the folder ${objects.volume}: remove it when the new one's are there (borealis status)`,
    );
  print(`start it:  borealis up --data-dir ${layout.dataDir}`);
}

/** Null: an earlier version began it and did not say; the state of who repeats the command may be the successor's already. */
function formerOf({ former, successor }: SalvageFile, { volumeId }: ClusterState): string | null {
  return former ?? (volumeId === successor ? null : volumeId);
}

/** The successor's keeper has them copied there, or copies them, when it runs. Null: they lay in the data directory. */
function objectsElsewhere(
  layout: Layout,
  volume: string | null,
): { readonly store: string; readonly volume: string } | null {
  const { objectStoreUrl: store } = resumedObjectStore(layout);
  const isElsewhere = store !== pathToFileURL(layout.objectsDir).href;
  return isElsewhere && volume !== null ? { store, volume } : null;
}

interface Work {
  readonly layout: Layout;
  readonly state: ClusterState;
  readonly progress: Progress;
  readonly isJson: boolean;
}

async function salvage(work: Work): Promise<SalvageFile> {
  const { layout, progress } = work;
  const { dataDir } = layout;
  if (isRunning(layout)) {
    progress.begin("stopping the cluster");
    await down({ dataDir, immediate: true, quiet: true });
    progress.end();
  }
  const unlock = lockDataDir(layout);
  try {
    if (readSalvage(layout)?.isBuilt !== true) await sealAndBuild(work);
    return finishSalvage(layout);
  } finally {
    unlock();
  }
}

/** Raises 55000 while writes are accepted: a volume that has its quorum needs no successor. */
async function requireTrouble(options: Options): Promise<void> {
  const { cluster } = await readReport(options);
  if (cluster.state !== "available") return;
  throw new BorealisError(
    sqlState.notInPrerequisiteState,
    "the volume has its quorum and accepts writes: there is nothing to salvage",
    { hint: "nodes that are lost are replaced by themselves, or by borealis storage replace" },
  );
}

async function confirm(options: Options & { yes?: boolean }, layout: Layout): Promise<void> {
  if (options.yes === true || readSalvage(layout)) return;
  if (!process.stdin.isTTY || options.json === true) {
    throw new BorealisError(
      sqlState.invalidParameter,
      "a salvage seals the storage nodes that are left, for good",
      { hint: "say --yes if the others will never come back, and four nodes cannot be had" },
    );
  }
  print(
    "A salvage is the way out when an availability zone and one more storage node are lost for good.",
  );
  print(
    "It stops the cluster, seals the storage nodes that are left, and puts a new volume in their place:",
  );
  print("  - everything that was ever acknowledged is in it, and every snapshot;");
  print(
    "  - what a backtrack left can be returned to as before, if a node that is left kept it whole;",
  );
  print("  - nodes that come back later are of no use any more, and open for nobody;");
  print("  - it cannot be undone. If the lost nodes can be brought back, do that instead.");
  if (await isConfirmed("salvage")) return;
  throw new BorealisError(sqlState.queryCanceled, "nothing was done");
}

async function sealAndBuild(work: Work): Promise<void> {
  const { layout, state, progress, isJson } = work;
  const settings = resolveSettings({ file: layout.configFile, env: environment(), flags: [] });
  progress.begin("starting the storage nodes that are left");
  const sealed = await withStoppedVolume({ layout, state, settings }, (volume) =>
    seal(volume, work),
  );
  progress.end();
  const { found, survivors, successor } = sealed;
  if (!isJson) {
    print(
      `sealed ${survivors.map((one) => one.id).join(", ")}; the log is whole up to ${formatLsn(found.b)}`,
    );
  }
  await buildSuccessor({ layout, state, found, survivors, successor, progress });
}

interface Sealed {
  readonly found: Salvageable;
  readonly survivors: readonly Survivor[];
  readonly successor: string;
}

async function seal(volume: StoppedVolume, { layout, state, progress }: Work): Promise<Sealed> {
  const { credential } = volume;
  const nodes = volumeNodes(volume);
  const owner = linkOwner({ volumeId: state.volumeId, instance: "salvage", credential });
  const look = async (): Promise<(State | undefined)[]> =>
    Promise.all(
      nodes.map((node) => inspectNode(node, owner, { clock: realClock, timeoutMs: askTimeoutMs })),
    );
  requireLoss(layout, await whenSettled(look), nodes.length);
  progress.begin("sealing them");
  const begun = readSalvage(layout);
  let successor = begun?.successor;
  const found = await sealVolume({
    nodes,
    owner,
    timeoutMs: sealTimeoutMs,
    world: {
      clock: realClock,
      rng: realRng,
      logger: openLogger({ file: `${layout.logDir}/salvage.log`, process: "salvage" }),
    },
    decide({ successor: earlier }) {
      successor = earlier ?? successor ?? realEntropy.uuid();
      // Written down before the first seal: two successors would be two histories.
      writeSalvage(layout, { format: 1, successor, former: state.volumeId, isBuilt: false });
      return volumeId(successor);
    },
  });
  const states = await look();
  const survivors = nodes.flatMap(({ nodeId, name: id }, index) => {
    const seen = states[index];
    return seen ? [{ id, nodeId, holdsTo: seen.scl, history: seen.history, base: seen.base }] : [];
  });
  return { found, survivors, successor: successor ?? "" };
}

/** Nodes take a moment to start: until nobody new has answered for a while. */
async function whenSettled(
  look: () => Promise<(State | undefined)[]>,
): Promise<(State | undefined)[]> {
  const startMs = realClock.nowMs();
  let before = -1;
  let same = 0;
  for (;;) {
    const seen = await look();
    const count = seen.filter(Boolean).length;
    same = count === before ? same + 1 : 0;
    before = count;
    const isLong = realClock.nowMs() - startMs > lookTimeoutMs;
    if (isLong || (count >= 3 && same >= 10)) return seen;
    await sleep(realClock, lookAgainMs);
  }
}

/** Raises 55000 while a write quorum is there, unless an earlier salvage has begun with it. */
function requireLoss(layout: Layout, seen: readonly (State | undefined)[], nodes: number): void {
  const there = seen.filter((one) => one !== undefined);
  const isBegun = there.some(({ sealed }) => sealed !== undefined);
  const needed = Math.floor(nodes / 2) + 1;
  const well = there.filter(({ health }) => health === "ok" || health === "full");
  if (isBegun || well.length < needed) return;
  forgetSalvage(layout);
  throw new BorealisError(
    sqlState.notInPrerequisiteState,
    `${well.length} of ${nodes} storage nodes are well, which is a write quorum: there is nothing to salvage`,
    { hint: "borealis up starts the cluster; lost nodes are replaced then" },
  );
}
