import type { Epoch, NodeId, Timeline } from "../base/ids.ts";
import type { Lsn } from "../base/lsn.ts";
import type { AcceptorState, PendingCut } from "./acceptor-state.ts";
import type { History } from "../quorum/index.ts";
import type { Envelope, NodeHealth, Pin, QuorumMessage, Run } from "../quorum/index.ts";

/** Where an answer goes: a link as its shell numbers it, and the request id to echo. */
export interface Reply {
  readonly link: number;
  readonly requestId: bigint;
}

/** What happens to a node. The shell tells `progress` before a message, whenever the append worker has got further. */
export type AcceptorEvent =
  /** First, once: the log has been scanned and synced. */
  | { readonly kind: "started"; readonly nowMs: number }
  | {
      readonly kind: "received";
      readonly link: number;
      readonly envelope: Envelope;
      readonly message: QuorumMessage;
      readonly nowMs: number;
    }
  /** The state of the last `persist` is on disk. */
  | { readonly kind: "persisted"; readonly nowMs: number }
  /**
   * Log written by `writeLog` is synced up to `scl`. While the node is damaged that may lie beyond what was written: the
   * hole is filled, and behind it lies log that the node has had all the time, up to the next hole or its end.
   */
  | { readonly kind: "synced"; readonly scl: Lsn; readonly nowMs: number }
  /** There was no space for what was to be written beyond `scl`: that was dropped, and the log ends there. */
  | { readonly kind: "logFull"; readonly scl: Lsn; readonly nowMs: number }
  /** The append worker, under its grant of `epoch`, has synced to `scl` and heard of `vdl`. */
  | {
      readonly kind: "progress";
      readonly epoch: Epoch;
      readonly scl: Lsn;
      readonly vdl: Lsn;
      readonly nowMs: number;
    }
  /** The worker neither writes nor acknowledges any more; its log is synced to `scl` and ends there. */
  | {
      readonly kind: "grantRevoked";
      readonly epoch: Epoch;
      readonly scl: Lsn;
      readonly vdl: Lsn;
      readonly nowMs: number;
    }
  /** The log was cut as `cutLog` said, and all that is left is synced and ends at `scl`. */
  | { readonly kind: "logCut"; readonly scl: Lsn; readonly nowMs: number }
  /** The peer did not answer the last `pull`. */
  | { readonly kind: "pullFailed"; readonly nowMs: number }
  /** After `linkPin` or `writePin`: the pin's log is kept, synced and linked, from its `from` up to `to`. */
  | {
      readonly kind: "pinKept";
      readonly pinId: string;
      readonly to: Lsn;
      readonly nowMs: number;
    }
  /** The peer did not answer the last `pullPin` of this pin, or has nothing for it. */
  | { readonly kind: "pinPullFailed"; readonly pinId: string; readonly nowMs: number }
  | { readonly kind: "linkClosed"; readonly link: number }
  | { readonly kind: "subscribersChanged"; readonly count: number }
  | { readonly kind: "healthChanged"; readonly health: NodeHealth; readonly suspectTail: boolean }
  | { readonly kind: "storageNoted"; readonly logBytes: number; readonly healed: number }
  | { readonly kind: "tick"; readonly nowMs: number };

