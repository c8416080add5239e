import type { Loss } from "./detection.ts";
import type { FailoverReport } from "./messages.ts";
import { install, prepareHeir } from "./succession-shell.ts";
import { type ChangeWorld, order, until } from "./writer-change-shell.ts";

/** What is left of the lost writer has been ended, as a rule, and its epoch released: a claim need not wait for its lease. */
const releaseWithinMs = 300;

/**
 * Replaces a writer that is lost by the best reader; by the next best one if that is lost too before it writes. Storage
 * decides who owns the volume: this may die after any step, and whoever comes next finds who was appointed.
 */
export async function takeOver(
  world: ChangeWorld,
  { from, loss, first }: { readonly from: string; readonly loss: Loss; readonly first: string },
  signal: AbortSignal,
): Promise<FailoverReport> {
  const { clock, logger, meter, detectionMs } = world;
  const startMs = clock.nowMs();
  logger.info({ event: "takeover.begun", from, loss, target: first });
  world.appoint(first);
  // One that is silent, but has an agent that is not, is killed; one that has ended is being cleared away.
  if (loss !== "ended") {
    void order(world, from, { method: "yieldVolume", params: { isHurried: true } });
  }
  const isReady = prepareHeir(world, first);
  await until(world, () => isFree(world, from), { withinMs: releaseWithinMs, signal });
  const releaseMs = clock.nowMs() - startMs;
  meter.phase("failover", "release", releaseMs);
  const heir = { target: first, patienceMs: detectionMs, isReady };
  const writer = await install(world, heir, signal);
  const heldMs = Math.round(clock.nowMs() - startMs);
  meter.phase("failover", "succession", clock.nowMs() - startMs - releaseMs);
  const { epoch = 0, timeline = 0 } = world.status(writer) ?? {};
  logger.info({ event: "takeover.done", from, loss, target: writer, epoch, heldMs });
  return { writer, previous: from, heldMs, epoch, timeline };
}

/** Its PostgreSQL is gone and its epoch released, as far as its agent says so; or the agent is gone. */
function isFree(world: ChangeWorld, id: string): boolean {
  const status = world.status(id);
  return status === undefined || status.role !== "writer";
}
