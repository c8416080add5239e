import type { Epoch, NodeId, Timeline } from "../base/ids.ts";
import type { Lsn } from "../base/lsn.ts";
import type { FanOutMode } from "../ownership/index.ts";
import type { History, Member, Pin, TimelineSpan } from "../quorum/index.ts";
import type { PgAddress, StandbyFeedback } from "../wire/index.ts";
import type { LinkOwner, NodeEndpoint } from "./node-endpoint.ts";

/** What the agent and the driver's thread say to each other. Copied between threads: plain values only. */

export interface VolumeNode extends NodeEndpoint, Member {
  /**
   * False: the node may be named by a configuration that nodes show (it joins, or has just left), but is none of those
   * that a first claim believes in. True unless told.
   */
  readonly isMember?: boolean;
}

export interface DriverSettings {
  /** Every node that may be a member, with its address; replaced by setNodes. */
  readonly nodes: readonly VolumeNode[];
  readonly owner: LinkOwner;
  /** Lease asked for with each heartbeat (section 14, D). 0: none (gate mode round or off). */
  readonly leaseMs: number;
  /** Of WAL kept in memory for nodes that lag. */
  readonly ringBytes: number;
  /** Default: a write quorum first where all nodes listen on this host's unix sockets, else every node. */
  readonly fanOut?: FanOutMode;
  readonly logFile: string | undefined;
  readonly logLevel: string;
}

/** What a claim found: the epoch is promised by a write quorum, nothing is changed yet. */
export interface Claimed {
  readonly epoch: Epoch;
  /** Recovery LSN b: the last record end at or below the best node's SCL. Every acknowledged commit is below it. */
  readonly start: Lsn;
  /** The best node's SCL, r: what lies in [start, end) is left behind. */
  readonly end: Lsn;
  readonly bestNode: NodeId;
  /** The path up to here. Empty on a volume that was never written. */
  readonly history: History;
  /** Timeline of the log just below `start`; undefined on a volume that was never written. */
  readonly timeline: Timeline | undefined;
  /** What an instance that is promoted will pick, if it knows the history files of `spans`. */
  readonly nextTimeline: Timeline;
  readonly spans: readonly TimelineSpan[];
  /** Lowest LSN that the new epoch's nodes will have. */
  readonly low: Lsn;
  /** No backtrack may go below it. */
  readonly floor: Lsn;
}

export interface Opened {
  readonly epoch: Epoch;
  readonly start: Lsn;
  readonly timeline: Timeline;
  readonly history: History;
}

/** The PostgreSQL that writes in this epoch. */
export interface PgTarget {
  readonly address: PgAddress;
  readonly user: string;
  readonly systemId: string;
}

export interface NodeStatus {
  readonly nodeId: NodeId;
  readonly name: string;
  /** Linked for control and for appends. */
  readonly isLinked: boolean;
  /** Acknowledged in this epoch; undefined before the first acknowledgement. */
  readonly scl: Lsn | undefined;
  /** Fell out of the driver's memory: fills from its peers. */
  readonly isBehindRing: boolean;
  readonly sentBytes: number;
  readonly frames: number;
}

export interface DriverStatus {
  readonly phase: string;
  readonly nodes: readonly NodeStatus[];
  readonly ringBytes: number;
  /** Log that was received in this epoch. */
  readonly walBytes: number;
  readonly reports: number;
  /** Log below it goes at every node; 0 before an epoch is elected. */
  readonly low: Lsn;
  /** What is kept for clones; none before an epoch is elected. */
  readonly pins: readonly Pin[];
}

/** What a clone needs: log up to `to`, a record end; up to VDL unless told. */
export interface PinWish {
  /** UUID */
  readonly pinId: string;
  readonly to: Lsn | undefined;
}

export type DriverEvent =
  /** A newer epoch was promised: this driver acknowledges nothing more. PostgreSQL must be shut down hard. */
  | { readonly kind: "standDown"; readonly fencedBy: Epoch | undefined; readonly reason: string }
  /** The connection to PostgreSQL was lost while it should be there; attach again, or give up. */
  | { readonly kind: "detached"; readonly reason: string }
  | { readonly kind: "attached"; readonly from: Lsn }
  | { readonly kind: "quorumLost" }
  | { readonly kind: "quorumBack" }
  /** The thread is gone: nothing is acknowledged any more. */
  | { readonly kind: "failed"; readonly reason: string };

/** Log of a path that was left by a backtrack, which an epoch takes as its own before it opens (decisions.md D28). */
export interface Refill {
  readonly path: History;
  /** A record end above the epoch's start: where it opens. */
  readonly to: Lsn;
}

/** How an epoch begins other than by going on, or branching off, at the recovery LSN. */
export interface Opening {
  /** The recovery LSN; for a backtrack a record end below it, or at it if there is a refill. */
  readonly start: Lsn;
  readonly timeline: Timeline;
  readonly kind: "branch" | "backtrack";
  readonly refill?: Refill | undefined;
}

/**
 * Keep the timeline of the log below the start, or take the next number; a volume that was never written has the one that
 * its genesis image was made on: 1, or a later one where the image is of a restore.
 */
export type TimelineChoice = "keep" | "new" | { readonly born: Timeline } | Opening;

export type DriverRequest =
  | { readonly kind: "claim" }
  | { readonly kind: "open"; readonly timeline: TimelineChoice }
  | { readonly kind: "attach"; readonly target: PgTarget }
  | { readonly kind: "detach" }
  /** Answered when these are the members, and a write quorum of them knows. */
  | { readonly kind: "changeMembers"; readonly members: readonly Member[] }
  /** Answered with the Pin when a write quorum keeps it. */
  | { readonly kind: "pin"; readonly wish: PinWish }
  /** Answered when a write quorum has let go of it. */
  | { readonly kind: "unpin"; readonly pinId: string }
  | { readonly kind: "release" }
  | { readonly kind: "resign" }
  /** Begins a heartbeat round; answered when a blocking set has confirmed it, or a later one. */
  | { readonly kind: "round" }
  /** Answered when there is a lease, or a longer one. */
  | { readonly kind: "lease" }
  | { readonly kind: "status" };

export type ToDriver =
  | { readonly kind: "request"; readonly id: number; readonly request: DriverRequest }
  | { readonly kind: "standBy" }
  | { readonly kind: "setNodes"; readonly nodes: readonly VolumeNode[] }
  | { readonly kind: "wantLow"; readonly lsn: Lsn }
  | { readonly kind: "setFeedback"; readonly feedback: StandbyFeedback };

export type FromDriver =
  | { readonly kind: "answer"; readonly id: number; readonly result: unknown }
  | {
      readonly kind: "refusal";
      readonly id: number;
      readonly code: string;
      readonly message: string;
      readonly hint: string | undefined;
    }
  | { readonly kind: "event"; readonly event: DriverEvent }
  /** VCL has passed the lowest LSN that is waited for. */
  | { readonly kind: "awaitedReached" };
