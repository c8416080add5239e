import { sqlState } from "../base/errors.ts";
import { sleep } from "../io/index.ts";
import { pulseEveryMs, SilenceWatch } from "./silence-shell.ts";
import {
  agentEndMs,
  type ChangeWorld,
  codeOf,
  deadlineMs,
  isWriter,
  notYet,
  order,
  superseded,
  tell,
} from "./writer-change-shell.ts";

export interface Heir {
  /** Appointed already. */
  readonly target: string;
  /** So long it may be silent. */
  readonly patienceMs: number;
  /**
   * Given where nobody has named it, and whoever is quickest is best: whether it answered when it was told that it is the
   * one. It is passed over for the first thing that goes wrong; who was named is waited for if its agent ends, since that
   * is started again.
   */
  readonly isReady?: Promise<boolean>;
}

/** A reader that does not answer so long that it is there is passed over, if there is another. */
const readyMs = 1_000;
/**
 * One whose PostgreSQL comes no nearer to writing for so long may hang: its startup process can, alone. Rarely it is a single
 * record that takes longer to replay, which may have taken the next one as long already.
 */
const standstillMaxMs = 10_000;
const lookMs = 5;

/** What takes time is done ahead; resolves with whether all of it, its PostgreSQL too, has answered. */
export function prepareHeir(world: ChangeWorld, target: string): Promise<boolean> {
  return order(world, target, { method: "prepareWriter", timeoutMs: readyMs });
}

/**
 * Promotes who was appointed, and gives it; or the next best reader, if that one is lost before it writes. Raises 55000 when
 * somebody else was appointed meanwhile, 57P03 when nobody writes after two minutes.
 */
export async function install(
  world: ChangeWorld,
  first: Heir,
  signal: AbortSignal,
): Promise<string> {
  const { clock, logger } = world;
  const startMs = clock.nowMs();
  const tried = new Set<string>();
  let heir = first;
  for (;;) {
    const { target } = heir;
    tried.add(target);
    if (await isInstalled(world, heir, { tried, signal })) return target;
    if (world.appointed() !== target) throw superseded(target, world.appointed());
    if (signal.aborted || clock.nowMs() - startMs > deadlineMs) {
      throw notYet(target, world.status(target)?.problem);
    }
    const other = world.choose(tried);
    if (other === undefined) {
      tried.clear();
      continue;
    }
    logger.warn({ event: "takeover.passedOn", target, other });
    // Should it wake up: what it was ordered to do would take the volume from the other.
    void order(world, target, { method: "yieldVolume", params: { isHurried: true } });
    world.appoint(other);
    const isReady = prepareHeir(world, other);
    heir = { target: other, patienceMs: world.detectionMs, isReady };
  }
}

/** False: it is lost and another reader could do it, somebody else was appointed, or it is too late. */
async function isInstalled(
  world: ChangeWorld,
  { target, patienceMs, isReady }: Heir,
  { tried, signal }: { readonly tried: ReadonlySet<string>; readonly signal: AbortSignal },
): Promise<boolean> {
  const { clock } = world;
  const startMs = clock.nowMs();
  const watch = new SilenceWatch(world, target);
  const silentMaxMs = patienceMs + pulseEveryMs;
  const standingMaxMs = Math.max(standstillMaxMs, world.detectionMs);
  let isUnfit = false;
  void isReady?.then((hasAnswered) => {
    isUnfit ||= !hasAnswered;
  });
  // One that failed is ordered again when it says that it is free, as at any start.
  const params = world.writerOrder(target);
  const { agentPid } = world.status(target) ?? {};
  const judge = async (told: Awaited<ReturnType<typeof tell>>): Promise<void> => {
    if (!("failure" in told)) return;
    const code = codeOf(told.failure);
    // For want of a quorum no other reader would come further.
    if (code === sqlState.quorumMissing) return;
    if (isReady === undefined && code === sqlState.connectionFailure) {
      // Its agent's end, for which one that was named is waited for; or that of its PostgreSQL, which the agent tells so, too.
      await sleep(clock, agentEndMs, signal);
      isUnfit ||= world.status(target)?.agentPid === agentPid;
    } else isUnfit = true;
  };
  world.logger.info({ event: "role.ordered", instance: target, role: "writer" });
  void tell(world, target, { method: "beWriter", params }).then(judge);
  while (!signal.aborted && clock.nowMs() - startMs < deadlineMs) {
    if (world.appointed() !== target) return false;
    if (isWriter(world, target)) return true;
    const isSilent = watch.silentMs() > silentMaxMs;
    const isLost = isUnfit || isSilent || watch.standstillMs > standingMaxMs;
    if (isLost && world.choose(tried) !== undefined) return false;
    await sleep(clock, lookMs, signal);
  }
  return false;
}
