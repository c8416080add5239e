import { type Clock, sleep } from "../io/index.ts";
import { NodeLink, type ScrubReport } from "../quorum/index.ts";
import { type LinkOwner, linkTo, type NodeEndpoint } from "./node-endpoint.ts";

/** One pass over a node's log; a node that found rot starts anew first, heals, and is asked again. */
const passTimeoutMs = 600_000;
const againMs = 500;
/** Of bad news, and of silence from the beginning: then it is told as it is. */
const patienceMs = 60_000;
const silenceMs = 10_000;

export interface ScrubResult {
  readonly node: string;
  readonly checkedBytes: number;
  readonly compared: number;
  /** What this scrub healed, as far as the node knows: since its process began. */
  readonly healed: number;
  readonly unhealed: number;
  /** Null: the node finished a pass. */
  readonly problem: string | null;
}

/** Of one node: bytes that it has read, of those that it had when it began. */
export type OnScrubProgress = (checkedBytes: number, totalBytes: number) => void;

/** Has a node read through all it has, until nothing is bad any more or it cannot be healed. */
export async function scrubNode(
  endpoint: NodeEndpoint,
  owner: LinkOwner,
  { clock, onProgress }: { readonly clock: Clock; readonly onProgress?: OnScrubProgress },
): Promise<ScrubResult> {
  const startMs = clock.nowMs();
  let best: ScrubReport | undefined;
  do {
    const report = await askOnce(endpoint, owner, { clock, onProgress });
    if (report) best = report;
    if (report?.unhealed === 0) break;
    await sleep(clock, againMs);
  } while (clock.nowMs() - startMs < (best ? patienceMs : silenceMs));
  const { checkedBytes = 0, compared = 0, healed = 0, unhealed = 0 } = best ?? {};
  const problem = best ? null : "does not answer";
  return { node: endpoint.name, checkedBytes, compared, healed, unhealed, problem };
}

async function askOnce(
  endpoint: NodeEndpoint,
  owner: LinkOwner,
  {
    clock,
    onProgress,
  }: { readonly clock: Clock; readonly onProgress: OnScrubProgress | undefined },
): Promise<ScrubReport | undefined> {
  try {
    const link = await NodeLink.open(linkTo(endpoint, owner, { clock, timeoutMs: 2_000 }));
    link.onMessage(({ message }) => {
      if (message.kind === "scrubProgress") onProgress?.(message.checkedBytes, message.totalBytes);
    });
    try {
      const answer = await link.request({ kind: "scrub" }, { timeoutMs: passTimeoutMs });
      return answer.kind === "scrubReport" ? answer : undefined;
    } finally {
      link.close();
    }
  } catch {
    return undefined; // it may be on its way down to heal; the caller asks again
  }
}
