import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { type Clock, type Logger, type RpcClient, sleep } from "../io/index.ts";
import type { FailoverMeter } from "./failover-meter.ts";
import type { Remaining } from "./messages.ts";
import type { InstanceStatus, WriterOrder } from "../instance/index.ts";

/** What an agent is asked through. */
export type AgentCaller = Pick<RpcClient, "call">;

/** What a change of the writer may know of the cluster, and do to it. */
export interface ChangeWorld {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly meter: FailoverMeter;
  readonly instances: readonly string[];
  /** How long the writer, or who is to be it, may be silent. */
  readonly detectionMs: number;
  status(id: string): InstanceStatus | undefined;
  client(id: string): AgentCaller | undefined;
  /** Makes `id` the one that is to write, durably, and tells the proxies: from here on new sessions wait for it. */
  appoint(id: string): void;
  /** Who is to write now: another failover may have come. */
  appointed(): string;
  writerOrder(id: string): WriterOrder;
  /** See ListenWatch.remainingOn. */
  remainingOn(id: string): Remaining | undefined;
  /** The best reader that is not among `tried`; undefined: there is none that could do it. */
  choose(tried: ReadonlySet<string>): string | undefined;
}

/** An agent that answers nothing for so long is taken for frozen: nobody waits for it. */
export const responsiveMs = 500;
export const deadlineMs = 120_000;
/** By then an agent that has ended is known to have. */
export const agentEndMs = 1_000;
const pollMs = 2;

export function isWriter(world: ChangeWorld, id: string): boolean {
  const status = world.status(id);
  return status?.role === "writer" && status.isAdmitted;
}

export function codeOf(failure: unknown): string {
  return failure instanceof BorealisError ? failure.code : sqlState.internal;
}

/** What comes of a question; a failure is logged. */
type Told = { readonly answer: unknown } | { readonly failure: unknown };

export async function tell(
  world: ChangeWorld,
  id: string,
  request: { readonly method: string; readonly params?: unknown; readonly timeoutMs?: number },
): Promise<Told> {
  const { method, params = {}, timeoutMs } = request;
  const client = world.client(id);
  if (!client) return { failure: new BorealisError(sqlState.connectionFailure, `${id} is away`) };
  try {
    return {
      answer: await client.call(method, params, timeoutMs === undefined ? {} : { timeoutMs }),
    };
  } catch (failure) {
    const facts = { event: "failover.stepFailed", instance: id, step: method };
    world.logger.warn(facts, messageOf(failure));
    return { failure };
  }
}

/** What is answered; undefined: nothing, or a refusal. */
export async function ask(
  ...asked: Parameters<typeof tell>
): Promise<{ readonly answer: unknown } | undefined> {
  const told = await tell(...asked);
  return "answer" in told ? told : undefined;
}

/** Whether it was done. */
export async function order(...asked: Parameters<typeof ask>): Promise<boolean> {
  return (await ask(...asked)) !== undefined;
}

export async function until(
  { clock }: Pick<ChangeWorld, "clock">,
  isTrue: () => boolean,
  wait: { readonly withinMs: number; readonly signal: AbortSignal },
): Promise<void> {
  const startMs = clock.nowMs();
  while (!isTrue() && !wait.signal.aborted && clock.nowMs() - startMs < wait.withinMs) {
    await sleep(clock, pollMs, wait.signal);
  }
}

/** A transaction is run again elsewhere, as a rule; so all others do not wait longer for it. */
const blocksMs = 250;

/**
 * What runs at `id` comes to its end, and nothing more begins, by the topology that proxies have been sent; what takes longer than
 * `drainMs` is left. Proxies know what is on its way, PostgreSQL what came by other ways. False: its agent, or its PostgreSQL,
 * does not even say what runs.
 */
export async function drain(
  world: ChangeWorld,
  id: string,
  wait: { readonly drainMs: number; readonly signal: AbortSignal },
): Promise<boolean> {
  const { drainMs, signal } = wait;
  const startMs = world.clock.nowMs();
  const isDone = (): boolean => {
    const left = world.remainingOn(id);
    const hasTimeForBlocks = world.clock.nowMs() - startMs < blocksMs;
    return left?.statements === 0 && (left.blocks === 0 || !hasTimeForBlocks);
  };
  await until(world, isDone, { withinMs: drainMs, signal });
  const cut = signal.aborted ? undefined : world.remainingOn(id);
  const left = (ofMs: number): number => Math.max(0, startMs + ofMs - world.clock.nowMs());
  const params = { withinMs: left(drainMs), blocksMs: left(blocksMs) };
  const isOrdered = await order(world, id, {
    method: "drain",
    params,
    timeoutMs: drainMs + responsiveMs,
  });
  if (isOrdered && cut) noteCut(world, id, cut);
  return isOrdered;
}

/** What took too long is lost with its server; what became of it, each session's `session.survived` tells. */
function noteCut(
  world: ChangeWorld,
  id: string,
  { statements, blocks }: { readonly statements: number; readonly blocks: number },
): void {
  if (statements + blocks === 0) return;
  world.logger.info({ event: "drain.cut", instance: id, statements, blocks });
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
