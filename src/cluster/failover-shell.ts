import { BorealisError, sqlState } from "../base/errors.ts";
import type { FailoverReport } from "./messages.ts";
import { SilenceWatch } from "./silence-shell.ts";
import { install } from "./succession-shell.ts";
import { type ChangeWorld, drain, order, responsiveMs, until } from "./writer-change-shell.ts";

const prepareMs = 5_000;
/** So long what runs on the old writer may take to end by itself; then it is ended. */
const drainMs = 1_000;
/** A fast stop, then a quick one, then SIGKILL, as engine does it; and a little. */
const yieldMs = 9_000;
/** After a restart of the control plane: until agents have said what they are. */
const knownMs = 500;
/** Whom somebody has named is waited for as long as an agent takes to start. */
const patienceMs = 10_000;

/**
 * Makes `target` the writer. Storage decides who owns the volume, so this may die after any step, and be begun again by
 * the next control plane: once `target` is appointed, its claim fences whoever wrote before. The old writer is asked to
 * stop first where it can be asked, because then it ends in order and gives its epoch back; one that falls silent at it is
 * not waited for. Raises 57P03 before anything
 * has happened if `target` does not answer; it is followed by another if it answers no more later.
 */
export async function failOver(
  world: ChangeWorld,
  target: string,
  signal: AbortSignal,
): Promise<FailoverReport> {
  const { clock, logger, meter, detectionMs } = world;
  const others = world.instances.filter((id) => id !== target);
  const isResumed = world.appointed() === target;
  if (isResumed) {
    await until(world, () => others.every((id) => world.status(id)), { withinMs: knownMs, signal });
  }
  const writers = others.filter((id) => world.status(id)?.role === "writer");
  const responsive = await responsiveOf(world, writers);
  const heard = responsive.map((id) => new SilenceWatch(world, id));
  // Nobody writes any more where a control plane before this one has appointed: no time is to be lost there.
  const beforeMs = clock.nowMs();
  if (!isResumed) await prepare(world, target, { writers: heard, signal });
  const startMs = clock.nowMs();
  meter.phase("switchover", "preparation", startMs - beforeMs);
  logger.info({ event: "failover.begun", target, from: writers, responsive });
  world.appoint(target);
  // From here on proxies begin nothing new there; what runs, commits among it, comes to its end.
  await Promise.all(heard.map((one) => dismiss(world, one, signal)));
  const yieldedMs = clock.nowMs() - startMs;
  meter.phase("switchover", "release", yieldedMs);
  const heir = { target, patienceMs: Math.max(patienceMs, detectionMs) };
  const writer = await install(world, heir, signal);
  const heldMs = Math.round(clock.nowMs() - startMs);
  meter.phase("switchover", "succession", clock.nowMs() - startMs - yieldedMs);
  const { epoch = 0, timeline = 0 } = world.status(writer) ?? {};
  const previous = writers[0] ?? null;
  const facts = { target, writer, epoch, heldMs, yieldedMs: Math.round(yieldedMs) };
  logger.info({ event: "failover.done", ...facts });
  return { writer, previous, heldMs, epoch, timeline };
}

async function responsiveOf(world: ChangeWorld, ids: readonly string[]): Promise<string[]> {
  const answers = await Promise.all(
    ids.map((id) => order(world, id, { method: "status", timeoutMs: responsiveMs })),
  );
  return ids.filter((_, index) => answers[index]);
}

/** What takes time and can be done while writes go on. Where a writer cannot do it, the failover only takes longer. */
async function prepare(
  world: ChangeWorld,
  target: string,
  { writers, signal }: { readonly writers: readonly SilenceWatch[]; readonly signal: AbortSignal },
): Promise<void> {
  const checkpoint = { method: "checkpoint", timeoutMs: prepareMs };
  const [isReady] = await Promise.all([
    order(world, target, { method: "prepareWriter", timeoutMs: prepareMs }),
    ...writers.map((one) => one.whileHeard(() => order(world, one.id, checkpoint), signal)),
  ]);
  if (isReady) return;
  const why = `${target} cannot be promoted: it does not answer`;
  throw new BorealisError(sqlState.cannotConnectNow, why, {
    hint: "borealis status shows the instances; the writer is the one that it was",
  });
}

/** One whose PostgreSQL does not even say what runs there is killed; and one that falls silent is fenced by the claim. */
async function dismiss(
  world: ChangeWorld,
  writer: SilenceWatch,
  signal: AbortSignal,
): Promise<void> {
  const { id } = writer;
  const letGo = async (isHurried: boolean): Promise<boolean> =>
    order(world, id, { method: "yieldVolume", params: { isHurried }, timeoutMs: yieldMs });
  const hasLetGo = await writer.whileHeard(async (stop) => {
    const isDrained = await drain(world, id, { drainMs, signal: stop });
    return stop.aborted ? undefined : letGo(!isDrained);
  }, signal);
  if (hasLetGo !== undefined) return;
  world.logger.warn({ event: "writer.notAwaited", instance: id });
  // Its agent may live, and its PostgreSQL hang; and whoever wakes up hears that it is not to write any more.
  void letGo(true);
}
