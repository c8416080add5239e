import { BorealisError, sqlState } from "../base/errors.ts";
import { type Timeline, volumeId } from "../base/ids.ts";
import { formatLsn } from "../base/lsn.ts";
import { snapshotOfDirectory, socketPort, takeSnapshot } from "../engine/index.ts";
import { foundWithin, sleep } from "../io/index.ts";
import type { VolumeSight } from "../log-driver/index.ts";
import { timelineSpans } from "../quorum/index.ts";
import {
  type Compression,
  keepLog,
  type LogPath,
  logOfSnapshot,
  publishSnapshot,
  readSnapshot,
  type Replicas,
  snapshotFor,
  type SnapshotManifest,
} from "../volume/index.ts";
import type { KeeperContext } from "./keeper-shell.ts";
import { PackingThread } from "./packing-shell.ts";
import type { KnownSnapshot } from "./snapshot-retention.ts";
import { findSource, type SnapshotSource } from "./snapshot-source.ts";
import { beginNearTheEnd } from "./snapshot-start-shell.ts";
import { isSafeIn, replicasOf, takersOf } from "./stores-shell.ts";
import { readLog, seeVolume } from "./volume-sight-shell.ts";

export interface Taking {
  /** That of one that a user asked for, which brings its own log; undefined: an automatic one. */
  readonly id: string | undefined;
  readonly known: readonly KnownSnapshot[];
  /** Everything is stored again, since what earlier snapshots stored may be good in no store. */
  readonly isAnew: boolean;
  readonly onProgress: (doneBytes: number, totalBytes: number | undefined) => void;
  readonly signal: AbortSignal;
}

/** What snapshots are taken of: real ones, or a test's. */
export interface SnapshotWays {
  readonly see: typeof seeVolume;
  readonly take: typeof takeVolumeSnapshot;
}
export const realWays: SnapshotWays = { see: seeVolume, take: takeVolumeSnapshot };

/** A keeper that has just begun, or whose cluster has, hears of a writer and of its volume by then. */
const hearWithinMs = 10_000;
/** How long the volume may take to have what the source had. */
const durableWithinMs = 60_000;
const durablePollMs = 200;

/**
 * Takes a snapshot of the volume and publishes it. Raises 57P03 when there is nobody to take it from, or nobody says how the
 * volume is, for ten seconds; 55000 when the source had log that the volume has left, and what PostgreSQL and the stores raise; nothing of it
 * exists then.
 */
export async function takeVolumeSnapshot(
  context: KeeperContext,
  taking: Taking,
): Promise<SnapshotManifest> {
  const { config, logger, clock } = context;
  const { id, onProgress, signal } = taking;
  const bounds = { withinMs: hearWithinMs, signal };
  const source = await sourceWithin(context, bounds);
  await beginNearTheEnd(context, source, signal);
  const before = await foundWithin(clock, () => seeVolume(context, signal), bounds);
  if (signal.aborted) throw signal.reason;
  if (!before) throw nobodyKnows();
  const replicas = replicasOf(context, takersOf(context));
  const previous = taking.isAnew
    ? undefined
    : await previousOf(taking, { context, replicas, sight: before });
  const taken = await aside((compression) =>
    takeSnapshot(
      {
        source: {
          socketDir: source.socketDir,
          port: socketPort,
          major: config.postgresMajor,
        },
        postgresMajor: config.postgresMajor,
        replicas,
        sealer: context.sealer(compression),
        previous,
        id,
        volumeId: volumeId(config.volumeId),
        history: before.path,
        ...(config.snapshots.rateMaxBytes > 0 && { rateMax: config.snapshots.rateMaxBytes }),
        signal,
      },
      ({ readBytes, expectedBytes }) => onProgress(readBytes, expectedBytes),
    ),
  );
  const history = await untilDurable(context, taken, signal);
  const whole = { ...taken.manifest, history };
  const manifest = id === undefined ? whole : await withOwnLog(context, whole, replicas, signal);
  await publish(context, { manifest, previous, replicas, signal });
  const { mode, reason, readBytes, storedBytes, storedExtents, sharedBytes, tookMs } =
    taken.figures;
  logger.info({
    event: "snapshot.taken",
    snapshot: manifest.id,
    from: source.id,
    startLsn: manifest.startLsn,
    endLsn: manifest.endLsn,
    mode,
    reason: taking.isAnew ? "what was stored before may be good in no store" : reason,
    readBytes,
    storedBytes,
    storedExtents,
    sharedBytes,
    tookMs: Math.round(tookMs),
  });
  return manifest;
}

async function sourceWithin(
  { clock, world, config }: KeeperContext,
  bounds: { readonly withinMs: number; readonly signal: AbortSignal },
): Promise<SnapshotSource> {
  const source = await foundWithin(clock, () => findSource(world(), config.snapshots), bounds);
  if (bounds.signal.aborted) throw bounds.signal.reason;
  if (!source) throw nobodyThere();
  return source;
}

/** With a thread that compresses beside the workload, and gives way to it. */
async function aside<Result>(work: (compression: Compression) => Promise<Result>): Promise<Result> {
  const packing = new PackingThread();
  try {
    return await work(packing);
  } finally {
    packing.close();
  }
}

