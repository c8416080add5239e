import { BorealisError, sqlState } from "../base/errors.ts";
import type { Lsn } from "../base/lsn.ts";

/** An instance as a failover sees it. */
export interface Candidate {
  readonly id: string;
  readonly ordinal: number;
  /** Failover priority, 0 to 15; the lowest goes first. */
  readonly tier: number;
  /** What it is doing, for people. */
  readonly state: string;
  /** A reader that takes sessions. */
  readonly isReady: boolean;
  /** It answers nothing, or has not caught up since it did not. */
  readonly isSilent: boolean;
  readonly replayLsn: Lsn | undefined;
}

/** Who is to be promoted: `wanted`, or of the readers that answer the one of the lowest tier that has replayed most. Raises what speaks against it. */
export function requireTarget(
  candidates: readonly Candidate[],
  { writer, wanted }: { readonly writer: string; readonly wanted: string | undefined },
): string {
  const ready = candidates.filter((one) => one.isReady && one.id !== writer);
  const hint =
    ready.length > 0
      ? `readers that can be promoted: ${ready.map((one) => one.id).join(", ")}`
      : "borealis status shows the instances";
  if (wanted === undefined) {
    const best = ready.toSorted(byPriority)[0];
    if (best) return best.id;
    const why = "there is no available reader to promote";
    throw new BorealisError(sqlState.notInPrerequisiteState, why, { hint });
  }
  const named = candidates.find((one) => one.id === wanted);
  if (!named) {
    const known = `there are ${candidates.map((one) => one.id).join(", ")}`;
    const why = `there is no instance "${wanted}"`;
    throw new BorealisError(sqlState.invalidParameter, why, { hint: known });
  }
  if (wanted === writer) {
    const why = `${wanted} is the writer already`;
    throw new BorealisError(sqlState.notInPrerequisiteState, why, { hint });
  }
  if (!named.isReady) {
    const why = `${wanted} cannot be promoted: it is ${named.state}`;
    throw new BorealisError(sqlState.notInPrerequisiteState, why, { hint });
  }
  return wanted;
}

/** One that answers, then lowest tier, then most caught up, then in order of creation, so that the choice is the same each time. */
function byPriority(a: Candidate, b: Candidate): number {
  if (a.isSilent !== b.isSilent) return a.isSilent ? 1 : -1;
  if (a.tier !== b.tier) return a.tier - b.tier;
  const [aLsn, bLsn] = [a.replayLsn ?? 0n, b.replayLsn ?? 0n];
  if (aLsn !== bLsn) return aLsn > bLsn ? -1 : 1;
  return a.ordinal - b.ordinal;
}
