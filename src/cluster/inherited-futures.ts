/**
 * What a clone remembers of its parent's backtracks. It has nothing of what they left, and its log begins with its parent's: a
 * time in a future that its parent left would be another moment there, too.
 */
import { formatLsn, type Lsn, lsnMin, lsnZero, parseLsn } from "../base/lsn.ts";
import { parsePath } from "../instance/index.ts";
import { type History, isOnPath, meetsBacktrack } from "../quorum/index.ts";
import { returnedBy } from "./backtrack.ts";
import type { AbandonedFuture, ClusterState, ExpiredFuture } from "./state.ts";

/** Where and when a clone leaves its parent. */
export interface Branch {
  /** The parent's path up to there. */
  readonly path: History;
  readonly at: Lsn;
  readonly madeAtMs: number;
}

/**
 * The futures that the clone's path left: none of them can be returned to from there, as if their windows had been over when
 * it was made. `parent` may be newer than the branch: what it has left since then the clone has not.
 */
export function inheritedFutures(
  parent: Pick<ClusterState, "abandoned" | "expired" | "backtrack">,
  branch: Branch,
): ExpiredFuture[] {
  const { abandoned = [], expired = [], backtrack } = parent;
  const underWay: AbandonedFuture[] = [];
  if (backtrack) {
    const { left: path, order, leftEnd: end } = backtrack;
    const returned = returnedBy(backtrack);
    const place = { path, fork: order.to, end, leftAtMs: branch.madeAtMs };
    underWay.push({ ...place, ...(returned && { returned }) });
  }
  const left = [...abandoned, ...underWay].filter((one) => isLeftBy(one, branch));
  const gone = left.map((one) => {
    const { path: _, ...facts } = one;
    return { ...facts, untilMs: branch.madeAtMs };
  });
  const all = [...expired, ...gone]
    .map((one) => ({ ...one, isParents: true as const }))
    .toSorted((a, b) => a.leftAtMs - b.leftAtMs);
  return all.map((one, index) => (index === all.length - 1 ? cutAt(branch.at, one) : one));
}

function isLeftBy({ path: text, fork }: AbandonedFuture, { path, at }: Branch): boolean {
  if (parseLsn(fork) >= at) return true;
  const left = parsePath(text);
  // A return's own epoch may begin behind the branch.
  return meetsBacktrack(left, path) || !isOnPath(left, path, { from: lsnZero, at });
}

/** The path that came after the newest one is the clone's, and that has nothing of its parent behind the branch. */
function cutAt(at: Lsn, future: ExpiredFuture): ExpiredFuture {
  const { fork, returned, firstUs, ...rest } = future;
  const isWhole = parseLsn(fork) <= at;
  const cut = {
    ...rest,
    fork: formatLsn(lsnMin(parseLsn(fork), at)),
    ...(isWhole && firstUs !== undefined && { firstUs }),
  };
  if (!returned) return cut;
  if (parseLsn(returned.to) <= at) return { ...cut, returned };
  return { ...cut, returned: { leftAtMs: returned.leftAtMs, to: formatLsn(at) } };
}
