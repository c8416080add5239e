/** A cluster's object store as a restore finds it: with nothing of the cluster but its key file. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { parseAddress } from "../../src/base/address.ts";
import { nodeId, type VolumeId, volumeId } from "../../src/base/ids.ts";
import { type Lsn, parseLsn } from "../../src/base/lsn.ts";
import { addressBook, layoutOf, parseClusterState, runtimeDirOf } from "../../src/cluster/index.ts";
import { realClock, realEntropy, realSecretFiles } from "../../src/io/index.ts";
import { KeyFileProvider, openKeyRing, parseKeyRing } from "../../src/keys/index.ts";
import { VolumeReader } from "../../src/log-driver/index.ts";
import {
  ArchivedLog,
  type Env,
  ExtentSealer,
  type LogPath,
  type ObjectStore,
  openObjectStore,
  readVolumeRecord,
  type VolumeRecord,
} from "../../src/volume/index.ts";
import { until } from "./cluster.ts";
import type { TestCluster } from "./cluster.ts";

export interface OpenedArchive {
  readonly store: ObjectStore;
  readonly record: VolumeRecord;
  readonly sealer: ExtentSealer;
  readonly log: ArchivedLog;
  close(): Promise<void>;
}

export function volumeOf(cluster: TestCluster): VolumeId {
  return volumeId(stateOf(cluster).volumeId);
}

function stateOf(cluster: TestCluster) {
  const parsed = parseClusterState(readFileSync(`${cluster.dataDir}/control/state.json`, "utf8"));
  if (parsed.kind !== "state") throw new Error("no state");
  return parsed.state;
}

/** Keys come from the ring in the store and the key file. */
export async function openArchive(
  cluster: TestCluster,
  url = `file://${cluster.dataDir}/objects`,
  env: Env = {},
): Promise<OpenedArchive> {
  const volume = volumeOf(cluster);
  const store = await openObjectStore(url, volume, env);
  const record = await until("there is a volume.json", () => readVolumeRecord(store));
  const ring = parseKeyRing(record.keyRing ?? "");
  const provider = new KeyFileProvider(`${cluster.dataDir}/keys/master.json`, {
    files: realSecretFiles,
    entropy: realEntropy,
    now: () => "",
  });
  const keys = ring && (await openKeyRing(provider, ring));
  const sealer = new ExtentSealer({ volumeId: volume, keys });
  const log = new ArchivedLog(store, sealer, record.history);
  return { store, record, sealer, log, close: () => store.close() };
}

/** Digest of [from, to) of the path, from the storage nodes. */
export async function digestOfVolume(
  cluster: TestCluster,
  range: { readonly path: LogPath; readonly from: Lsn; readonly to: Lsn },
): Promise<string> {
  const uid = process.getuid?.() ?? 0;
  const layout = layoutOf(cluster.dataDir, runtimeDirOf(tmpdir(), uid, cluster.dataDir));
  const state = stateOf(cluster);
  const reader = new VolumeReader({
    nodes: addressBook(state, layout, {}).map((node) => ({
      nodeId: nodeId(node.nodeId),
      name: node.name,
      address: parseAddress(node.address),
    })),
    owner: { volumeId: volumeId(state.volumeId), sender: "test" },
    clock: realClock,
  });
  const hash = createHash("sha256");
  try {
    await reader.forEach(range, (bytes) => {
      hash.update(bytes);
      return true;
    });
  } finally {
    reader.close();
  }
  return hash.digest("hex");
}

/** Digest of [from, to), from the archive. */
export async function digestOfArchive(log: ArchivedLog, from: Lsn, to: Lsn): Promise<string> {
  const hash = createHash("sha256");
  for await (const bytes of log.pieces(from, to)) hash.update(bytes);
  return hash.digest("hex");
}

/** Waits until everything that is durable now is archived; gives up to where. */
export async function untilArchived(cluster: TestCluster, deadlineMs = 60_000): Promise<Lsn> {
  // Not the VDL that status shows: that is of the agent's last report, and may be older than the last commit.
  const end = await until("it is writable", async () => {
    const { rows } = await cluster.query("SELECT pg_current_wal_flush_lsn()::text AS lsn");
    return String(rows[0].lsn);
  });
  const wanted = parseLsn(end);
  await until(
    `the log is archived to ${end}`,
    async () => {
      const { archive } = (await cluster.status()).volume;
      return parseLsn(archive?.archivedLsn ?? "0/0") >= wanted;
    },
    deadlineMs,
  );
  return wanted;
}
