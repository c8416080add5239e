/** A restore's work: snapshot and log become a genesis image, and a new volume is born from it. */
import { chmod, mkdir, rm, statfs } from "node:fs/promises";
import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { bytesBetween, type Lsn, segmentStart } from "../base/lsn.ts";
import { type ClusterState, type Layout, postgresSocketDir } from "../cluster/index.ts";
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
import { type Logger, systemCodeOf } from "../io/index.ts";
import { timelineSpans } from "../quorum/index.ts";
import { readSnapshotLog, sizeOfSnapshot } from "../volume/index.ts";
import type { PgClient } from "../wire/index.ts";
import { bearVolume, newPassword, type OpenedEngine } from "./create.ts";
import { newClusterBytes } from "./data-dir.ts";
import type { Progress } from "./progress.ts";
import { formatBytes } from "./progress-meter.ts";
import type { RestoreBase, RestorePoint } from "./restore-point.ts";
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
  readonly timeline: number;
  /** The last commit that is in it, microseconds since 1970; undefined: none was replayed. */
  readonly lastCommitUs: bigint | undefined;
}

interface Image extends Omit<Restored, "state"> {
  readonly genesis: Genesis;
  readonly isBootstrapped: boolean;
}

/** Raises what stood in the way, 53100 for a full disk; the caller then discards the target. */
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
    const { masterUser, isSuperuser, encryption } = identity;
    const { genesis, isBootstrapped, timeline, lastCommitUs } = image;
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
    });
    return { state, timeline, lastCommitUs };
  } catch (error) {
    throw asDiskFull(layout, error);
  } finally {
    await rm(scratch, { recursive: true, force: true });
    await rm(layout.runtimeDir, { recursive: true, force: true });
  }
}

async function makeImage(work: RestoreWork, dir: string): Promise<Image> {
  const { source, point, engine, progress } = work;
  // As it was born, nobody runs in it: it stays ours.
  const osUser = point.log === "none" ? undefined : engine.osUser;
  await unpack(work, { dir, osUser });
  if (point.log === "none") {
    const genesis = await readGenesis(dir);
    const { timeline } = genesis;
    return { genesis, isBootstrapped: false, timeline, lastCommitUs: undefined };
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
  return { genesis, isBootstrapped, timeline, lastCommitUs: laid.lastCommit?.timeUs };
}

async function unpack(
  { source, point, progress, signal }: RestoreWork,
  { dir, osUser }: { readonly dir: string; readonly osUser: OsUser | undefined },
): Promise<void> {
  const { base } = point;
  progress.begin(`unpacking snapshot ${point.snapshot}`);
  if (base.kind === "genesis") {
    await copyTree({ from: base.dir, to: dir, user: osUser, access: "private" });
  } else {
    const { replicas, sealer } = source;
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

/** PostgreSQL and the file system each have their own way to say it. */
function asDiskFull(layout: Layout, error: unknown): unknown {
  const code = systemCodeOf(error);
  const isFull =
    code === "ENOSPC" || code === "EDQUOT" || /no space left on device/i.test(messageOf(error));
  if (!isFull) return error;
  if (error instanceof BorealisError && error.code === sqlState.diskFull) return error;
  return new BorealisError(sqlState.diskFull, `the disk of ${layout.dataDir} is full`, {
    hint: "free some space, or choose another directory with --into",
    cause: error,
  });
}

function otherEnd(label: string): BorealisError {
  return new BorealisError(
    sqlState.dataCorrupted,
    `the log of ${label} is not what it was a moment ago`,
    { hint: "try again: it may have been rewound (backtrack) meanwhile" },
  );
}
