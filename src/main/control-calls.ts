import { BorealisError, sqlState } from "../base/errors.ts";
import { connectRpc, realClock, realRng, retry } from "../io/index.ts";
import type { Layout } from "../cluster/index.ts";
import { isRunning, notRunning } from "./commands.ts";

const answerMs = 10_000;
/** The control plane may just be restarting. */
const answerDeadlineMs = 20_000;

/**
 * Asks the control plane for a change, once: a change that was made twice would be another one. Gives its answer; raises what
 * it says, 55000 if the cluster does not run, 08006 if it went away before it answered.
 */
export async function tell(
  layout: Layout,
  method: string,
  params: unknown,
  timeoutMs = answerMs,
): Promise<unknown> {
  const client = await retry(patience(isConnectionFailure), async () => {
    if (!isRunning(layout)) throw notRunning(layout);
    return connectRpc({ kind: "unix", path: layout.controlSocket }, { timeoutMs: 1_000 });
  });
  try {
    return await client.call(method, params, { timeoutMs });
  } catch (error) {
    if (!isConnectionFailure(error)) throw error;
    throw new BorealisError(
      sqlState.connectionFailure,
      "the control plane went away before it answered",
      { hint: "borealis status shows whether it was done; if not, ask again", cause: error },
    );
  } finally {
    client.close();
  }
}

/** Asks the control plane what changes nothing, and so may be asked again. */
export function ask(layout: Layout, method: string): Promise<unknown> {
  return retry(patience(isConnectionFailure), async () => {
    if (!isRunning(layout)) throw notRunning(layout);
    const address = { kind: "unix", path: layout.controlSocket } as const;
    const client = await connectRpc(address, { timeoutMs: 1_000 });
    try {
      return await client.call(method, {}, { timeoutMs: answerMs });
    } finally {
      client.close();
    }
  });
}

function patience(mayRetry: (error: unknown) => boolean) {
  const delays = { firstDelayMs: 50, maxDelayMs: 500, deadlineMs: answerDeadlineMs };
  return { clock: realClock, rng: realRng, ...delays, mayRetry };
}

function isConnectionFailure(error: unknown): boolean {
  return error instanceof BorealisError && error.code === sqlState.connectionFailure;
}
