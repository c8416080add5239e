import type { Epoch } from "../base/ids.ts";
import { type Clock, sleep } from "../io/index.ts";
import { everyRound, NodeLink } from "../quorum/index.ts";
import { type LinkOwner, linkTo, type NodeEndpoint } from "./node-endpoint.ts";

const retryMs = 50;
const linkTimeoutMs = 1_000;

export interface ReleaseOptions {
  readonly nodes: readonly NodeEndpoint[];
  readonly owner: LinkOwner;
  readonly epoch: Epoch;
  readonly clock: Clock;
  /** A node that is away is tried again for so long; then its lease has passed anyway. */
  readonly patienceMs: number;
  readonly signal: AbortSignal;
}

/**
 * Ends every lease of an epoch whose driver is dead. Only for one whose PostgreSQL processes are all gone (decisions.md
 * D6). Resolves when each node knows, or the time is over; harmless however late it comes.
 */
export async function releaseEpoch(options: ReleaseOptions): Promise<void> {
  const { clock, patienceMs, signal } = options;
  const endMs = clock.nowMs() + patienceMs;
  const tell = async (node: NodeEndpoint): Promise<void> => {
    while (!signal.aborted && clock.nowMs() < endMs) {
      if (await tellOnce(node, options)) return;
      await sleep(clock, retryMs, signal);
    }
  };
  await Promise.all(options.nodes.map(tell));
}

async function tellOnce(node: NodeEndpoint, options: ReleaseOptions): Promise<boolean> {
  const { clock, owner, epoch, signal } = options;
  try {
    const bounds = { clock, timeoutMs: linkTimeoutMs, signal };
    const link = await NodeLink.open(linkTo(node, owner, bounds));
    try {
      link.send({ kind: "release", epoch, round: everyRound });
      // A Release has no answer; what is asked behind it is answered after it.
      await link.request({ kind: "inspect" });
      return true;
    } finally {
      link.close();
    }
  } catch {
    return false; // not up yet: tried again
  }
}
