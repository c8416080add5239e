/** A restore's work: snapshot and log become a genesis image, and a new volume is born from it. */
import { realpathSync } from "node:fs";
import { chmod, mkdir, rm, statfs } from "node:fs/promises";
import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { bytesBetween, type Lsn, segmentStart } from "../base/lsn.ts";
import { type ClusterState, postgresSocketDir } from "../cluster/index.ts";
import {
  adoptImage,
  copyTree,
  type Genesis,
  type LaidLog,
  layLog,
  type OsUser,
  readGenesis,
  recoverImage,
  unpackSnapshot,
} from "../engine/index.ts";
import { type Logger, systemCodeOf } from "../io/index.ts";
import { timelineSpans } from "../quorum/index.ts";
import { readSnapshotLog, type Replicas, sizeOfSnapshot } from "../volume/index.ts";
import type { PgClient } from "../wire/index.ts";
import { bearVolume, newPassword, type OpenedEngine } from "./create.ts";
import { newClusterBytes } from "./data-dir.ts";
import { asDiskFailure, nothingLeft } from "./disk-full.ts";
import type { Progress } from "./progress.ts";
import { formatBytes } from "./progress-meter.ts";
import type { RestoreBase, RestorePoint } from "./restore-point.ts";
import type { RestoreSource } from "./restore-source.ts";
import { type RestoreTarget, scratchDirOf } from "./restore-target.ts";
import { makeOfSome, type PassedOver } from "./restore-tries.ts";
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

interface Image extends Omit<Restored, "state"> {
  readonly genesis: Genesis;
  readonly isBootstrapped: boolean;
}

/**
 * A snapshot that is damaged in every store is passed over for an older one. Raises what stood in the way (see asDiskFailure): of
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
    const image = await makeImage(work, dir).catch((error: unknown) => {
      throw ofImagesDisk(engine, layout, error);
    });
    progress.begin("putting it on the disk");
    const { genesisDir } = layout;
    await adoptImage({ from: dir, genesisDir }, (bytes) => progress.at(bytes)).catch(
      (error: unknown) => {
        throw asDiskFailure(layout, error, { full: nothingLeft, failed: otherDisk });
      },
    );
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

const otherDisk = "see to that disk, or choose another directory with --into";

/** An image is made where PostgreSQL's user reaches it, which may be on another disk than the target's. */
export function ofImagesDisk(
  { instancesDir }: Pick<OpenedEngine, "instancesDir">,
  layout: Pick<RestoreTarget["layout"], "dataDir">,
  error: unknown,
): unknown {
  const isApart = !instancesDir.startsWith(`${realpathSync(layout.dataDir)}/`);
  if (!isApart) return asDiskFailure(layout, error, { full: nothingLeft, failed: otherDisk });
  const full = "nothing is left of it there; free some space";
  return asDiskFailure({ dataDir: instancesDir }, error, { full, failed: "see to that disk" });
}

async function makeImage(asked: RestoreWork, dir: string): Promise<Image> {
  const { source, engine, progress } = asked;
  // As it was born, nobody runs in it: it stays ours.
  const osUser = asked.point.log === "none" ? undefined : engine.osUser;
  const { ownLog, ...unpacked } = await unpackSome(asked, { dir, osUser });
  const { point } = unpacked;
  const work = { ...asked, point };
  if (point.log === "none") {
    const genesis = await readGenesis(dir);
    const { timeline } = genesis;
    return { ...unpacked, genesis, isBootstrapped: false, timeline, lastCommitUs: undefined };
  }
  const from = segmentStart(startOf(point.base));
  const { signal, logger } = work;
  const laid = ownLog ?? (await layOut(work, { dir, osUser }, source.log.pieces(from, point.end)));
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
      spans: spansBelow(work),
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

/** The files, and the log if it is the snapshot's own: the volume's is another matter. */
function unpackSome(work: RestoreWork, place: Place) {
  const { source, logger } = work;
  return makeOfSome<LaidLog>({
    source,
    point: work.point,
    unpack: async (point, replicas) => {
      if (point !== work.point) await requireRoom({ ...work, point });
      await unpack({ ...work, point }, { ...place, replicas });
    },
    layOwnLog: (point, replicas) => {
      const { base } = point;
      const log = base.kind === "snapshot" ? base.manifest : { log: undefined };
      return layOut({ ...work, point }, place, readSnapshotLog(replicas, log, source.sealer));
    },
    giveUp: async ({ snapshot, reason }) => {
      logger.warn({ event: "snapshot.skipped", snapshot }, reason);
      await rm(place.dir, { recursive: true, force: true });
    },
  });
}

function layOut(work: RestoreWork, place: Place, log: AsyncIterable<Buffer>): Promise<LaidLog> {
  const { point, progress, signal } = work;
  const from = segmentStart(startOf(point.base));
  progress.begin("laying out the log", bytesBetween(from, point.end));
  return layLog({ ...place, from, log, spans: spansBelow(work), signal }, (bytes) =>
    progress.at(bytes),
  );
}

async function unpack(
  { source, point, progress, signal }: RestoreWork,
  { dir, osUser, replicas }: Place & { readonly replicas: Pick<Replicas, "get"> },
): Promise<void> {
  const { base } = point;
  progress.begin(`unpacking snapshot ${point.snapshot}`);
  if (base.kind === "genesis") {
    await copyTree({ from: base.dir, to: dir, user: osUser, access: "private" }).catch(
      (cause: unknown) => {
        throw systemCodeOf(cause) === "EIO" ? notCopied({ from: base.dir, to: dir }, cause) : cause;
      },
    );
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

/** The system does not say of which of the two it was. */
function notCopied(
  { from, to }: { readonly from: string; readonly to: string },
  cause: unknown,
): BorealisError {
  const why = `cannot copy ${from} to ${to}: ${messageOf(cause)}`;
  return new BorealisError(sqlState.ioError, why, { hint: "see to the disks of both", cause });
}

function otherEnd(label: string): BorealisError {
  return new BorealisError(
    sqlState.dataCorrupted,
    `the log of ${label} is not what it was a moment ago`,
    { hint: "try again: it may have been rewound (backtrack) meanwhile" },
  );
}
