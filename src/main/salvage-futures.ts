/** What becomes of the futures that backtracks left, when a volume has a successor. */
import { type VolumeId, volumeId } from "../base/ids.ts";
import { parseLsn } from "../base/lsn.ts";
import type { AbandonedFuture, ClusterState } from "../cluster/index.ts";
import { parsePath, toPathText } from "../instance/index.ts";
import type { Salvageable } from "../log-driver/index.ts";
import { isOnPath } from "../quorum/index.ts";
import { type CloneSource, holdsLeftLog, type LeftLog } from "../storage-node/index.ts";
import type { SalvageFile } from "./salvage-file.ts";

type Futures = Pick<ClusterState, "abandoned" | "expired" | "backtrack">;
type ExpiredFuture = NonNullable<ClusterState["expired"]>[number];
type PathText = AbandonedFuture["path"];

/**
 * The futures that the successor may return to: those that one of the sources of its nodes has whole. The others are over, as
 * if their windows were: whoever asks for one is told so, and not brought half the way. `nowMs`: since 1970.
 */
export async function keepFutures(
  state: Futures & Pick<ClusterState, "volumeId">,
  {
    sources,
    found,
    nowMs,
  }: {
    readonly sources: readonly CloneSource[];
    readonly found: Pick<Salvageable, "path" | "low">;
    readonly nowMs: number;
  },
): Promise<Futures> {
  const parent = volumeId(state.volumeId);
  const isOnOwnPath = ({ path, end }: LeftLog): boolean =>
    isOnPath(path, found.path, { from: found.low, at: end });
  const isKept = async (left: LeftLog): Promise<boolean> => {
    for (const source of sources) if (await holdsLeftLog(source, left)) return true;
    return false;
  };
  const has = async (left: LeftLog): Promise<boolean> => isOnOwnPath(left) || isKept(left);
  const { abandoned = [], expired = [], backtrack } = state;
  const kept: AbandonedFuture[] = [];
  const gone = [...expired];
  for (const future of abandoned) {
    const { path, ...facts } = future;
    if (await has(leftLogOf(path, facts))) kept.push({ ...facts, path: asParents(path, parent) });
    else gone.push({ ...facts, untilMs: nowMs });
  }
  if (!backtrack) return futuresOf(kept, gone);
  const { left, leftEnd: end, order } = backtrack;
  const { to: fork, refill } = order;
  const log = leftLogOf(left, { fork, end });
  const path = asParents(left, parent);
  const isLeftHere = await has(log);
  const isRefillHere = !refill || (await has(leftLogOf(refill.path, { fork, end: refill.to })));
  if (isLeftHere && isRefillHere)
    return { ...futuresOf(kept, gone), backtrack: { ...backtrack, left: path } };
  // Half-made, and it cannot be carried on: the writer would wait for log that nobody has. What it was to leave is left, unless the
  // volume's path has it still.
  const facts = { fork, end, leftAtMs: nowMs };
  if (!isLeftHere) gone.push({ ...facts, untilMs: nowMs });
  else if (!isOnOwnPath(log)) kept.push({ ...facts, path });
  return futuresOf(kept, gone);
}

function futuresOf(
  kept: readonly AbandonedFuture[],
  gone: readonly ExpiredFuture[],
): Pick<Futures, "abandoned" | "expired"> {
  return {
    ...(kept.length > 0 && { abandoned: [...kept] }),
    ...(gone.length > 0 && { expired: [...gone] }),
  };
}

/** What backtracks had left, or were about to leave, and no source had whole: what keepFutures has added to those that are over. */
export function lostFutures(
  { expired: before = [] }: Pick<ClusterState, "expired">,
  { expired: after = [] }: Pick<ClusterState, "expired">,
): NonNullable<SalvageFile["futuresLost"]> {
  const isNew = ({ end, leftAtMs }: ExpiredFuture): boolean =>
    !before.some((one) => one.end === end && one.leftAtMs === leftAtMs);
  return after.filter(isNew).map(({ fork, end, leftAtMs }) => {
    return { fork, end, leftAt: new Date(leftAtMs).toISOString() };
  });
}

function leftLogOf(
  path: PathText,
  { fork, end }: { readonly fork: string; readonly end: string },
): LeftLog {
  return { path: parsePath(path), fork: parseLsn(fork), end: parseLsn(end) };
}

/** The path as the successor's own one names it: whose the entries are that it has inherited. */
function asParents(path: PathText, parent: VolumeId): PathText {
  return toPathText(
    parsePath(path).map((entry) => ({ ...entry, volumeId: entry.volumeId ?? parent })),
  );
}
