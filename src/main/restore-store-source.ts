/** A volume that nothing is left of but its objects and the key file: all that a restore needs lies in the store (D30). */
import { BorealisError, sqlState } from "../base/errors.ts";
import { isUuid, volumeId } from "../base/ids.ts";
import { formatLsn, type Lsn, segmentStart } from "../base/lsn.ts";
import type { DataKeys } from "../keys/index.ts";
import {
  ArchivedLog,
  automaticSnapshotFacts,
  ExtentSealer,
  findMoment,
  findSnapshot,
  futureOfSeen,
  genesisSnapshotId,
  type LeftFuture,
  liveSnapshots,
  type ObjectStore,
  isReachedBy,
  objectStoreEnv,
  onlyStore,
  openObjectStore,
  readDeletions,
  readReached,
  readVolumeRecord,
  type SnapshotManifest,
  tryObjectStore,
  unnamedFutures,
  type VolumeRecord,
} from "../volume/index.ts";
import { environment } from "./environment.ts";
import { resolveLayout } from "./data-dir.ts";
import type { RestoreSource, SourceLog, VolumeIdentity } from "./restore-source.ts";
import { openRing } from "./volume-keys.ts";

export interface StorePlace {
  readonly url: string;
  /** Of the environment: what opening the store looks at. */
  readonly env: Record<string, string>;
  readonly volume: string;
  /** The default key provider's file; asked only if the volume is encrypted. */
  readonly keyFile: string;
}

/** What the command line says of it. */
export interface StoreOptions {
  readonly dataDir: string;
  readonly store?: string;
  readonly volume?: string;
  readonly keys?: string;
}

/** Undefined: the cluster of the data directory is meant. Raises 22023 for a half of it. */
export function storePlaceOf({
  dataDir,
  store,
  volume,
  keys,
}: StoreOptions): StorePlace | undefined {
  if (store === undefined && volume === undefined) return undefined;
  if (store === undefined || volume === undefined) {
    throw new BorealisError(sqlState.invalidParameter, "--store and --volume go together", {
      hint: "--store file:/path --volume ID --keys FILE; the id is the folder of volume.json there",
    });
  }
  const keyFile = keys ?? resolveLayout(dataDir).keyFile;
  return { url: store, env: objectStoreEnv(store, environment()), volume, keyFile };
}

/** Raises 22023 if the store has no such volume, 55000 if it is encrypted and its keys are not here, what the store raises. */
export async function openStoreSource({
  url,
  env,
  volume,
  keyFile,
}: StorePlace): Promise<RestoreSource> {
  if (!isUuid(volume)) {
    throw new BorealisError(sqlState.invalidParameter, `--volume: "${volume}" is no volume's id`, {
      hint: "it is the name of the folder with volume.json in the object store",
    });
  }
  // Reading has the patience of hours of work; who has named a store that is not there is told at once.
  await tryObjectStore(url, volumeId(volume), env);
  const store = await openObjectStore(url, volumeId(volume), env);
  try {
    const record = await readVolumeRecord(store);
    if (!record) throw noVolume(volume, url);
    const keys = await keysOf(record, keyFile);
    const named = record.ancestorVolumeId ?? record.volumeId;
    const sealer = new ExtentSealer({ volumeId: named, keys });
    const deletions = await readDeletions([store], sealer);
    return {
      label: store.label,
      identity: identityOf(record),
      stores: [store],
      replicas: onlyStore(store),
      sealer,
      deletions,
      genesis: undefined,
      log: await logOf(store, record, { sealer, deletions }),
      left: await leftOf(store, record, sealer),
      close: () => store.close(),
    };
  } catch (error) {
    await store.close();
    throw error;
  }
}

async function keysOf(record: VolumeRecord, keyFile: string): Promise<DataKeys | undefined> {
  const { keyRing, volumeId: volume, encryption } = record;
  if (keyRing !== undefined) return openRing(keyRing, { volume, keyFile });
  if (encryption === "off") return undefined;
  throw new BorealisError(
    sqlState.dataCorrupted,
    `volume ${volume} is encrypted, and its volume.json has no key ring`,
    { hint: "put back an older copy of volume.json, if the store keeps versions" },
  );
}

