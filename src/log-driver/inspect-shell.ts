import type { Clock } from "../io/index.ts";
import { NodeLink, type State } from "../quorum/index.ts";
import { type LinkOwner, linkTo, type NodeEndpoint } from "./node-endpoint.ts";

/** Asks a node how it is; promises and changes nothing. Undefined if it does not answer in time. */
export async function inspectNode(
  endpoint: NodeEndpoint,
  owner: LinkOwner,
  bounds: { readonly clock: Clock; readonly timeoutMs: number; readonly signal?: AbortSignal },
): Promise<State | undefined> {
  try {
    const link = await NodeLink.open(linkTo(endpoint, owner, bounds));
    try {
      const answer = await link.request({ kind: "inspect" });
      return answer.kind === "state" ? answer : undefined;
    } finally {
      link.close();
    }
  } catch {
    return undefined; // not reachable is an answer here
  }
}
