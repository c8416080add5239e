import { type Epoch, epochNone } from "../base/ids.ts";
import { type Lsn, lsn, lsnMaxOf } from "../base/lsn.ts";
import type { Configuration } from "../quorum/index.ts";
import { type SimRules, trueSimRules } from "./shell-rules.ts";

/** One rule replaced: the suite has to notice (simulation-tests.md, 5). */
export interface Mutant {
  /** M1 to M38. */
  readonly id: string;
  readonly name: string;
  readonly rules: Partial<SimRules>;
  /** Where it shows; default: all profiles in turn. */
  readonly profile?: string;
  /** Seeds within which it must be caught. */
  readonly budget: number;
}

function count(
  configuration: Configuration,
  has: (node: never) => boolean,
  needed: number,
): boolean {
  return configuration.sets.every(
    (set) => set.members.filter((member) => has(member.nodeId as never)).length >= needed,
  );
}

/** VDL by the three best of six: a read quorum. */
function vclOfReadQuorum(configuration: Configuration, sclOf: Parameters<SimRules["vcl"]>[1]): Lsn {
  const lows = configuration.sets.map((set) => {
    const held = set.members.map((member) => sclOf(member.nodeId) ?? lsn(0n));
    held.sort((a, b) => (a > b ? -1 : 1));
    return held[set.readQuorum - 1] ?? lsn(0n);
  });
  return lows.reduce((a, b) => (a < b ? a : b));
}