function identityOf(record: VolumeRecord): VolumeIdentity {
  const { systemIdentifier, engineVersion, masterUser, isSuperuser, encryption } = record;
  return {
    volumeId: record.volumeId,
    systemIdentifier,
    engineVersion,
    masterUser,
    isSuperuser,
    encryption,
    createdAtMs: Date.parse(record.createdAt),
    readers: Math.max(0, record.instances - 1),
  };
}

/**
 * What the record remembers of backtracks. One that only the archive has seen, which an earlier version wrote or a keeper that died
 * early, is known by its log: without it, a moment in what it left would be another one.
 */
async function leftOf(
  store: ObjectStore,
  { futures, left }: VolumeRecord,
  sealer: ExtentSealer,
): Promise<readonly LeftFuture[]> {
  const found = [...futures];
  for (const { history, from, leftAtMs } of unnamedFutures(futures, left)) {
    const end = await new ArchivedLog(store, sealer, history).archivedUpTo(from);
    found.push(futureOfSeen({ from, end, leftAtMs }));
  }
  return found;
}

/** The longest stretch of archived log that begins where a snapshot needs it and reaches furthest. */
async function logOf(
  store: ObjectStore,
  record: VolumeRecord,
  { sealer, deletions }: Pick<RestoreSource, "sealer" | "deletions">,
): Promise<SourceLog> {
  const { history: path } = record;
  const archived = new ArchivedLog(store, sealer, path);
  const starts = new Set<Lsn>();
  const { ids, failures } = await liveSnapshots([store], deletions);
  for (const failure of failures.values()) throw failure;
  for (const id of ids.keys()) {
    if (id === genesisSnapshotId) starts.add(record.genesisLsn);
    else {
      const facts = automaticSnapshotFacts(id) ?? (await findReadable(store, id, sealer));
      if (facts) starts.add(segmentStart(facts.startLsn));
    }
  }
  let [from, to] = [record.genesisLsn, record.genesisLsn];
  for (const start of [...starts].toSorted((a, b) => (a < b ? -1 : 1))) {
    const end = await archived.archivedUpTo(start);
    if (end > to) [from, to] = [start, end];
  }
  const read = (at: Lsn, end: Lsn): Promise<Buffer> => archived.read(at, end);
  const pieces = (at: Lsn, end: Lsn): AsyncIterable<Buffer> => archived.pieces(at, end);
  const reached = await readReached(store, sealer);
  const reachedMs = reached && isReachedBy(reached, { path, to }) ? reached.atMs : 0;
  const latestMs = Math.max(await lastTimeMs({ read }, from, to), reachedMs);
  return { path, from, to, latestMs, read, pieces };
}

/** Undefined: it is not there, or damaged, and no reason to do without the others. */
async function findReadable(
  ...[store, id, sealer]: Parameters<typeof findSnapshot>
): Promise<SnapshotManifest | undefined> {
  try {
    return await findSnapshot(store, id, sealer);
  } catch (error) {
    if (error instanceof BorealisError && error.code === sqlState.dataCorrupted) return undefined;
    throw error;
  }
}

/** Of the last commit in it: of later ones the log alone does not know whether they were lost with the volume. */
async function lastTimeMs(log: Pick<SourceLog, "read">, from: Lsn, to: Lsn): Promise<number> {
  if (from === to) return 0;
  const target = { kind: "lsn", at: to } as const;
  const moment = await findMoment({ log, from, to, target });
  const timeUs = moment?.lastCommit?.timeUs;
  // Rounded up: that commit is within.
  return timeUs === undefined ? 0 : Number((timeUs + 999n) / 1_000n);
}

function noVolume(volume: string, url: string): BorealisError {
  return new BorealisError(
    sqlState.invalidParameter,
    `there is no volume ${volume} in ${url} (no volume.json)`,
    { hint: "the id is the name of a folder there; see status --json of a running cluster" },
  );
}

/** How far a source reaches, for people. */
export function reachOf({ log }: RestoreSource): string {
  const time = log.latestMs > 0 ? `, ${new Date(log.latestMs).toISOString()}` : "";
  return `${formatLsn(log.to)}${time}`;
}
