import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { type ObjectStore, Replicas } from "../volume/index.ts";
import type { KeeperContext } from "./keeper-shell.ts";

/** Where the volume's snapshots are kept, nearest first. Raises 57P03 while the object store cannot be opened. */
export function storesOf(context: KeeperContext): ObjectStore[] {
  const objects = context.objects();
  if (objects) return [objects];
  throw new BorealisError(sqlState.cannotConnectNow, "the object store is not open yet", {
    hint: "borealis logs keeper says why; see the setting objectStore.url",
  });
}

/** Whether what lies in these is safe: the object store outlives every node. */
export function isSafeIn(context: KeeperContext): (stores: readonly ObjectStore[]) => boolean {
  return (stores) => stores.some((store) => store === context.objects());
}

/** All stores as one. What one of them loses or has damaged is healed from another, and told in the log. */
export function replicasOf(context: KeeperContext): Replicas {
  const { logger } = context;
  return new Replicas({
    stores: storesOf(context),
    isSafe: isSafeIn(context),
    onLost: (store, error) => {
      logger.warn({ event: "store.leftOut", store: store.label }, messageOf(error));
    },
    onHealed: (store, name, reason) => {
      logger.warn({ event: "object.healed", store: store.label, name }, reason);
    },
    onNotHealed: (store, name, error) => {
      logger.warn({ event: "object.notHealed", store: store.label, name }, messageOf(error));
    },
  });
}
