/** Copies a snapshot into another store, from which it is restored whatever becomes of the cluster and its own store. */
import { BorealisError, sqlState } from "../base/errors.ts";
import { volumeId } from "../base/ids.ts";
import { realClock } from "../io/index.ts";
import { rowOf } from "../keeper/index.ts";
import {
  type CopiedSnapshot,
  copySnapshotTo,
  genesisSnapshotId,
  newestEpoch,
  type ObjectStore,
  objectStoreEnv,
  openObjectStore,
  readVolumeRecord,
  type SnapshotManifest,
  tryObjectStore,
  type VolumeRecord,
  writeVolumeRecord,
} from "../volume/index.ts";
import type { CommandReport, Workplace } from "./command-report.ts";
import { requireCluster } from "./commands.ts";
import { findOwnRecord, recordOfCluster } from "./copied-record.ts";
import { lockDataDir } from "./data-dir.ts";
import { environment } from "./environment.ts";
import { isOwnStore, objectStoreOf, resumedSettings } from "./object-store.ts";
import { formatBytes } from "./progress-meter.ts";
import { readManifest } from "./restore-point.ts";
import { type ClusterPlace, openClusterSource, type RestoreSource } from "./restore-source.ts";
import { openStoreSource, type StoreOptions, storePlaceOf } from "./restore-store-source.ts";
import { isRunning } from "./running.ts";

export interface CopyOptions extends StoreOptions {
  readonly to?: string;
  readonly from?: string;
}

/** As many at a time as a far store needs to be kept busy. */
const parallel = 8;

/**
 * From the cluster's stores, or with `store` and `volume` from that one, into the store `to`; or from the store `from` back into
 * that of the cluster, which must not run. Returns when the copy is whole. Raises 22023 for a snapshot that is not there or brings
 * no log, and for a store that cannot be; 55000 if the cluster runs where it must not; what the stores raise.
 */
export async function snapshotCopy(
  { layout, progress, signal }: Workplace,
  id: string,
  options: CopyOptions,
): Promise<CommandReport> {
  const startMs = realClock.nowMs();
  const ways = waysOf(options);
  const unlock = ways.isBack ? lockDataDir(layout) : undefined;
  try {
    progress.begin("opening the stores");
    const { source, target, url, recordOf } = await ways.open();
    try {
      const manifest = await readManifest(source, id);
      requireLog(manifest);
      progress.begin(`copying snapshot ${id} to ${target.label}`);
      const copied = await copySnapshotTo({
        manifest,
        sources: source.stores,
        target,
        sealer: source.sealer,
        parallel,
        isOfCluster: ways.isBack,
        ...(recordOf && { beforeShown: async () => putRecord(target, await recordOf()) }),
        onProgress: (done, total) => progress.at(done, total),
        signal,
      });
      progress.end();
      const seconds = (realClock.nowMs() - startMs) / 1000;
      return reportOf(manifest, copied, { url, volume: source.identity.volumeId, seconds });
    } finally {
      await Promise.all([source.close(), target.close()]);
    }
  } finally {
    unlock?.();
  }
}

interface Opened {
  readonly source: RestoreSource;
  readonly target: ObjectStore;
  readonly url: string;
  /** Of the volume, for a store that may have none. */
  readonly recordOf: (() => Promise<VolumeRecord>) | undefined;
}

interface Ways {
  /** Into the cluster's own store. */
  readonly isBack: boolean;
  open(): Promise<Opened>;
}

function waysOf(options: CopyOptions): Ways {
  const { to, from } = options;
  if ((to === undefined) === (from === undefined)) {
    throw new BorealisError(
      sqlState.invalidParameter,
      to === undefined ? "say where to" : "--to and --from exclude each other",
      { hint: "--to file:/path or s3://bucket/prefix; --from that store to bring it back" },
    );
  }
  const asked = storePlaceOf(options);
  if (from !== undefined) {
    if (asked) {
      throw new BorealisError(
        sqlState.invalidParameter,
        "--from brings it back to the cluster's own store, and --store names another source",
        { hint: "leave one of them out, or name the target with --to" },
      );
    }
    return { isBack: true, open: () => openBack(options, from) };
  }
  const target = to ?? "";
  if (!asked) return { isBack: false, open: () => openCluster(options, target) };
  const open = async (): Promise<Opened> =>
    withTarget(await openStoreSource(asked), target, recordIn);
  return { isBack: false, open };
}

