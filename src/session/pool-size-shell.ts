import { messageOf } from "../base/errors.ts";
import type { PoolsOptions } from "./pool-options-shell.ts";
import type { Target } from "./topology.ts";

/** How many connections the pools of this process may have there; undefined: it is going away, or busy, and is to be asked again. */
export async function maxOf(
  target: Target,
  { connectionsOf, settings, logger }: Pick<PoolsOptions, "connectionsOf" | "settings" | "logger">,
): Promise<number | undefined> {
  try {
    const connections = await connectionsOf(target);
    if (!(connections >= 0)) throw new Error(`it says "${connections}"`);
    return Math.max(1, Math.floor((connections * settings.maxConnectionsPercent) / 100));
  } catch (error) {
    logger.warn({ event: "pool.sizeUnknown", reason: messageOf(error) });
    return undefined;
  }
}
