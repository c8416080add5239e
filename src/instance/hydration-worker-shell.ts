/**
 * The thread that builds a cache from a snapshot: fetching, decrypting and hashing a gigabyte would keep the agent's loop,
 * and with it the log feed, waiting.
 */
import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { volumeId } from "../base/ids.ts";
import { bytesBetween, lsnMaxOf } from "../base/lsn.ts";
import { hydrateFromSnapshot, type SnapshotHydration } from "../engine/index.ts";
import { type ParentThread, realClock, realRng } from "../io/index.ts";
import { parseDataKeys } from "../keys/index.ts";
import { NodeStore } from "../log-driver/index.ts";
import {
  ExtentSealer,
  type ObjectStore,
  openObjectStore,
  Replicas,
  type SnapshotManifest,
  snapshotObject,
  TriedReplicas,
  usableSnapshots,
} from "../volume/index.ts";
import type { FromHydration, HydrationOrder, HydrationResult } from "./hydration-messages.ts";

/** A node that is down is passed over soon: others have the same. */
const nodePatienceMs = 2_000;
const progressEveryBytes = 8 * 1024 * 1024;

export async function run(parent: ParentThread): Promise<void> {
  const post = (message: FromHydration): void => parent.post(message);
  try {
    // Written by hydration-shell.ts, in this process.
    await hydrate(parent.data as HydrationOrder, post);
  } catch (error) {
    const known = error instanceof BorealisError ? error : undefined;
    const { code = sqlState.internal, hint = null } = known ?? {};
    post({ kind: "failed", code, message: messageOf(error), hint });
  }
}

async function hydrate(
  order: HydrationOrder,
  post: (message: FromHydration) => void,
): Promise<void> {
  const keys = order.dataKeys === null ? undefined : parseDataKeys(order.dataKeys);
  const sealer = new ExtentSealer({ volumeId: volumeId(order.addressVolumeId), keys });
  // What is in a store that does not answer nobody knows: then it cannot be said that there is none.
  let unseen: BorealisError | undefined;
  const onUnlisted = (error: BorealisError): void => void (unseen ??= error);
  const stores = await openStores(order, onUnlisted);
  const replicas = new Replicas({
    stores,
    isSafe: (those) => those.length > 0,
    onHealed: (store, name, reason) => post({ kind: "healed", store: store.label, name, reason }),
  });
  const tried = new TriedReplicas(replicas);
  let failure: BorealisError | undefined;
  const skip = (snapshot: string, error: BorealisError, object: string | undefined): void => {
    failure ??= error;
    post({ kind: "skipped", snapshot, object: object ?? null, reason: error.message });
  };
  const onSkipped = (id: string, error: BorealisError): void =>
    skip(id, error, error.code === sqlState.dataCorrupted ? snapshotObject(id) : undefined);
  // Whoever does not want it any more ends the thread.
  const { signal } = new AbortController();
  const search = { ...order.wish, stores, replicas, sealer, onSkipped, onUnlisted, signal };
  for await (const manifest of usableSnapshots(search)) {
    if (tried.lacks(manifest)) {
      const reason = "it needs the same extents";
      post({ kind: "skipped", snapshot: manifest.id, object: null, reason });
      continue;
    }
    try {
      return post(await unpack(order, manifest, { replicas: tried, sealer, post, signal }));
    } catch (error) {
      // With more log behind it, an older one is as good.
      if (!tried.isOfSnapshot(error)) throw error;
      skip(manifest.id, error, tried.lostBy(error));
    }
  }
  // A store that did not answer may have what is damaged in the others.
  const why = unseen ?? failure;
  if (why) throw why;
  post({ kind: "none" });
}

interface Unpacking extends Pick<SnapshotHydration, "replicas" | "sealer" | "signal"> {
  readonly post: (message: FromHydration) => void;
}

/** One with more log behind it than is wanted is told, and not unpacked. */
async function unpack(
  { instanceDir, osUser, end, replayBytesMax, owner }: HydrationOrder,
  manifest: SnapshotManifest,
  { replicas, sealer, post, signal }: Unpacking,
): Promise<HydrationResult> {
  const { id, startLsn, endLsn, history } = manifest;
  const replayBytes = bytesBetween(startLsn, lsnMaxOf(end, startLsn));
  const found = { snapshot: id, startLsn, endLsn, history, replayBytes };
  if (replayBytes > replayBytesMax) return { kind: "far", ...found };
  let toldBytes = 0;
  const { volumeId: volume } = owner;
  const figures = await hydrateFromSnapshot(
    { manifest, replicas, sealer, instanceDir, osUser, volumeId: volume, signal },
    ({ doneBytes, totalBytes }) => {
      if (doneBytes - toldBytes < progressEveryBytes) return;
      toldBytes = doneBytes;
      post({ kind: "progress", doneBytes, totalBytes });
    },
  );
  return { kind: "done", ...found, figures };
}

/** Nearest first. Raises what the object store raises that cannot be opened, if there is nothing else. */
async function openStores(
  { objectStoreUrl, objectStoreEnv, nodes, owner }: HydrationOrder,
  onUnlisted: (error: BorealisError) => void,
): Promise<ObjectStore[]> {
  const world = { owner, clock: realClock, rng: realRng, limits: { patienceMs: nodePatienceMs } };
  const stores: ObjectStore[] = nodes.map((endpoint) => new NodeStore({ endpoint, ...world }));
  try {
    stores.push(await openObjectStore(objectStoreUrl, owner.volumeId, objectStoreEnv));
  } catch (error) {
    if (!(error instanceof BorealisError) || stores.length === 0) throw error;
    onUnlisted(error);
  }
  return stores;
}
