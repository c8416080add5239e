import { inspectNode } from "../log-driver/index.ts";
import { type History, lastEpoch } from "../quorum/index.ts";
import type { AgentDeps } from "./agent-shell.ts";
import type { AgentConfig } from "./messages.ts";
import { linkOwner, nodesNearestFirst } from "./nodes.ts";

const askTimeoutMs = 700;

/** The newest path that a node is on, open or not; undefined: no node answers at once. */
export async function findVolumePath(
  config: AgentConfig,
  deps: AgentDeps,
): Promise<History | undefined> {
  const owner = linkOwner(config);
  const states = await Promise.all(
    nodesNearestFirst(config).map((node) =>
      inspectNode(node, owner, { clock: deps.clock, timeoutMs: askTimeoutMs }),
    ),
  );
  return states
    .flatMap((state) => (state ? [state.history] : []))
    .toSorted((a, b) => lastEpoch(a) - lastEpoch(b))
    .at(-1);
}
