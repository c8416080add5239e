import type { Epoch, NodeId } from "../base/ids.ts";
import { type Lsn, lsnMin } from "../base/lsn.ts";
import {
  type Configuration,
  compareConfigurationIds,
  isBlockingSet,
  isWriteQuorum,
  type MemberSet,
  vclOf,
} from "./configuration.ts";
import { type History, type HistoryEntry, meetsBacktrack } from "./history.ts";
import type { Pin } from "./messages.ts";

/**
 * The decisions on which the laws I1-I15 hang, each a small pure function, so that the simulator can break one at a
 * time and prove that it would notice (decisions.md D12). Production passes `trueRules`, and a test asserts it. The M
 * numbers are the mutations of quorum-protocol.md that replace the rule.
 */
export interface Rules {
  // A storage node.
  /** May a node whose epochs are these take an Append of `epoch`? (M3) */
  mayAppend(node: NodeEpochs, epoch: Epoch): boolean;
  /** May a sync of bytes of `epoch` be acknowledged now, when it has finished? (M10) */
  mayAcknowledge(node: NodeEpochs, epoch: Epoch): boolean;
  /** How far an acknowledgement speaks. (M1) */
  acknowledgedEnd(log: { readonly scl: Lsn; readonly end: Lsn }): Lsn;
  /** May a node accept the Elect of `epoch`? (M11) */
  mayElect(node: NodeEpochs, epoch: Epoch): boolean;
  /** Where an Elect cuts a log that agrees with the new path up to `common`. (M14) */
  cutAt(log: { readonly end: Lsn; readonly common: Lsn }): Lsn;
  /** May a peer's byte of `epoch` be taken where the node's own path says `expected`? (M7) */
  mayFill(epoch: Epoch, expected: Epoch): boolean;
  /** Must a promise be on disk before it is spoken? (M9) */
  mustPersistPromise(): boolean;
  /** May a heartbeat of `epoch` be confirmed? (M37) */
  mayConfirm(node: NodeEpochs, epoch: Epoch): boolean;
  /** How far readers are served. (M20) */
  readLimit(node: { readonly vdl: Lsn; readonly scl: Lsn }): Lsn;
  /** Is what an Elect cuts from a log kept aside, when the node goes from one path to another? (M39) */
  keepsAside(from: History, to: History): boolean;
  /** Are bytes that an abandoned backtrack cut taken back? (M38) */
  mayTakeBack(): boolean;
  /** May a retired tail that was cut off at `from` go for good, when the log begins at `base`? */
  mayDropRetired(tail: { readonly from: Lsn; readonly base: Lsn }): boolean;
  /** Where a node's log begins after AdvanceLow(asked). (M26) */
  baseAfter(asked: Lsn, log: { readonly floor: Lsn; readonly scl: Lsn }): Lsn;
  /** Which pins lose their log when a backtrack cuts at `to`. (M29) */
  pinsCut(pins: readonly Pin[], to: Lsn): readonly Pin[];
  /** Which pins lose their log when the log begins at `base`. (M30) */
  pinsTrimmed(pins: readonly Pin[], base: Lsn): readonly Pin[];
  /** The first bad frame lies at `end`; something knew of synced log up to `knownEnd`. Is it rot? (M28) */
  isRot(found: { readonly end: Lsn; readonly knownEnd: Lsn }): boolean;

