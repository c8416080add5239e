import { parseLsn, type Lsn } from "../base/lsn.ts";
import { parsePath } from "../instance/index.ts";
import { countCommits, walkToEnd } from "../volume/index.ts";
import type { CommitSpan } from "../wal/index.ts";
import { PathLog, type PlanFacts } from "./backtrack-plan-shell.ts";
import type { BacktrackState } from "./state.ts";

type Nodes = Pick<PlanFacts, "clock" | "volumeId" | "credential" | "nodes" | "signal">;

/** How the future that was left has ended: writes went on after the plan was made. */
export async function findKeptEnd(
  nodes: Nodes,
  { left, leftEnd }: Pick<BacktrackState, "left" | "leftEnd">,
): Promise<Lsn> {
  const log = new PathLog(nodes);
  try {
    const path = log.of(parsePath(left));
    return (await walkToEnd(path, parseLsn(leftEnd), nodes.signal)).endLsn;
  } finally {
    log.close();
  }
}

/** All that was undone: what the future that was left has behind the moment. Raises 58030 if nodes do not have it. */
export async function countKept(
  nodes: Nodes,
  { left, order }: Pick<BacktrackState, "left" | "order">,
  { to, onProgress }: { readonly to: Lsn } & Pick<PlanFacts, "onProgress">,
): Promise<CommitSpan | undefined> {
  const log = new PathLog(nodes);
  try {
    const range = { log: log.of(parsePath(left)), from: parseLsn(order.to), to };
    return await countCommits({ ...range, signal: nodes.signal, onProgress });
  } finally {
    log.close();
  }
}
