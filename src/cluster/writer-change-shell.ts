import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { type Clock, type Logger, type RpcClient, sleep } from "../io/index.ts";
import type { FailoverMeter } from "./failover-meter.ts";
import type { InstanceStatus, WriterOrder } from "../instance/index.ts";

/** What a change of the writer may know of the cluster, and do to it. */
export interface ChangeWorld {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly meter: FailoverMeter;
  readonly instances: readonly string[];
  /** How long the writer, or who is to be it, may be silent. */
  readonly detectionMs: number;
  status(id: string): InstanceStatus | undefined;
  client(id: string): RpcClient | undefined;
  /** Makes `id` the one that is to write, durably, and tells the proxies: from here on new sessions wait for it. */
  appoint(id: string): void;
  /** Who is to write now: another failover may have come. */
  appointed(): string;
  writerOrder(id: string): WriterOrder;
  /** The best reader that is not among `tried`; undefined: there is none that could do it. */
  choose(tried: ReadonlySet<string>): string | undefined;
}

/** An agent that answers nothing for so long is taken for frozen: nobody waits for it. */
export const responsiveMs = 500;
export const deadlineMs = 120_000;
const pollMs = 2;

export function isWriter(world: ChangeWorld, id: string): boolean {
  const status = world.status(id);
  return status?.role === "writer" && status.isAdmitted;
}

/** What is answered; undefined: nothing, or a refusal, which is logged. */
export async function ask(
  world: ChangeWorld,
  id: string,
  request: { readonly method: string; readonly params?: unknown; readonly timeoutMs?: number },
): Promise<{ readonly answer: unknown } | undefined> {
  const { method, params = {}, timeoutMs } = request;
  const client = world.client(id);
  if (!client) return undefined;
  try {
    return {
      answer: await client.call(method, params, timeoutMs === undefined ? {} : { timeoutMs }),
    };
  } catch (error) {
    const facts = { event: "failover.stepFailed", instance: id, step: method };
    world.logger.warn(facts, messageOf(error));
    return undefined;
  }
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
