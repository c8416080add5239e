import { type Lsn, lsnMaxOf, lsnMin, lsnZero } from "../base/lsn.ts";
import { type History, isOnPath, lastEpoch, type State } from "../quorum/index.ts";

/** What nodes say, put together: the volume as one who only reads it may take it. */
export interface VolumeView {
  readonly path: History;
  /** Log is there from here on, on some node at least. */
  readonly from: Lsn;
  /** Held by a write quorum of this path's newest epoch: what was acknowledged before the nodes were asked is below. */
  readonly durable: Lsn;
}

const writeQuorum = 4;

/**
 * The best node's path (highest epoch, then the longest log of it, as a new owner would choose); what is durable is what
 * four nodes of that epoch have, or one of them was told. Undefined: nobody answered, or the volume was never written.
 */
export function viewOf(
  states: readonly Pick<State, "history" | "scl" | "base" | "vdl" | "vdlEpoch">[],
): VolumeView | undefined {
  const ranked = states.toSorted(
    (a, b) => lastEpoch(b.history) - lastEpoch(a.history) || (a.scl < b.scl ? 1 : -1),
  );
  const [best] = ranked;
  if (!best || best.history.length === 0) return undefined;
  const path = best.history;
  const newest = lastEpoch(path);
  const current = ranked.filter(({ history }) => lastEpoch(history) === newest);
  // What a node was told by an older epoch may have been removed since.
  const told = current.filter(({ vdlEpoch }) => vdlEpoch === newest).map(({ vdl }) => vdl);
  const held = current[writeQuorum - 1]?.scl ?? lsnZero;
  const durable = lsnMin(best.scl, told.reduce(lsnMaxOf, held));
  const onPath = states.filter(({ history, base, scl }) =>
    isOnPath(history, path, { from: base, at: lsnMin(scl, best.scl) }),
  );
  const from = onPath.reduce((lowest, { base }) => lsnMin(lowest, base), best.base);
  return { path, from, durable };
}
