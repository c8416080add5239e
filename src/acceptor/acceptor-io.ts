import type { Epoch, NodeId, Timeline } from "../base/ids.ts";
import type { Lsn } from "../base/lsn.ts";
import type { AcceptorState, PendingCut } from "./acceptor-state.ts";
import type { History } from "../quorum/index.ts";
import type { Envelope, NodeHealth, QuorumMessage } from "../quorum/index.ts";

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
  /** Log written by `writeLog` is synced up to `scl`. */
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
  | { readonly kind: "linkClosed"; readonly link: number }
  | { readonly kind: "subscribersChanged"; readonly count: number }
  | { readonly kind: "healthChanged"; readonly health: NodeHealth; readonly suspectTail: boolean }
  | { readonly kind: "logSizeChanged"; readonly logBytes: number }
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
  /** Cut (and take back from the retired store what `history` contains), sync, then `logCut`. */
  | { readonly kind: "cutLog"; readonly cut: PendingCut; readonly history: History }
  /** Log below `lsn` may go, in the background. */
  | { readonly kind: "dropLogBelow"; readonly lsn: Lsn }
  /** Answer with the synced bytes [from, to), at most maxBytes of them, as LogData or PullData. */
  | {
      readonly kind: "readLog";
      readonly reply: Reply;
      readonly as: "logData" | "pullData";
      readonly from: Lsn;
      readonly to: Lsn;
      readonly maxBytes: number;
      readonly accepted: Epoch;
    }
  /** Send FeedData on this link from `from` on, as far as `feedLimit` allows, whenever it grows. */
  | { readonly kind: "startFeed"; readonly reply: Reply; readonly from: Lsn }
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

/** A message and where it came from, kept while the node is busy. */
export interface Received {
  readonly link: number;
  readonly envelope: Envelope;
  readonly message: QuorumMessage;
}
