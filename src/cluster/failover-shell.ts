import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { type Clock, type Logger, type RpcClient, sleep } from "../io/index.ts";
import type { InstanceStatus, WriterOrder } from "../instance/index.ts";
import type { FailoverReport } from "./messages.ts";

/** What a failover may know of the cluster, and do to it. */
export interface FailoverWorld {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly instances: readonly string[];
  status(id: string): InstanceStatus | undefined;
  client(id: string): RpcClient | undefined;
  /** Makes `id` the one that is to write, durably, and tells the proxies: from here on new sessions wait for it. */
  appoint(id: string): void;
  /** Who is to write now: another failover may have come. */
  appointed(): string;
  writerOrder(id: string): WriterOrder;
}

/** An agent that answers nothing for so long is taken for frozen: nobody waits for it. */
const responsiveMs = 500;
const prepareMs = 5_000;
/** So long what runs on the old writer may take to end by itself; then it is ended. */
const drainMs = 1_000;
/** A fast stop, then a quick one, then SIGKILL, as engine does it; and a little. */
const yieldMs = 9_000;
const pollMs = 2;
const deadlineMs = 120_000;
/** After a restart of the control plane: until agents have said what they are. */
const knownMs = 500;

/**
 * Makes `target` the writer. Storage decides who owns the volume, so this may die after any step, and be begun again by
 * the next control plane: once `target` is appointed, its claim fences whoever wrote before. The old writer is asked to
 * stop first where it can be asked, because then it ends in order and gives its epoch back.
 */
export async function failOver(
  world: FailoverWorld,
  target: string,
  signal: AbortSignal,
): Promise<FailoverReport> {
  const { clock, logger } = world;
  const others = world.instances.filter((id) => id !== target);
  if (world.appointed() === target) {
    await until(world, () => others.every((id) => world.status(id)), { withinMs: knownMs, signal });
  }
  const writers = others.filter((id) => world.status(id)?.role === "writer");
  const responsive = await responsiveOf(world, writers);
  await prepare(world, target, responsive);
  const startMs = clock.nowMs();
  logger.info({ event: "failover.begun", target, from: writers, responsive });
  world.appoint(target);
  // From here on proxies begin nothing new there; what runs, commits among it, comes to its end.
  await Promise.all(responsive.map((id) => drain(world, id)));
  await Promise.all(responsive.map((id) => dismiss(world, id)));
  const yieldedMs = clock.nowMs() - startMs;
  const isOurs = (): boolean => world.appointed() === target;
  if (isOurs()) await promote(world, target);
  await until(world, () => !isOurs() || isWriter(world, target), { withinMs: deadlineMs, signal });
  if (!isOurs()) throw superseded(target, world.appointed());
  if (!isWriter(world, target)) throw notYet(target, world.status(target)?.problem);
  const heldMs = Math.round(clock.nowMs() - startMs);
  const { epoch = 0, timeline = 0 } = world.status(target) ?? {};
  const previous = writers[0] ?? null;
  const facts = { target, epoch, heldMs, yieldedMs: Math.round(yieldedMs) };
  logger.info({ event: "failover.done", ...facts });
  return { writer: target, previous, heldMs, epoch, timeline };
}

export function isWriter(world: FailoverWorld, id: string): boolean {
  const status = world.status(id);
  return status?.role === "writer" && status.isAdmitted;
}

async function responsiveOf(world: FailoverWorld, ids: readonly string[]): Promise<string[]> {
  const answers = await Promise.all(
    ids.map((id) => ask(world, id, { method: "status", timeoutMs: responsiveMs })),
  );
  return ids.filter((_, index) => answers[index]);
}

/** What takes time and can be done while writes go on. If it cannot be done, the failover only takes longer. */
async function prepare(
  world: FailoverWorld,
  target: string,
  writers: readonly string[],
): Promise<void> {
  await Promise.all([
    ask(world, target, { method: "prepareWriter", timeoutMs: prepareMs }),
    ...writers.map((id) => ask(world, id, { method: "checkpoint", timeoutMs: prepareMs })),
  ]);
}

async function drain(world: FailoverWorld, id: string): Promise<void> {
  const params = { withinMs: drainMs };
  await ask(world, id, { method: "drain", params, timeoutMs: drainMs + responsiveMs });
}

async function dismiss(world: FailoverWorld, id: string): Promise<void> {
  await ask(world, id, { method: "yieldVolume", timeoutMs: yieldMs });
}

/** Raises nothing: an agent that failed is ordered again when it says that it is free, as at any start. */
export async function promote(world: FailoverWorld, target: string): Promise<void> {
  await ask(world, target, { method: "beWriter", params: world.writerOrder(target) });
}

/** Whether it was done. */
export async function ask(
  world: FailoverWorld,
  id: string,
  request: { readonly method: string; readonly params?: unknown; readonly timeoutMs?: number },
): Promise<boolean> {
  const { method, params = {}, timeoutMs } = request;
  const client = world.client(id);
  if (!client) return false;
  try {
    await client.call(method, params, timeoutMs === undefined ? {} : { timeoutMs });
    return true;
  } catch (error) {
    const facts = { event: "failover.stepFailed", instance: id, step: method };
    world.logger.warn(facts, messageOf(error));
    return false;
  }
}

export async function until(
  { clock }: Pick<FailoverWorld, "clock">,
  isTrue: () => boolean,
  wait: { readonly withinMs: number; readonly signal: AbortSignal },
): Promise<void> {
  const startMs = clock.nowMs();
  while (!isTrue() && !wait.signal.aborted && clock.nowMs() - startMs < wait.withinMs) {
    await sleep(clock, pollMs, wait.signal);
  }
}

export function superseded(target: string, by: string): BorealisError {
  const why = `the failover to ${target} was given up for one to ${by}`;
  return new BorealisError(sqlState.notInPrerequisiteState, why);
}

export function notYet(target: string, problem: string | null | undefined): BorealisError {
  const why = `${target} does not accept writes after ${deadlineMs / 1000} s`;
  const told = problem ? `: ${problem}` : "";
  return new BorealisError(sqlState.cannotConnectNow, `${why}${told}`, {
    hint: "it goes on trying; borealis status shows how it is, borealis failover names another",
  });
}
