import type { Pool, PlaceHolder } from "./pool.ts";
import type { PoolFigures } from "./session-counters.ts";

/** What pools are like at this moment. */
export interface PoolSight {
  readonly instances: PoolFigures["instances"];
  /** Words for why server connections are kept, and how many are. */
  readonly reasons: ReadonlyMap<string, number>;
}

/** Pools by instance: one that was started again may have several, of all its lives that sessions are at. */
export function poolSight<L, H extends PlaceHolder>(
  pools: readonly (readonly [string, Pool<L, H>])[],
): PoolSight {
  const instances = new Map<string, PoolFigures["instances"][number]>();
  const reasons = new Map<string, number>();
  for (const [instance, pool] of pools) {
    const before = instances.get(instance);
    instances.set(instance, {
      instance,
      open: pool.count + (before?.open ?? 0),
      free: pool.freeCount + (before?.free ?? 0),
      waiting: pool.seekerCount + (before?.waiting ?? 0),
    });
    for (const [why, count] of pool.reasons()) reasons.set(why, (reasons.get(why) ?? 0) + count);
  }
  return { instances: [...instances.values()], reasons };
}
