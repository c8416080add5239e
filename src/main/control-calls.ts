import { BorealisError, sqlState } from "../base/errors.ts";
import { connectRpc, realClock, realRng, retry, type RpcClient } from "../io/index.ts";
import type { Layout } from "../cluster/index.ts";
import { isRunning, notRunning } from "./running.ts";

const connectMs = 2_000;
const answerMs = 10_000;
/** The process may just be starting, or being started again. */
const patienceMs = 20_000;

/**
 * A line to the control plane. While nobody listens there it is tried again, since nothing has been said by that. Raises 55000
 * if the cluster does not run, 08006 if nobody listens for as long as a restart can take.
 */
export function connectControl(layout: Layout): Promise<RpcClient> {
  const whose = { what: "the control plane", process: "control-plane" };
  return connectTo(layout, layout.controlSocket, whose);
}

/** Likewise to the supervisor, which is not started again: but it may just be starting. */
export function connectSupervisor(layout: Layout): Promise<RpcClient> {
  const whose = { what: "the supervisor", process: "supervisor" };
  return connectTo(layout, layout.supervisorSocket, whose);
}

async function connectTo(
  layout: Layout,
  path: string,
  { what, process }: { readonly what: string; readonly process: string },
): Promise<RpcClient> {
  try {
    return await retry(patience, async () => {
      if (!isRunning(layout)) throw notRunning(layout);
      return connectRpc({ kind: "unix", path }, { timeoutMs: connectMs });
    });
  } catch (error) {
    if (!isConnectionFailure(error)) throw error;
    throw new BorealisError(
      sqlState.connectionFailure,
      `${what} of the cluster in ${layout.dataDir} does not answer`,
      {
        hint: `nothing was asked of it: try again; borealis logs ${process} says what is wrong`,
        cause: error,
        safeToRetry: true,
      },
    );
  }
}

/**
 * Asks the control plane for a change, once: a change that was made twice would be another one. Gives its answer; raises what
 * it says, what connectControl raises, and 08006 if it went away before it answered.
 */
export async function tell(
  layout: Layout,
  method: string,
  params: unknown,
  timeoutMs = answerMs,
): Promise<unknown> {
  const client = await connectControl(layout);
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

/** Asks the control plane what changes nothing, and so may be asked again. Raises as connectControl does, and what it says. */
export function ask(
  layout: Layout,
  method: string,
  params: unknown = {},
  timeoutMs = answerMs,
): Promise<unknown> {
  return askAgain(() => connectControl(layout), { method, params, timeoutMs });
}

/** Likewise over lines of another's making, for so long. Raises as `connect` does, and what the other side says. */
export function askAgain(
  connect: () => Promise<RpcClient>,
  question: { readonly method: string; readonly params: unknown; readonly timeoutMs: number },
  deadlineMs = patienceMs,
): Promise<unknown> {
  const { method, params, timeoutMs } = question;
  return retry({ ...patience, deadlineMs }, async () => {
    const client = await connect();
    try {
      return await client.call(method, params, { timeoutMs });
    } finally {
      client.close();
    }
  });
}

const patience = {
  clock: realClock,
  rng: realRng,
  firstDelayMs: 50,
  maxDelayMs: 500,
  deadlineMs: patienceMs,
  mayRetry: isConnectionFailure,
};

/** Nobody listens, or the other side went away. */
export function isConnectionFailure(error: unknown): error is BorealisError {
  return error instanceof BorealisError && error.code === sqlState.connectionFailure;
}
