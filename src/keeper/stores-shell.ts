import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { type ObjectStore, Replicas } from "../volume/index.ts";
import type { KeeperContext } from "./keeper-shell.ts";

/**
 * Where the volume's snapshots are kept, nearest first: full nodes, then the object store. Raises 57P03 while that cannot be
 * opened.
 */
export function storesOf(context: KeeperContext): ObjectStore[] {
  const objects = context.objects();
  if (objects) return [...context.nodeStores(), objects];
  throw new BorealisError(sqlState.cannotConnectNow, "the object store is not open yet", {
    hint: "borealis logs keeper says why; see the setting objectStore.url",
  });
}

/** Whether what lies in these is safe: the object store outlives every node, and so do all full members together. */
export function isSafeIn(context: KeeperContext): (stores: readonly ObjectStore[]) => boolean {
  return (stores) => {
    const objects = context.objects();
    const nodes = context.nodeStores();
    const isInObjects = objects !== undefined && stores.includes(objects);
    return isInObjects || (nodes.length > 0 && nodes.every((node) => stores.includes(node)));
  };
}

/**
 * Does it in every store. Resolves when so many have done it that what is kept in them is safe; the others are told of in
 * the log, as `event`. Raises what stood in the way otherwise.
 */
export async function inEach(
  context: KeeperContext,
  work: (store: ObjectStore) => Promise<void>,
  event: string,
): Promise<void> {
  const good: ObjectStore[] = [];
  let failure: BorealisError | undefined;
  await Promise.all(
    storesOf(context).map(async (store) => {
      try {
        await work(store);
        good.push(store);
      } catch (error) {
        if (!(error instanceof BorealisError)) throw error;
        failure ??= error;
        context.logger.warn({ event, store: store.label }, error.message);
      }
    }),
  );
  if (failure && !isSafeIn(context)(good)) throw failure;
}

/**
 * Those that a new snapshot goes to. A store that is given the older ones by and by gets this one with them: it would take
 * as long.
 */
export function takersOf(context: KeeperContext): ObjectStore[] {
  const stores = storesOf(context);
  const takers = stores.filter((store) => !context.isBehind(store));
  // As long as nobody has looked, or none has all, it is for all to take.
  return isSafeIn(context)(takers) ? takers : stores;
}

/** Stores as one. What one of them loses or has damaged is healed from another, and told in the log. */
export function replicasOf(context: KeeperContext, stores: readonly ObjectStore[]): Replicas {
  const { logger } = context;
  return new Replicas({
    stores,
    isSafe: isSafeIn(context),
    onLost: (store, error) => {
      logger.warn({ event: "store.leftOut", store: store.label }, messageOf(error));
    },
    onHealed: (store, name, reason) => context.noteHealed(store, name, reason),
    onNotHealed: (store, name, error) => {
      logger.warn({ event: "object.notHealed", store: store.label, name }, messageOf(error));
    },
  });
}
