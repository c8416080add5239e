/** A restore's work: snapshot and log become a genesis image, and a new volume is born from it. */
import { chmod, mkdir, rm, statfs } from "node:fs/promises";
import { BorealisError, sqlState } from "../base/errors.ts";
import { bytesBetween, type Lsn, segmentStart } from "../base/lsn.ts";
import { type ClusterState, postgresSocketDir } from "../cluster/index.ts";
import {
  adoptImage,
  copyTree,
  type Genesis,
  layLog,
  type OsUser,
  readGenesis,
  recoverImage,
  unpackSnapshot,
} from "../engine/index.ts";
import type { Logger } from "../io/index.ts";
import { timelineSpans } from "../quorum/index.ts";
import {
  readSnapshotLog,
  type Replicas,
  sizeOfSnapshot,
  type SnapshotManifest,
  TriedReplicas,
} from "../volume/index.ts";
import type { PgClient } from "../wire/index.ts";
import { bearVolume, newPassword, type OpenedEngine } from "./create.ts";
import { newClusterBytes } from "./data-dir.ts";
import type { Progress } from "./progress.ts";
import { formatBytes } from "./progress-meter.ts";
import { olderPoint, type RestoreBase, type RestorePoint } from "./restore-point.ts";
import type { RestoreSource } from "./restore-source.ts";
import { type RestoreTarget, scratchDirOf } from "./restore-target.ts";
import { prepareRuntimeDir } from "./supervisor.ts";