/** Snapshot 0, of the image that initdb made. The volume has no path yet: nothing of it is log that somebody wrote. */
export async function takeGenesis(
  context: KeeperContext,
  signal: AbortSignal,
): Promise<SnapshotManifest> {
  const { config, logger } = context;
  const replicas = replicasOf(context, takersOf(context));
  const manifest = await snapshotOfDirectory({
    dir: config.genesisDir,
    replicas,
    sealer: context.sealer(),
    volumeId: volumeId(config.volumeId),
    history: [],
    signal,
  });
  await publish(context, { manifest, previous: undefined, replicas, signal });
  logger.info({ event: "snapshot.taken", snapshot: manifest.id, startLsn: manifest.startLsn });
  return manifest;
}

async function previousOf(
  { known }: Taking,
  seen: {
    readonly context: KeeperContext;
    readonly replicas: Replicas;
    readonly sight: VolumeSight;
  },
): Promise<SnapshotManifest | undefined> {
  const { context, replicas, sight } = seen;
  const found = snapshotFor(known, { at: sight.vdl, path: sight.path });
  try {
    return found && (await readSnapshot(replicas, found.id, context.sealer()));
  } catch (error) {
    // A full one needs none; whoever needs the damaged one says so.
    context.logger.warn({ event: "snapshot.notRead", snapshot: found?.id, error: String(error) });
    return undefined;
  }
}

/**
 * The path that the snapshot's bytes are of, once the volume has its log: from then on no crash takes any of it back. A copy
 * of a writer may hold more than a quorum does, and its epoch may end below that.
 */
async function untilDurable(
  context: KeeperContext,
  taken: { readonly manifest: SnapshotManifest; readonly endTimeline: Timeline },
  signal: AbortSignal,
): Promise<LogPath> {
  const { clock } = context;
  const { endLsn } = taken.manifest;
  const startMs = clock.nowMs();
  for (;;) {
    const sight = await seeVolume(context, signal);
    if (sight) {
      const { vdl, path } = sight;
      // Of a writer that has just opened its epoch nodes may not have heard.
      const isTold = (path.at(-1)?.timeline ?? 0) >= taken.endTimeline;
      if (isTold && !isOnTimeline(path, taken)) throw hasLeft(taken.manifest);
      if (isTold && vdl >= endLsn) return path.filter(({ start }) => start < endLsn);
    }
    if (signal.aborted) throw signal.reason;
    if (clock.nowMs() - startMs > durableWithinMs) throw notDurable(taken.manifest);
    await sleep(clock, durablePollMs, signal);
  }
}

function isOnTimeline(
  path: VolumeSight["path"],
  { manifest, endTimeline }: { manifest: SnapshotManifest; endTimeline: Timeline },
): boolean {
  const spans = timelineSpans(path);
  const index = spans.findLastIndex((span) => span.timeline === endTimeline);
  const next = spans[index + 1];
  return index >= 0 && !(next && next.start < manifest.endLsn);
}

function withOwnLog(
  context: KeeperContext,
  manifest: SnapshotManifest,
  store: Replicas,
  signal: AbortSignal,
): Promise<SnapshotManifest> {
  const { from, to } = logOfSnapshot(manifest);
  const log = readLog(context, { path: manifest.history, from, to }, signal);
  return keepLog({ manifest, sealer: context.sealer(), store, log });
}

async function publish(
  context: KeeperContext,
  made: {
    readonly manifest: SnapshotManifest;
    readonly previous: SnapshotManifest | undefined;
    readonly replicas: Replicas;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { manifest, previous, replicas, signal } = made;
  await publishSnapshot({
    manifest,
    sealer: context.sealer(),
    stores: replicas.stores,
    isSafe: isSafeIn(context),
    // One that is behind may have an older snapshot of that id.
    ...(previous && {
      current: {
        stores: replicas.stores.filter((store) => !context.isBehind(store)),
        previous: previous.id,
      },
    }),
    onLeftOut: (store, error) => {
      context.logger.warn({ event: "store.leftOut", store: store.label }, error.message);
    },
    signal,
  });
}

function nobodyThere(): BorealisError {
  return new BorealisError(
    sqlState.cannotConnectNow,
    "no reader and no writer is available to take a snapshot from",
    { hint: "wait until borealis status shows an instance that is available" },
  );
}

function nobodyKnows(): BorealisError {
  return new BorealisError(
    sqlState.cannotConnectNow,
    "no storage node says how far the volume's log is durable",
    { hint: "wait until borealis status shows a writer, and see which storage nodes are down" },
  );
}

function hasLeft({ endLsn }: SnapshotManifest): BorealisError {
  return new BorealisError(
    sqlState.notInPrerequisiteState,
    `the snapshot reaches ${formatLsn(endLsn)} on a history that the volume has left meanwhile`,
    { hint: "take it again" },
  );
}

function notDurable({ endLsn }: SnapshotManifest): BorealisError {
  return new BorealisError(
    sqlState.cannotConnectNow,
    `the volume's log did not become durable up to ${formatLsn(endLsn)} within a minute`,
    { hint: "writes wait: see which storage nodes are down with borealis status, then try again" },
  );
}