  // A driver.
  /** Do these promises make an owner? (M12, M13) */
  isOwned(configuration: Configuration, hasPromised: (node: NodeId) => boolean): boolean;
  /** Is log `a` to be recovered from rather than `b`? (M4, M5) */
  isBetter(a: LogRank, b: LogRank): boolean;
  /** Does a claimant take over a configuration that a promise shows? (M18) */
  adoptsConfiguration(seen: Configuration, own: Configuration): boolean;
  /** Where a branch starts, given the recovery LSN and the last record end at or below it. (M8, M15) */
  branchStart(found: { readonly recoveryLsn: Lsn; readonly recordEnd: Lsn }): Lsn;
  /** The VDL that is told to nodes while electing. (M21) */
  hintWhileElecting(recovery: { readonly low: Lsn; readonly start: Lsn }): Lsn;
  /** May the epoch open? (M6) */
  mayOpen(progress: { readonly vcl: Lsn; readonly start: Lsn }): boolean;
  /** Does an acknowledgement given in `given` count in epoch `own`? (M23) */
  mayCount(given: Epoch, own: Epoch): boolean;
  /** What a write quorum holds. (M2) */
  vcl(configuration: Configuration, sclOf: (node: NodeId) => Lsn | undefined): Lsn;
  /** Do these nodes, while they keep to this epoch, prevent any newer owner? (M35) */
  isGate(configuration: Configuration, has: (node: NodeId) => boolean): boolean;
  /** The sets that count while the membership goes from one to another. (M16) */
  stepsTo(from: MemberSet, to: MemberSet): readonly MemberSet[];
  /** May one set count alone, whose write quorum holds the log to `held`? (M17, M31) */
  mayFinishChange(change: {
    readonly held: Lsn;
    readonly vcl: Lsn;
    readonly arePinsHeld: boolean;
  }): boolean;
  /** How far the low-water may go, whatever snapshots need. (M24, M25) */
  lowLimit(log: { readonly vdl: Lsn; readonly lowestMember: Lsn }): Lsn;
  /** May log below the low-water be dropped? (M26) */
  mayAdvanceLow(progress: { readonly isFloored: boolean }): boolean;
  /** The kind under which an epoch that was asked for as `kind` enters the history. (M19) */
  entryKind(kind: HistoryEntry["kind"]): HistoryEntry["kind"];
  /** Does an answer to round `acked` confirm round `asked`? (M34) */
  confirmsRound(acked: number, asked: number): boolean;
}

export interface NodeEpochs {
  readonly promised: Epoch;
  readonly accepted: Epoch;
}

/** What decides between two logs. */
export interface LogRank {
  readonly lastEpoch: Epoch;
  readonly scl: Lsn;
}

/** quorum-protocol.md, to the letter. */
export const trueRules: Rules = Object.freeze<Rules>({
  mayAppend: (node, epoch) => node.promised === epoch && node.accepted === epoch,
  mayAcknowledge: (node, epoch) => node.promised === epoch && node.accepted === epoch,
  acknowledgedEnd: (log) => log.scl,
  mayElect: (node, epoch) => epoch >= node.promised && epoch >= node.accepted,
  cutAt: (log) => lsnMin(log.end, log.common),
  mayFill: (epoch, expected) => epoch === expected,
  mustPersistPromise: () => true,
  mayConfirm: (node, epoch) => node.promised === epoch,
  readLimit: (node) => lsnMin(node.vdl, node.scl),
  keepsAside: meetsBacktrack,
  mayTakeBack: () => true,
  mayDropRetired: (tail) => tail.from < tail.base,
  baseAfter: (asked, log) => lsnMin(asked, lsnMin(log.floor, log.scl)),
  pinsCut: () => [],
  pinsTrimmed: () => [],
  isRot: (found) => found.knownEnd > found.end,

  isOwned: isWriteQuorum,
  isBetter: (a, b) => a.lastEpoch > b.lastEpoch || (a.lastEpoch === b.lastEpoch && a.scl > b.scl),
  adoptsConfiguration: (seen, own) => compareConfigurationIds(seen.id, own.id) > 0,
  branchStart: (found) => found.recordEnd,
  hintWhileElecting: (recovery) => recovery.low,
  mayOpen: (progress) => progress.vcl >= progress.start,
  mayCount: (given, own) => given === own,
  vcl: vclOf,
  isGate: isBlockingSet,
  stepsTo: (from, to) => [from, to],
  mayFinishChange: (change) => change.held >= change.vcl && change.arePinsHeld,
  lowLimit: (log) => lsnMin(log.vdl, log.lowestMember),
  mayAdvanceLow: (progress) => progress.isFloored,
  entryKind: (kind) => kind,
  confirmsRound: (acked, asked) => acked >= asked,
});