export interface RestoreWork {
  readonly source: RestoreSource;
  readonly point: RestorePoint;
  readonly target: RestoreTarget;
  readonly engine: OpenedEngine;
  readonly readers: number;
  /** Of the master user, if it is known. */
  readonly password: string | undefined;
  readonly progress: Progress;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

export interface Restored {
  readonly state: ClusterState;
  /** What it was made of in the end. */
  readonly point: RestorePoint;
  /** Newer snapshots that could not be used. */
  readonly passedOver: readonly PassedOver[];
  readonly timeline: number;
  /** The last commit that is in it, microseconds since 1970; undefined: none was replayed. */
  readonly lastCommitUs: bigint | undefined;
}

export interface PassedOver {
  readonly snapshot: string;
  readonly reason: string;
}

interface Image extends Omit<Restored, "state"> {
  readonly genesis: Genesis;
  readonly isBootstrapped: boolean;
}

/**
 * A snapshot that is damaged in every store is passed over for an older one. Raises what stood in the way (see asDiskFull): of
 * the first one if none will do. The caller then discards the target.
 */
export async function buildRestored(work: RestoreWork): Promise<Restored> {
  const { source, target, engine, progress } = work;
  const { layout } = target;
  const { identity } = source;
  await requireRoom(work);
  const scratch = scratchDirOf(engine.instancesDir);
  const dir = `${scratch}/data`;
  try {
    await rm(scratch, { recursive: true, force: true });
    await mkdir(scratch, { mode: 0o711 });
    await chmod(scratch, 0o711);
    const image = await makeImage(work, dir);
    progress.begin("putting it on the disk");
    await adoptImage({ from: dir, genesisDir: layout.genesisDir }, (bytes) => progress.at(bytes));
    progress.end();
    const { masterUser, isSuperuser, encryption, parameters } = identity;
    const { genesis, isBootstrapped, ...facts } = image;
    const state = await bearVolume({
      layout,
      genesis,
      engineVersion: engine.engine.version,
      masterUser,
      isSuperuser,
      isBootstrapped,
      // Before its first start it gets one, as any new cluster.
      password: work.password ?? (isBootstrapped ? undefined : newPassword()),
      encryption,
      readers: work.readers,
      ...(parameters && { parameters }),
    });
    return { state, ...facts };
  } finally {
    await rm(scratch, { recursive: true, force: true });
    await rm(layout.runtimeDir, { recursive: true, force: true });
  }
}

/** For people: what was wrong, and that nothing is missing for it. */
export function passedOverLines({
  passedOver,
  point,
}: Pick<Restored, "passedOver" | "point">): string[] {
  if (passedOver.length === 0) return [];
  return [
    ...passedOver.map(
      ({ snapshot, reason }) => `snapshot ${snapshot} could not be used: ${reason}`,
    ),
    `${point.snapshot} was, with the log behind it: nothing is missing`,
  ];
}

async function makeImage(asked: RestoreWork, dir: string): Promise<Image> {
  const { source, engine, progress } = asked;
  // As it was born, nobody runs in it: it stays ours.
  const osUser = asked.point.log === "none" ? undefined : engine.osUser;
  const unpacked = await unpackSome(asked, { dir, osUser });
  const { point } = unpacked;
  const work = { ...asked, point };
  if (point.log === "none") {
    const genesis = await readGenesis(dir);
    const { timeline } = genesis;
    return { ...unpacked, genesis, isBootstrapped: false, timeline, lastCommitUs: undefined };
  }
  const from = segmentStart(startOf(point.base));
  const spans = spansBelow(work);
  progress.begin("laying out the log", bytesBetween(from, point.end));
  const log = point.log === "snapshot" ? ownLog(work) : source.log.pieces(from, point.end);
  const { signal, logger } = work;
  const laid = await layLog({ dir, osUser, from, log, spans, signal }, (bytes) =>
    progress.at(bytes),
  );
  if (laid.end !== point.end) throw otherEnd(source.label);
  progress.begin("replaying the log", bytesBetween(startOf(point.base), point.end));
  const { layout } = work.target;
  prepareRuntimeDir(layout);
  let isBootstrapped = false;
  const genesis = await recoverImage(
    {
      engine: engine.engine,
      osUser,
      dir,
      end: laid.end,
      spans,
      socketDir: postgresSocketDir(layout, "restore"),
      logFile: `${layout.logDir}/restore.postgres`,
      logger,
      ask: async (client) => {
        isBootstrapped = await hasRole(client, source.identity.masterUser);
      },
      signal,
    },
    (at) => progress.at(Math.max(0, bytesBetween(startOf(point.base), at))),
  );
  progress.at(bytesBetween(startOf(point.base), point.end));
  progress.end();
  const { timeline } = genesis;
  const lastCommitUs = laid.lastCommit?.timeUs;
  return { ...unpacked, genesis, isBootstrapped, timeline, lastCommitUs };
}

interface Place {
  readonly dir: string;
  readonly osUser: OsUser | undefined;
}

/** One after the other, until one is whole: with more log behind it an older one leads to the same moment. */
async function unpackSome(
  work: RestoreWork,
  place: Place,
): Promise<Pick<Image, "point" | "passedOver">> {
  const { source, logger } = work;
  const replicas = new TriedReplicas(source.replicas);
  const passedOver: PassedOver[] = [];
  let { point } = work;
  let first: BorealisError | undefined;
  for (;;) {
    try {
      await unpack({ ...work, point }, { ...place, replicas });
      return { point, passedOver };
    } catch (error) {
      if (!replicas.isOfSnapshot(error)) throw error;
      first ??= error;
      const { message: reason } = error;
      logger.warn({ event: "snapshot.skipped", snapshot: point.snapshot }, reason);
      passedOver.push({ snapshot: point.snapshot, reason });
    }
    const ids = new Set(passedOver.map(({ snapshot }) => snapshot));
    const lacks = (manifest: SnapshotManifest): boolean => replicas.lacks(manifest);
    const older = await olderPoint(source, point, { ids, lacks });
    if (!older) throw first;
    point = older;
    await rm(place.dir, { recursive: true, force: true });
    await requireRoom({ ...work, point });
  }
}

async function unpack(
  { source, point, progress, signal }: RestoreWork,
  { dir, osUser, replicas }: Place & { readonly replicas: Pick<Replicas, "get"> },
): Promise<void> {
  const { base } = point;
  progress.begin(`unpacking snapshot ${point.snapshot}`);
  if (base.kind === "genesis") {
    await copyTree({ from: base.dir, to: dir, user: osUser, access: "private" });
  } else {
    const { sealer } = source;
    const { manifest } = base;
    await unpackSnapshot({ manifest, replicas, sealer, dir, osUser, signal }, (facts) =>
      progress.at(facts.doneBytes, facts.totalBytes),
    );
  }
  progress.end();
}

function startOf(base: RestoreBase): Lsn {
  return base.kind === "genesis" ? base.startLsn : base.manifest.startLsn;
}

/** The timelines that PostgreSQL meets on its way to the end. */
function spansBelow({ source, point }: RestoreWork) {
  const { base, log, end } = point;
  // A snapshot that outlived its log knows its path itself.
  const path =
    log === "snapshot" && base.kind === "snapshot" ? base.manifest.history : source.log.path;
  return timelineSpans(path).filter((span, index) => index === 0 || span.start < end);
}

function ownLog({ source, point }: RestoreWork): AsyncIterable<Buffer> {
  const log = point.base.kind === "snapshot" ? point.base.manifest : { log: undefined };
  return readSnapshotLog(source.replicas, log, source.sealer);
}

async function hasRole(client: PgClient, name: string): Promise<boolean> {
  const literal = `'${name.replaceAll("'", "''")}'`;
  const { rows } = await client.query(
    `SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = ${literal}`,
  );
  return rows.length > 0;
}

/** Before anything is written: the image, the log over it, and what a new cluster needs anyway. */
async function requireRoom({ point, target, engine }: RestoreWork): Promise<void> {
  const { base, end } = point;
  const dataBytes = base.kind === "snapshot" ? sizeOfSnapshot(base.manifest).dataBytes : 0;
  const logBytes = point.log === "none" ? 0 : bytesBetween(segmentStart(startOf(base)), end);
  const neededBytes = dataBytes + logBytes + newClusterBytes;
  for (const dir of new Set([engine.instancesDir, target.layout.dataDir])) {
    const { bavail, bsize } = await statfs(dir);
    if (bavail * bsize >= neededBytes) continue;
    throw new BorealisError(
      sqlState.diskFull,
      `the restore needs about ${formatBytes(neededBytes)}, and ${dir} has ${formatBytes(bavail * bsize)} left`,
      { hint: "free some space, or choose another directory with --into" },
    );
  }
}

function otherEnd(label: string): BorealisError {
  return new BorealisError(
    sqlState.dataCorrupted,
    `the log of ${label} is not what it was a moment ago`,
    { hint: "try again: it may have been rewound (backtrack) meanwhile" },
  );
}