async function openCluster(options: CopyOptions, url: string): Promise<Opened> {
  const { layout, state } = requireCluster(options);
  const place = { layout, state, settings: resumedSettings(layout) };
  const { objectStoreUrl, objectStoreEnv: env } = objectStoreOf(layout, place.settings);
  const asked = { url, env: objectStoreEnv(url, environment()) };
  if (await isOwnStore(layout, state.volumeId, asked)) {
    throw new BorealisError(
      sqlState.invalidParameter,
      `${url} is the cluster's own object store: its snapshots are there`,
      { hint: "name another store with --to" },
    );
  }
  const source = isRunning(layout)
    ? await openClusterSource(place)
    : await openStoreSource(ownStore(place, objectStoreUrl, env));
  // Storage nodes have none, and what is away now must not cost a copy that is there but for this.
  const own = { url: objectStoreUrl, env };
  const recordOf = async ({ log }: RestoreSource): Promise<VolumeRecord> =>
    recordOfCluster(place, log.path, await findOwnRecord(own, volumeId(state.volumeId)));
  return withTarget(source, url, recordOf);
}

async function openBack(options: CopyOptions, from: string): Promise<Opened> {
  const { layout, state } = requireCluster(options);
  if (isRunning(layout)) {
    throw new BorealisError(
      sqlState.notInPrerequisiteState,
      `the cluster in ${layout.dataDir} is running, and might collect what is being brought`,
      {
        hint: "stop it first (borealis down), or restore from that store: borealis restore --store",
      },
    );
  }
  const place = { layout, state, settings: resumedSettings(layout) };
  const { objectStoreUrl: url } = objectStoreOf(layout, place.settings);
  const env = objectStoreEnv(from, environment());
  const source = await openStoreSource(ownStore(place, from, env));
  // Who the volume is the cluster's keeper says there.
  return withTarget(source, url);
}

function ownStore({ layout, state }: ClusterPlace, url: string, env: Record<string, string>) {
  return { url, env, volume: state.volumeId, keyFile: layout.keyFile };
}

/** Closes the source if the target cannot be opened. */
async function withTarget(
  source: RestoreSource,
  url: string,
  recordOf?: (source: RestoreSource) => Promise<VolumeRecord>,
): Promise<Opened> {
  try {
    const env = objectStoreEnv(url, environment());
    const volume = volumeId(source.identity.volumeId);
    await tryObjectStore(url, volume, env);
    const target = await openObjectStore(url, volume, env);
    return { source, target, url, recordOf: recordOf && (() => recordOf(source)) };
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** Of a store alone. */
async function recordIn({ stores }: RestoreSource): Promise<VolumeRecord> {
  const [store] = stores;
  const record = store && (await readVolumeRecord(store));
  if (record) return record;
  throw new BorealisError(sqlState.dataCorrupted, "the store has no volume.json any more", {
    hint: "somebody deleted it: start the cluster, which writes it again",
  });
}

/** Unless what is there is of later times: then it has all keys that this one has. */
async function putRecord(target: ObjectStore, record: VolumeRecord): Promise<void> {
  const there = await readVolumeRecord(target).catch((error: unknown) => {
    if (error instanceof BorealisError && error.code === sqlState.dataCorrupted) return undefined;
    throw error;
  });
  if (there && newestEpoch(there.history) > newestEpoch(record.history)) return;
  if (there && there.writtenAt >= record.writtenAt) return;
  await writeVolumeRecord(target, record);
}

/** An automatic one needs the volume's log, which a copy of it would not have. */
function requireLog({ id, kind, log }: SnapshotManifest): void {
  if (log || id === genesisSnapshotId || kind === "genesis") return;
  throw new BorealisError(
    sqlState.invalidParameter,
    `snapshot ${id} is an automatic one: it is nothing without the volume's log`,
    { hint: "take one that brings its log (borealis snapshot create), and copy that" },
  );
}

function reportOf(
  manifest: SnapshotManifest,
  { isNew, extents, putExtents, putBytes }: CopiedSnapshot,
  { url, volume, seconds }: { readonly url: string; readonly volume: string; seconds: number },
): CommandReport {
  const { id } = manifest;
  const what =
    putExtents === 0 && !isNew
      ? `snapshot ${id} is in ${url} already, and whole`
      : `snapshot ${id} is copied to ${url}: ${formatBytes(putBytes)} put`;
  return {
    document: {
      copied: id,
      store: url,
      volume,
      isNew,
      extents,
      putExtents,
      putBytes,
      snapshot: rowOf(manifest),
      seconds: Math.round(seconds * 1000) / 1000,
    },
    lines: [
      `${what} (${seconds.toFixed(1)} s)`,
      `restore it:  borealis restore --store ${url} --volume ${volume} --keys <key file> --from ${id} --into <dir>`,
    ],
  };
}
