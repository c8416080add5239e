import { BorealisError } from "../base/errors.ts";
import { lsn, lsnMin, type Lsn, parseLsn } from "../base/lsn.ts";
import { parsePath } from "../instance/index.ts";
import { countCommits, findFirstCommit, walkToEnd } from "../volume/index.ts";
import type { CommitSpan } from "../wal/index.ts";
import { PathLog, type PlanFacts } from "./backtrack-plan-shell.ts";
import type { BacktrackState } from "./state.ts";

type Nodes = Pick<PlanFacts, "clock" | "volumeId" | "credential" | "nodes" | "signal">;

/** A backtrack is not over before this is read: a load without a commit may be as long as a disk. */
const lookBytesMax = 64n * 1024n * 1024n;

/**
 * How the future that was left has ended, since writes went on after the plan was made; and when its first commit was made behind
 * where it was left. Undefined: no node gives that log, or none was for long.
 */
export async function findKept(
  nodes: Nodes,
  { left, leftEnd, order }: Pick<BacktrackState, "left" | "leftEnd" | "order">,
): Promise<{ readonly endLsn: Lsn; readonly firstUs: bigint | undefined }> {
  const log = new PathLog(nodes);
  const { signal } = nodes;
  try {
    const path = log.of(parsePath(left));
    const { endLsn } = await walkToEnd(path, parseLsn(leftEnd), signal);
    const from = parseLsn(order.to);
    const behind = { log: path, from, to: lsnMin(endLsn, lsn(from + lookBytesMax)), signal };
    const first = await findFirstCommit(behind).catch(orUnknown);
    return { endLsn, firstUs: first?.timeUs };
  } finally {
    log.close();
  }
}

/** That it is not known costs nobody the backtrack: some moments are refused that need not be. */
function orUnknown(error: unknown): undefined {
  if (!(error instanceof BorealisError)) throw error;
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
