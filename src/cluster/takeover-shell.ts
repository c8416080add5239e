import { sleep } from "../io/index.ts";
import type { Loss } from "./detection.ts";
import {
  ask,
  type FailoverWorld,
  isWriter,
  notYet,
  promote,
  superseded,
  until,
} from "./failover-shell.ts";
import type { FailoverReport } from "./messages.ts";

export interface TakeoverWorld extends FailoverWorld {
  readonly detectionMs: number;
  /** The best reader that is not among `tried`; undefined: there is none. */
  choose(tried: ReadonlySet<string>): string | undefined;
}

/** A reader that answers nothing for so long is passed over, if there is another. */
const readyMs = 500;
/** What is left of the lost writer has been ended, as a rule, and its epoch released: a claim need not wait for its lease. */
const releaseMs = 300;
const pulseEveryMs = 500;
const lookMs = 5;
const deadlineMs = 120_000;

/**
 * Replaces a writer that is lost by the best reader; by the next best one if that is lost too before it writes. Storage
 * decides who owns the volume: this may die after any step, and whoever comes next finds who was appointed.
 */
export async function takeOver(
  world: TakeoverWorld,
  { from, loss, first }: { readonly from: string; readonly loss: Loss; readonly first: string },
  signal: AbortSignal,
): Promise<FailoverReport> {
  const { clock, logger } = world;
  const startMs = clock.nowMs();
  const tried = new Set<string>();
  let target = first;
  for (;;) {
    logger.info({ event: "takeover.begun", from, loss, target });
    world.appoint(target);
    // One that is silent, but has an agent that is not, is killed; one that has ended is being cleared away.
    if (loss === "silent") {
      void ask(world, from, { method: "yieldVolume", params: { isHurried: true } });
    }
    const isReady = ask(world, target, { method: "prepareWriter", timeoutMs: readyMs });
    await until(world, () => isFree(world, from), { withinMs: releaseMs, signal });
    tried.add(target);
    if (await promoted(world, { target, tried, isReady }, signal)) break;
    if (world.appointed() !== target) throw superseded(target, world.appointed());
    if (signal.aborted || clock.nowMs() - startMs > deadlineMs) {
      throw notYet(target, world.status(target)?.problem);
    }
    const other = world.choose(tried);
    if (other === undefined) tried.clear();
    logger.warn({ event: "takeover.passedOn", target, other });
    target = other ?? target;
  }
  const heldMs = Math.round(clock.nowMs() - startMs);
  const { epoch = 0, timeline = 0 } = world.status(target) ?? {};
  logger.info({ event: "takeover.done", from, loss, target, epoch, heldMs });
  return { writer: target, previous: from, heldMs, epoch, timeline };
}

/** Its PostgreSQL is gone and its epoch released, as far as its agent says so; or the agent is gone. */
function isFree(world: TakeoverWorld, id: string): boolean {
  const status = world.status(id);
  return status === undefined || status.role !== "writer";
}

/** False: it is lost and another reader could do it, or somebody else was appointed. */
async function promoted(
  world: TakeoverWorld,
  successor: {
    readonly target: string;
    readonly tried: ReadonlySet<string>;
    /** Whether it answered when it was told that it is the one. */
    readonly isReady: Promise<boolean>;
  },
  signal: AbortSignal,
): Promise<boolean> {
  const { clock, detectionMs } = world;
  const { target, tried, isReady } = successor;
  void promote(world, target);
  let isSilent = false;
  void isReady.then((hasAnswered) => (isSilent = !hasAnswered));
  const startMs = clock.nowMs();
  let heardMs = startMs;
  let askedMs = startMs;
  while (!signal.aborted && clock.nowMs() - startMs < deadlineMs) {
    if (world.appointed() !== target) return false;
    if (isWriter(world, target)) return true;
    const nowMs = clock.nowMs();
    if (nowMs - askedMs >= pulseEveryMs) {
      askedMs = nowMs;
      void ask(world, target, { method: "pulse", timeoutMs: detectionMs }).then((isHeard) => {
        if (!isHeard) return;
        heardMs = clock.nowMs();
        isSilent = false;
      });
    }
    const isLate = nowMs - heardMs > detectionMs + pulseEveryMs;
    const isLost = isSilent || isLate || !world.client(target);
    if (isLost && world.choose(tried) !== undefined) return false;
    await sleep(clock, lookMs, signal);
  }
  return false;
}
