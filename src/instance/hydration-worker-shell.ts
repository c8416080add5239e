/**
 * The thread that builds a cache from a snapshot: fetching, decrypting and hashing a gigabyte would keep the agent's loop,
 * and with it the log feed, waiting.
 */
import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { volumeId } from "../base/ids.ts";
import { bytesBetween, lsnMaxOf } from "../base/lsn.ts";
import { hydrateFromSnapshot } from "../engine/index.ts";
import { type ParentThread, realClock, realRng } from "../io/index.ts";
import { parseDataKeys } from "../keys/index.ts";
import { NodeStore } from "../log-driver/index.ts";
import {
  ExtentSealer,
  findUsableSnapshot,
  type ObjectStore,
  openObjectStore,
  Replicas,
} from "../volume/index.ts";
import type { FromHydration, HydrationOrder } from "./hydration-messages.ts";

/** A node that is down is passed over soon: others have the same. */
const nodePatienceMs = 2_000;
const progressEveryBytes = 8 * 1024 * 1024;

export async function run(parent: ParentThread): Promise<void> {
  const post = (message: FromHydration): void => parent.post(message);
  try {
    // Written by hydration-shell.ts, in this process.
    await hydrate(parent.data as HydrationOrder, post);
  } catch (error) {
    const code = error instanceof BorealisError ? error.code : sqlState.internal;
    post({ kind: "failed", code, message: messageOf(error) });
  }
}

async function hydrate(
  order: HydrationOrder,
  post: (message: FromHydration) => void,
): Promise<void> {
  const { instanceDir, osUser, wish, end, replayBytesMax } = order;
  const keys = order.dataKeys === null ? undefined : parseDataKeys(order.dataKeys);
  const sealer = new ExtentSealer({ volumeId: volumeId(order.addressVolumeId), keys });
  const stores = await openStores(order);
  const replicas = new Replicas({
    stores,
    isSafe: (those) => those.length > 0,
    onHealed: (store, name, reason) => post({ kind: "healed", store: store.label, name, reason }),
  });
  // Whoever does not want it any more ends the thread.
  const { signal } = new AbortController();
  const onSkipped = (id: string, error: BorealisError): void =>
    post({ kind: "skipped", snapshot: id, reason: error.message });
  const manifest = await findUsableSnapshot({
    ...wish,
    stores,
    replicas,
    sealer,
    onSkipped,
    signal,
  });
  if (!manifest) return post({ kind: "none" });
  const { id, startLsn, endLsn, history } = manifest;
  const replayBytes = bytesBetween(startLsn, lsnMaxOf(end, startLsn));
  const found = { snapshot: id, startLsn, endLsn, history, replayBytes };
  if (replayBytes > replayBytesMax) return post({ kind: "far", ...found });
  let toldBytes = 0;
  const figures = await hydrateFromSnapshot(
    { manifest, replicas, sealer, instanceDir, osUser, volumeId: order.owner.volumeId, signal },
    ({ doneBytes, totalBytes }) => {
      if (doneBytes - toldBytes < progressEveryBytes) return;
      toldBytes = doneBytes;
      post({ kind: "progress", doneBytes, totalBytes });
    },
  );
  post({ kind: "done", ...found, figures });
}

/** Nearest first. Raises what the object store raises that cannot be opened, if there is nothing else. */
async function openStores({
  objectStoreUrl,
  objectStoreEnv,
  nodes,
  owner,
}: HydrationOrder): Promise<ObjectStore[]> {
  const world = { owner, clock: realClock, rng: realRng, limits: { patienceMs: nodePatienceMs } };
  const stores: ObjectStore[] = nodes.map((endpoint) => new NodeStore({ endpoint, ...world }));
  try {
    stores.push(await openObjectStore(objectStoreUrl, owner.volumeId, objectStoreEnv));
  } catch (error) {
    if (!(error instanceof BorealisError) || stores.length === 0) throw error;
  }
  return stores;
}
