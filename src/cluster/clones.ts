import { BorealisError, sqlState } from "../base/errors.ts";
import type { CloneState, ClusterState } from "./state.ts";

/**
 * The clones of a volume as the cluster's state knows them. Pure.
 *
 *     wanted ──▶ state, lsn: null ──▶ pinned at a write quorum ──▶ state, lsn ──▶ released ──▶ unpinned, remembered
 *                 first                                                          first
 *
 * The state comes first both times, so no pin is held that nobody knows of; and a released one is remembered, since a node
 * that was away brings its pin back to the next epoch.
 */
export const clonesMax = 15;
/** Of released clones; a node that was away longer than so many is replaced before. */
const rememberedMax = 100;

/** Those that count. */
export function liveClones(state: ClusterState): CloneState[] {
  return (state.clones ?? []).filter((one) => one.isReleased !== true);
}

/** The pins that have to go wherever they are found. */
export function releasedPins(state: ClusterState): string[] {
  return (state.clones ?? []).filter((one) => one.isReleased === true).map((one) => one.pinId);
}

/** Raises 54000 when there are as many as there may be. */
export function withClone(
  state: ClusterState,
  clone: Pick<CloneState, "pinId" | "dataDir" | "createdAt">,
): ClusterState {
  const live = liveClones(state);
  if (live.some((one) => one.pinId === clone.pinId)) return state;
  if (live.length >= clonesMax) {
    throw new BorealisError(
      sqlState.limitExceeded,
      `the volume has ${clonesMax} clones, which is as many as it may have`,
      { hint: "borealis storage list shows them; borealis delete ends one" },
    );
  }
  const { pinId, dataDir, createdAt } = clone;
  const others = (state.clones ?? []).filter((one) => one.pinId !== pinId);
  return { ...state, clones: [...others, { pinId, dataDir, createdAt, lsn: null }] };
}

export function branched(state: ClusterState, pinId: string, lsn: string): ClusterState {
  const clones = (state.clones ?? []).map((one) => (one.pinId === pinId ? { ...one, lsn } : one));
  return { ...state, clones };
}

/** Also for a pin that the state has never heard of. */
export function released(state: ClusterState, pinId: string): ClusterState {
  const known = state.clones ?? [];
  const found = known.find((one) => one.pinId === pinId);
  const gone = { dataDir: "", createdAt: "", lsn: null, ...found, pinId, isReleased: true };
  const all = [...known.filter((one) => one !== found), gone];
  const tooMany = all.filter((one) => one.isReleased).length - rememberedMax;
  let dropped = 0;
  const clones = all.filter((one) => !one.isReleased || ++dropped > tooMany);
  return { ...state, clones };
}

/**
 * The clone that somebody means: by its pin's id, or the beginning of that, or its data directory. Raises 22023 for none or
 * several.
 */
export function requireClone<T extends { readonly pinId: string; readonly dataDir: string | null }>(
  clones: readonly T[],
  name: string,
): T {
  const exact = clones.filter((one) => one.pinId === name || one.dataDir === name);
  const meant = exact.length > 0 ? exact : clones.filter((one) => one.pinId.startsWith(name));
  const [found] = meant;
  if (found && meant.length === 1) return found;
  const known = clones.map((one) => one.dataDir ?? one.pinId).join(", ");
  const why = meant.length > 1 ? `"${name}" may be several clones` : `there is no clone "${name}"`;
  throw new BorealisError(sqlState.invalidParameter, why, {
    hint: clones.length > 0 ? `there are ${known}` : "this volume has no clones",
  });
}
