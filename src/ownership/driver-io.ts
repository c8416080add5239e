import type { Epoch, NodeId, Timeline, VolumeId } from "../base/ids.ts";
import type { Lsn } from "../base/lsn.ts";
import type { ChangeAnswer } from "./membership.ts";
import type {
  AppendAnswer,
  Configuration,
  History,
  MemberSet,
  Pin,
  QuorumMessage,
} from "../quorum/index.ts";

/** What happens to a driver. */
export type DriverEvent =
  /** Once: take the volume. */
  | { readonly kind: "claim"; readonly nowMs: number }
  /** Anything that a node says but the answer to an append: on the control link, asked or unasked. */
  | {
      readonly kind: "received";
      readonly node: NodeId;
      readonly message: QuorumMessage;
      readonly nowMs: number;
    }
  /** The answer to the append that is under way to this node. */
  | {
      readonly kind: "appendAnswered";
      readonly node: NodeId;
      readonly answer: AppendAnswer;
      readonly nowMs: number;
    }
  /** Both links to the node are up. */
  | { readonly kind: "nodeConnected"; readonly node: NodeId; readonly nowMs: number }
  /** One of them is lost; an append under way may or may not have arrived. */
  | { readonly kind: "nodeDisconnected"; readonly node: NodeId; readonly nowMs: number }
  /** In answer to findRecordEnd: the end of the last complete record. */
  | { readonly kind: "recordEndFound"; readonly b: Lsn; readonly nowMs: number }
  /** The log could not be read (its node is lost): claim again. */
  | { readonly kind: "recordEndNotFound"; readonly nowMs: number }
  /** In answer to decideBranch. `start` is b, or for a backtrack a lower target. */
  | {
      readonly kind: "branchDecided";
      readonly start: Lsn;
      readonly timeline: Timeline;
      readonly entryKind?: "branch" | "backtrack";
      /**
       * Undo of a backtrack (decisions.md D28): before it opens, the epoch takes the kept-aside bytes [start, refillTo) as
       * its own; they come as walReceived, and the epoch opens at refillTo.
       */
      readonly refillTo?: Lsn;
      readonly nowMs: number;
    }
  /** Salvage only, in answer to decideSalvage: seal what promised, in favour of this volume. */
  | { readonly kind: "salvageDecided"; readonly successor: VolumeId; readonly nowMs: number }
  /** PostgreSQL has sent log up to `end`; `recordEnd` is the end of the last complete record in it. */
  | {
      readonly kind: "walReceived";
      readonly end: Lsn;
      readonly recordEnd: Lsn;
      readonly nowMs: number;
    }
  /** The shell no longer holds bytes below `heldFrom`: a node below it must pull from its peers. */
  | { readonly kind: "walDropped"; readonly heldFrom: Lsn }
  /** A statement waits for the round gate: start a round now. */
  | { readonly kind: "roundAsked"; readonly nowMs: number }
  /** Change the members to this set, or turn a change that is under way to it; answered by changeAnswered. */
  | { readonly kind: "changeMembers"; readonly set: MemberSet; readonly nowMs: number }
  /** Nothing needs log below `lsn`: a record end, aligned as decisions.md D3 and D39 say. */
  | { readonly kind: "lowWanted"; readonly lsn: Lsn; readonly nowMs: number }
  /** Keep [from, to) of the path for a clone, to ≤ VDL; `pinned` when a write quorum does. */
  | { readonly kind: "pin"; readonly pin: Pin; readonly nowMs: number }
  /** The clone needs its pin no more; `unpinned` when a write quorum knows, or there is none of that id. */
  | { readonly kind: "unpin"; readonly pinId: string; readonly nowMs: number }
  /** The instance's processes are gone or every gate is closed (decisions.md D6): end the lease, and stand down. */
  | { readonly kind: "release" }
  | { readonly kind: "tick"; readonly nowMs: number };

