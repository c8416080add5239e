import { advance, lsnMaxOf } from "../../base/lsn.ts";
import { isReadQuorum, type Rules, vclOf } from "../../quorum/index.ts";
import { strayBacktrack } from "./beginnings.ts";
import { lsnOf } from "./ground.ts";
import type { World } from "./jobs.ts";

/** One rule broken, and the smallest world that shows it. */
export interface SearchMutant {
  readonly id: string;
  /** The switch's name in quorum-protocol.md, section 20. */
  readonly name: string;
  readonly broken: Partial<Rules>;
  /** How the law that the shortest trace breaks begins; M6 trips an assertion of the shipped driver first. */
  readonly law: string;
  readonly world: World;
}

const three = { nodes: 3, epochs: 2, units: 2, backtracks: 1, withPull: true } as const;
const withCrashes = { ...three, units: 1, backtracks: 0, withSync: true } as const;
const rivals = { ...three, nodes: 4, epochs: 1, rivals: 1, backtracks: 0 } as const;

/** The mutants whose rule this search exercises; the others (members, retention, pins, gates) are the simulator's. */
export const searchMutants: readonly SearchMutant[] = [
  {
    id: "M1",
    law: "I15",
    name: "ackBeforeSync",
    broken: { acknowledgedEnd: (log) => log.end },
    world: withCrashes,
  },
  {
    id: "M2",
    law: "I4",
    name: "quorum3of6",
    broken: {
      vcl: (configuration, sclOf) => {
        const fewer = (quorum: number) => quorum - 1;
        const sets = configuration.sets.map((set) => ({
          ...set,
          writeQuorum: fewer(set.writeQuorum),
        }));
        return vclOf({ ...configuration, sets }, sclOf);
      },
    },
    world: three,
  },
  {
    id: "M3",
    law: "I7",
    name: "noEpochCheckOnAppend",
    broken: { mayAppend: () => true },
    world: three,
  },
  {
    id: "M4",
    law: "I3",
    name: "longestLogWins",
    broken: { isBetter: (a, b) => a.scl > b.scl },
    world: three,
  },
  {
    id: "M5",
    law: "I3",
    name: "firstPromiseWins",
    broken: { isBetter: () => false },
    // Which is the first goes by the nodes' names.
    world: { ...three, isSymmetric: false },
  },
  {
    id: "M6",
    law: "VDL is at most VCL",
    name: "openWithoutRereplication",
    broken: { mayOpen: () => true },
    world: three,
  },
  {
    id: "M7",
    law: "I7",
    name: "gossipNoEpochCheck",
    broken: { mayFill: () => true },
    world: three,
  },
  {
    id: "M8",
    law: "I3",
    name: "truncateBelowVdl",
    broken: { branchStart: (found) => lsnMaxOf(lsnOf(0), advance(found.recordEnd, -8)) },
    world: three,
  },
  {
    id: "M9",
    law: "I6",
    name: "promiseNotPersisted",
    broken: { mustPersistPromise: () => false },
    world: withCrashes,
  },
  {
    id: "M10",
    law: "I3",
    name: "lateSyncAck",
    broken: { mayAcknowledge: () => true },
    world: withCrashes,
  },
  {
    id: "M11",
    law: "I6",
    name: "electIgnoresPromise",
    broken: { mayElect: (node, epoch) => epoch >= node.accepted },
    world: three,
  },
  {
    id: "M12",
    law: "I14",
    name: "claimWithReadQuorum",
    broken: { isOwned: isReadQuorum },
    world: rivals,
  },
  {
    id: "M13",
    law: "I14",
    name: "claimWithTwo",
    broken: {
      isOwned: (configuration, has) =>
        configuration.sets.every(
          (set) => set.members.filter((member) => has(member.nodeId)).length >= 2,
        ),
    },
    world: rivals,
  },
  { id: "M14", law: "I7", name: "noTruncate", broken: { cutAt: (log) => log.end }, world: three },
  {
    id: "M15",
    law: "I13",
    name: "branchMidRecord",
    broken: { branchStart: (found) => found.recoveryLsn },
    world: { ...three, unitsPerRecord: 2 },
  },
  {
    id: "M19",
    law: "I3",
    name: "backtrackNoMarker",
    broken: { entryKind: () => "branch" },
    world: three,
  },
  {
    id: "M20",
    law: "I5",
    name: "readerBeyondVdl",
    broken: { readLimit: (node) => node.scl },
    world: { ...three, withHints: true },
  },
  {
    id: "M21",
    law: "I5",
    name: "hintBeforeOpen",
    broken: { hintWhileElecting: (recovery) => recovery.start },
    world: { ...three, withHints: true },
  },
  {
    id: "M37",
    law: "I3",
    name: "gateIgnoresPromise",
    broken: { mayConfirm: () => true },
    world: three,
  },
  {
    id: "M38",
    law: "I3",
    name: "cutForGood",
    broken: { mayTakeBack: () => false },
    world: { ...three, epochs: 3, units: 1 },
  },
  {
    id: "M39",
    law: "I3",
    name: "inheritedCutForGood",
    broken: { keepsAside: (_, to) => to.at(-1)?.kind === "backtrack" },
    world: { ...three, nodes: 5, epochs: 4, units: 1, from: strayBacktrack },
  },
];