export const mutants: readonly Mutant[] = [
  { id: "M1", name: "ackBeforeSync", budget: 20, rules: { acknowledgedEnd: (log) => log.end } },
  { id: "M2", name: "quorum3of6", budget: 20, rules: { vcl: vclOfReadQuorum } },
  {
    id: "M3",
    name: "noEpochCheckOnAppend",
    budget: 60,
    rules: { mayAppend: () => true, mayAcknowledge: () => true },
  },
  {
    id: "M4",
    name: "longestLogWins",
    budget: 200,
    rules: { isBetter: (a, b) => a.scl > b.scl },
  },
  { id: "M5", name: "firstPromiseWins", budget: 60, rules: { isBetter: () => false } },
  { id: "M6", name: "openWithoutRereplication", budget: 20, rules: { mayOpen: () => true } },
  { id: "M7", name: "gossipNoEpochCheck", budget: 60, rules: { mayFill: () => true } },
  {
    id: "M8",
    name: "truncateBelowVdl",
    budget: 40,
    rules: { branchStart: ({ recordEnd }) => lsnMaxOf(lsn(recordEnd - 64n), lsn(0x100_0000n)) },
  },
  { id: "M9", name: "promiseNotPersisted", budget: 40, rules: { mustPersistPromise: () => false } },
  {
    id: "M10",
    name: "lateSyncAck",
    budget: 1500,
    rules: { mayAcknowledge: () => true },
  },
  {
    id: "M11",
    name: "electIgnoresPromise",
    budget: 60,
    rules: { mayElect: (node, epoch) => epoch > node.accepted || epoch === node.accepted },
  },
  {
    id: "M12",
    name: "claimWithReadQuorum",
    budget: 400,
    rules: {
      isOwned: (configuration, has) =>
        configuration.sets.every(
          (set) => set.members.filter((member) => has(member.nodeId)).length >= set.readQuorum,
        ),
    },
  },
  {
    id: "M13",
    name: "claimWithTwo",
    budget: 800,
    rules: {
      isOwned: (configuration, has) => count(configuration, has as (node: never) => boolean, 2),
    },
  },
  { id: "M14", name: "noTruncate", budget: 200, rules: { cutAt: (log) => log.end } },
  {
    id: "M15",
    name: "branchMidRecord",
    budget: 100,
    rules: { branchStart: ({ recoveryLsn }) => recoveryLsn },
  },
  {
    id: "M16",
    name: "noJointConfig",
    budget: 200,
    profile: "membership",
    rules: { stepsTo: (_, to) => [to] },
  },
  {
    id: "M17",
    name: "finishWithoutCatchUp",
    budget: 1300,
    profile: "membership",
    rules: { mayFinishChange: (change) => change.arePinsHeld },
  },
  {
    id: "M18",
    name: "claimIgnoresNewerConfig",
    budget: 600,
    profile: "membership",
    rules: { adoptsConfiguration: () => false },
  },
  {
    id: "M19",
    name: "backtrackNoMarker",
    budget: 40,
    profile: "backtrack",
    rules: { entryKind: () => "branch" },
  },
  { id: "M20", name: "readerBeyondVdl", budget: 40, rules: { readLimit: (node) => node.scl } },
  {
    id: "M21",
    name: "hintBeforeOpen",
    budget: 200,
    rules: { hintWhileElecting: ({ start }) => start },
  },
  {
    id: "M22",
    name: "readerSkipsRebuild",
    budget: 40,
    profile: "backtrack",
    rules: { mustRebuild: () => false },
  },
  { id: "M23", name: "staleAckCounted", budget: 130, rules: { mayCount: () => true } },
  {
    id: "M24",
    name: "gcPastSlowNode",
    budget: 250,
    profile: "low-water",
    rules: { lowLimit: (log) => log.vdl },
  },
  {
    id: "M25",
    name: "gcBeyondVdl",
    budget: 100,
    profile: "low-water",
    rules: { lowLimit: (log) => lsnMaxOf(log.vdl, lsn(log.vdl + 0x10_0000n)) },
  },
  {
    id: "M26",
    name: "gcWithoutFloor",
    budget: 5000,
    profile: "low-water",
    rules: { mayAdvanceLow: () => true },
  },
  {
    id: "M27",
    name: "tornTailNotDetected",
    budget: 40,
    profile: "disk",
    rules: { tellsTornFrame: () => false },
  },
  {
    id: "M28",
    name: "rotTakenForTornTail",
    budget: 1500,
    profile: "disk",
    rules: { tellsRot: () => false },
  },
  {
    id: "M29",
    name: "dropPinsOnBacktrack",
    budget: 400,
    profile: "backtrack",
    rules: { pinsCut: (pins, to) => pins.filter((pin) => pin.to > to) },
  },
  {
    id: "M30",
    name: "gcIgnoresPins",
    budget: 120,
    profile: "membership",
    rules: { pinsTrimmed: (pins, base) => pins.filter((pin) => pin.from < base) },
  },
  {
    id: "M31",
    name: "membershipForgetsPins",
    budget: 400,
    profile: "membership",
    rules: { mayFinishChange: (change) => change.held >= change.vcl },
  },
  {
    id: "M32",
    name: "fsyncRetried",
    budget: 2600,
    profile: "disk",
    rules: { isSyncFailureFinal: () => false },
  },
  {
    id: "M33",
    name: "wipedNodeKeepsIdentity",
    budget: 150,
    profile: "disk",
    rules: { hasNewIdentity: () => false },
  },
  {
    id: "M34",
    name: "gateCountsOldRounds",
    budget: 3000,
    profile: "reads",
    rules: { confirmsRound: () => true },
  },
  {
    id: "M35",
    name: "gateTooFew",
    budget: 300,
    profile: "reads",
    rules: {
      isGate: (configuration, has) => count(configuration, has as (node: never) => boolean, 2),
    },
  },
  { id: "M36", name: "gateSkipped", budget: 40, profile: "reads", rules: { isGated: () => false } },
  {
    id: "M37",
    name: "gateIgnoresPromise",
    budget: 100,
    profile: "reads",
    rules: { mayConfirm: (node, epoch: Epoch) => epoch > epochNone && node.accepted >= epoch },
  },
  {
    id: "M38",
    name: "cutForGood",
    budget: 3000,
    profile: "abandoned",
    rules: { mayTakeBack: () => false },
  },
];

export function rulesOf(mutant: Mutant): SimRules {
  return { ...trueSimRules, ...mutant.rules };
}