/** What the shell does, in this order. A message to a node without a link is dropped. */
export type DriverAction =
  | { readonly kind: "send"; readonly node: NodeId; readonly message: QuorumMessage }
  /** Walk records on `path` from `from` (a record end, or a base) to `to`, read from `node`: GetLog with this path. */
  | {
      readonly kind: "findRecordEnd";
      readonly node: NodeId;
      readonly path: History;
      readonly from: Lsn;
      readonly to: Lsn;
    }
  /** Keep `timeline` if the local WAL equals the volume's and reaches b (decisions.md D2), else take nextTimeline. */
  | {
      readonly kind: "decideBranch";
      readonly epoch: Epoch;
      readonly node: NodeId;
      readonly path: History;
      readonly b: Lsn;
      readonly low: Lsn;
      readonly floor: Lsn;
      readonly timeline: Timeline;
      readonly nextTimeline: Timeline;
    }
  /** Salvage only (section 10): b is what a read quorum holds; nothing is sealed yet. */
  | {
      readonly kind: "decideSalvage";
      readonly epoch: Epoch;
      readonly node: NodeId;
      readonly path: History;
      readonly b: Lsn;
      readonly low: Lsn;
      /** Whom an earlier salvage, which did not come to its end, has sealed nodes for: it has to be this one. */
      readonly successor: VolumeId | undefined;
    }
  /** A read quorum of every set is sealed: this volume can have an owner nevermore. */
  | {
      readonly kind: "salvaged";
      readonly successor: VolumeId;
      readonly b: Lsn;
      readonly path: History;
    }
  /** Members to be linked to: a newer configuration was seen, or made. */
  | { readonly kind: "membersSeen"; readonly configuration: Configuration }
  /** `begun`, or why the change cannot begin: another is under way, or the set is unsound, or nothing would change. */
  | { readonly kind: "changeAnswered"; readonly answer: ChangeAnswer }
  /** The configuration that counts from now on; `isSettled`: one set, known to a write quorum: who is out may go. */
  | {
      readonly kind: "membersChanged";
      readonly configuration: Configuration;
      readonly isSettled: boolean;
    }
  /** Log below `low` goes at every node; no backtrack goes below it any more. */
  | { readonly kind: "lowAdvanced"; readonly low: Lsn }
  | { readonly kind: "pinned"; readonly pinId: string }
  | { readonly kind: "unpinned"; readonly pinId: string }
  /** The epoch is this driver's and durable up to start: feed, promote, stream from `start` on. */
  | {
      readonly kind: "opened";
      readonly epoch: Epoch;
      readonly timeline: Timeline;
      readonly start: Lsn;
      readonly history: History;
      readonly low: Lsn;
      /** Durable from the beginning: start, or for the undo of a backtrack where it was refilled to. */
      readonly vdl: Lsn;
    }
  /** The log's bytes [from, to), and the VDL; from = to brings only the VDL. Exactly one appendAnswered follows. */
  | {
      readonly kind: "sendAppend";
      readonly node: NodeId;
      readonly from: Lsn;
      readonly to: Lsn;
      readonly vdl: Lsn;
    }
  /** A tick is due then, besides the regular ones; replaces what was asked for before. */
  | { readonly kind: "wakeAt"; readonly atMs: number }
  /** The node needs bytes that the shell no longer holds; it catches up from its peers. */
  | { readonly kind: "nodeLagging"; readonly node: NodeId; readonly scl: Lsn }
  | { readonly kind: "nodeCaughtUp"; readonly node: NodeId; readonly scl: Lsn }
  /** `vdl` for everybody; `vcl` may be told to the own PostgreSQL only (section 7). */
  | { readonly kind: "reportDurable"; readonly vdl: Lsn; readonly vcl: Lsn }
  /** At the start of this round, and before, no newer epoch was open. */
  | { readonly kind: "roundConfirmed"; readonly round: number }
  /**
   * Results may be released while the monotonic clock, read at the moment of release, is below this. Replaces what was
   * said before: lower when a change of members begins.
   */
  | { readonly kind: "leaseExtended"; readonly untilMs: number }
  /** Not this driver's volume any more: stop the stream and the instance. `fencedBy` is 0 when nobody fenced it. */
  | { readonly kind: "standDown"; readonly fencedBy: Epoch; readonly reason: string }
  /** Storage has lost acknowledged log: nobody may be elected before a person has looked. */
  | { readonly kind: "alarm"; readonly reason: string; readonly vdl: Lsn; readonly b: Lsn };
