import { messageOf } from "../base/errors.ts";
import { type Clock, type Logger, sleep } from "../io/index.ts";
import type { InstanceRoles } from "./roles-shell.ts";

/** Readers of these tiers are promoted first. */
const warmTierMax = 1;

/** Asks readers that may be promoted to keep what the writer works with in memory; every `everyMs`, 0: never. */
export async function keepReadersWarm(
  roles: InstanceRoles,
  deps: { readonly clock: Clock; readonly logger: Logger; readonly everyMs: number },
  stop: AbortSignal,
): Promise<void> {
  const { clock, logger, everyMs } = deps;
  while (everyMs > 0 && !stop.aborted) {
    await sleep(clock, everyMs, stop);
    for (const { id, tier } of roles.state.instances) {
      const status = roles.status(id);
      if (stop.aborted || tier > warmTierMax || status?.role !== "reader" || !status.isAdmitted)
        continue;
      try {
        await roles.client(id)?.call("warm", {}, { timeoutMs: 5_000 });
      } catch (error) {
        logger.debug({ event: "reader.notWarmed", instance: id }, messageOf(error));
      }
    }
  }
}
