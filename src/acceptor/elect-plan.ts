import { type Lsn, lsnMaxOf, lsnMin } from "../base/lsn.ts";
import type { AcceptorState, PendingCut } from "./acceptor-state.ts";
import { newerConfiguration } from "../quorum/index.ts";
import { commonPrefix } from "../quorum/index.ts";
import type { ConfigChange, Elect } from "../quorum/index.ts";
import type { Rules } from "../quorum/index.ts";

/**
 * Section 6, Elect, for an epoch above the accepted one:
 *
 *     own path   |---- e1 ----|---- e3 ----|..end
 *     new path   |---- e1 ----|-- e3 --|---- e4 (start)
 *                                      ^ cut: the paths differ from here
 *
 * The state to write, with the cut that follows it. Nothing of the log has changed yet.
 */
export function planElect(
  state: AcceptorState,
  end: Lsn,
  elect: Elect,
  options: { readonly rules: Rules; readonly keepsRetired: boolean },
): AcceptorState {
  return {
    ...state,
    promised: elect.epoch,
    promisedTo: elect.claimId,
    accepted: elect.epoch,
    history: elect.history,
    configuration: newerConfiguration(state.configuration, elect.configuration),
    electRecord: elect,
    floor: lsnMaxOf(state.floor, elect.floor),
    pendingCut: planCut(state, end, elect, options),
  };
}

function planCut(
  state: AcceptorState,
  end: Lsn,
  elect: Elect,
  options: { readonly rules: Rules; readonly keepsRetired: boolean },
): PendingCut | undefined {
  const limit = lsnMin(end, elect.start);
  const range = { from: state.base, limit };
  // A base above the start makes an empty range, whose "common" is the limit: rebased below.
  const common = commonPrefix(state.history, elect.history, range);
  const cut = options.rules.cutAt({ end, common });
  const isEmpty = end === state.base;
  if (cut < elect.low || elect.start < state.base) return rebaseTo(elect.low);
  if (isEmpty && state.base !== elect.low) return rebaseTo(elect.low);
  const keepAside = options.keepsRetired && options.rules.keepsAside(state.history, elect.history);
  const mayTakeBack = options.keepsRetired && options.rules.mayTakeBack() && cut < elect.start;
  if (cut === end && !mayTakeBack) return undefined;
  const takeBackTo = mayTakeBack ? elect.start : cut;
  return { to: cut, isRebase: false, keepAside, takeBackTo };
}

/**
 * Up to where the new path is the accepted one. The paths part where an epoch starts, so it is a record end: a VDL that
 * is lowered to it is still one. The end of this node's log, which may lie inside a record, says nothing about a VDL.
 */
export function sharedWith(state: AcceptorState, elect: Elect): Lsn {
  return commonPrefix(state.history, elect.history, { from: state.base, limit: elect.start });
}

/** A member that re-joins below the low-water has log that nobody can extend any more (section 10, step 3). */
export function planConfigChange(
  state: AcceptorState,
  end: Lsn,
  change: ConfigChange,
): AcceptorState {
  return {
    ...state,
    configuration: newerConfiguration(state.configuration, change.configuration),
    floor: lsnMaxOf(state.floor, change.floor),
    pendingCut: end < change.low ? rebaseTo(change.low) : undefined,
  };
}

function rebaseTo(low: Lsn): PendingCut {
  return { to: low, isRebase: true, keepAside: false, takeBackTo: low };
}