/** What the shell does, in this order. At most one of persist, revokeGrant, cutLog is under way at a time. */
export type AcceptorAction =
  /** Write and sync the state, then `persisted`. */
  | { readonly kind: "persist"; readonly state: AcceptorState }
  | { readonly kind: "send"; readonly reply: Reply; readonly message: QuorumMessage }
  /** Lend the append path: promised = accepted = epoch; the log ends at `end`; nothing below `start` is this epoch's. */
  | {
      readonly kind: "grant";
      readonly epoch: Epoch;
      readonly start: Lsn;
      readonly end: Lsn;
      readonly vdl: Lsn;
    }
  /** Take it back; `grantRevoked` when the worker has stopped. */
  | { readonly kind: "revokeGrant" }
  /** Append to the log at its end; the shell syncs in groups, then `synced`. The bytes are borrowed: copy or write now. */
  | {
      readonly kind: "writeLog";
      readonly epoch: Epoch;
      readonly timeline: Timeline;
      readonly lsn: Lsn;
      readonly bytes: Uint8Array;
    }
  /**
   * Cut, sync, then `logCut` with the SCL that there is then. `keepAside`: what is cut off goes to the retired store, in
   * the same move. Then, from the cut up to `takeBackTo`, whatever the retired store has of the epochs that `history`
   * names comes back (piecesOnPath). Asked again after a crash: both must bear repetition.
   */
  | { readonly kind: "cutLog"; readonly cut: PendingCut; readonly history: History }
  /**
   * Log below `lsn` may go, in the background; and so may every retired tail for which rules.mayDropRetired says so. What
   * pins keep stays.
   */
  | { readonly kind: "dropLogBelow"; readonly lsn: Lsn }
  /** Answer with the synced bytes [from, to), at most maxBytes of them, as LogData or PullData. */
  | {
      readonly kind: "readLog";
      readonly reply: Reply;
      readonly as: "logData" | "pullData" | "pinData";
      /** Of pinData. */
      readonly pinId?: string;
      readonly from: Lsn;
      readonly to: Lsn;
      readonly maxBytes: number;
      readonly accepted: Epoch;
    }
  /**
   * The same for log beside the current one: bytes that are on `path`, contiguous from `from`, out of one pin or (unless
   * `onlyPins`) one retired tail; NotHere if there are none.
   */
  | {
      readonly kind: "readKept";
      readonly reply: Reply;
      readonly as: KeptAnswer;
      readonly path: History;
      readonly from: Lsn;
      readonly to: Lsn;
      readonly maxBytes: number;
      readonly onlyPins: boolean;
    }
  /**
   * Keep for the pin: the log [from, logTo), which is the pin's, then what a retired tail continues of its path. Linked so
   * that cuts, trims and the end of other pins leave it. Synced with its names, then `pinKept`.
   */
  | { readonly kind: "linkPin"; readonly pin: Pin; readonly from: Lsn; readonly logTo: Lsn }
  /** Keep for the pin these bytes of a peer, from `lsn` on; synced, then `pinKept`. The bytes are borrowed. */
  | {
      readonly kind: "writePin";
      readonly pin: Pin;
      readonly lsn: Lsn;
      readonly runs: readonly Run[];
    }
  /** Ask a peer for a pin's log; its PinData comes back as `received`, anything else as `pinPullFailed`. */
  | { readonly kind: "pullPin"; readonly peer: NodeId; readonly pinId: string; readonly from: Lsn }
  /** Nothing keeps this pin's log any more; what is log besides stays log. */
  | { readonly kind: "dropPin"; readonly pinId: string }
  /** Send FeedData on this link from `from` on, as far as `feedLimit` allows, whenever it grows. */
  /** On this path: by the time it is done the state may have another, which `historyChanged` then brings. */
  | {
      readonly kind: "startFeed";
      readonly reply: Reply;
      readonly from: Lsn;
      readonly history: History;
    }
  /** The accepted history changed: every feed whose reader is not on it ends with PathChanged. */
  | { readonly kind: "historyChanged"; readonly history: History }
  | { readonly kind: "vdlAdvanced"; readonly vdl: Lsn; readonly vdlEpoch: Epoch }
  /** Ask a peer for log; its PullData or NotHere comes back as `received`, a failure as `pullFailed`. */
  | {
      readonly kind: "pull";
      readonly peer: NodeId;
      readonly from: Lsn;
      readonly maxBytes: number;
      readonly accepted: Epoch;
    };

/** As what a read of kept log is answered. */
export type KeptAnswer =
  | { readonly kind: "logData" }
  | { readonly kind: "pinData"; readonly pinId: string };

/** A message and where it came from, kept while the node is busy. */
export interface Received {
  readonly link: number;
  readonly envelope: Envelope;
  readonly message: QuorumMessage;
}
