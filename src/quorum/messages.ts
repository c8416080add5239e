import type { Epoch, NodeId, Timeline, VolumeId } from "../base/ids.ts";
import type { Lsn } from "../base/lsn.ts";
import type { Configuration, ConfigurationId } from "./configuration.ts";
import type { History } from "./history.ts";

/**
 * What drivers, storage nodes and readers say to each other: section 5 of quorum-protocol.md, row by row. Every
 * acknowledgement carries the epoch it was given in; a driver drops any that is not its own.
 */

/** Around every message. In an answer, `target` is still the node: the one that answers. */
export interface Envelope {
  readonly volumeId: VolumeId;
  /** Who sends: an instance id, a node id, or a process's name. For people and logs; nothing is decided by it. */
  readonly sender: string;
  /** The node asked. It refuses what is meant for another: that is another disk. */
  readonly target: NodeId;
  /** Echoed in the answer; 0 in what nobody answers. */
  readonly requestId: bigint;
}

/** Contiguous bytes of one epoch. A list of runs is contiguous from the `lsn` beside it. */
export interface Run {
  readonly epoch: Epoch;
  readonly timeline: Timeline;
  readonly bytes: Uint8Array;
}

/** Log of a clone that may not go: the path's bytes in [from, to). */
export interface Pin {
  /** UUID */
  readonly pinId: string;
  readonly path: History;
  readonly from: Lsn;
  readonly to: Lsn;
}

/** `full`: no space, takes no Append; `damaged`: rot found, repairs itself first; `failed`: a sync failed, for good. */
export type NodeHealth = "ok" | "full" | "damaged" | "failed";

/**
 * `stale`: something newer was promised or accepted; the others say what the node cannot do. `outgrown`: the state that
 * this would make does not fit where the node keeps it.
 */
export type RefuseReason =
  | "stale"
  | "notAccepted"
  | "sealed"
  | "damaged"
  | "full"
  | "wrongTarget"
  | "notSupported"
  | "outgrown";

/** What a node shows of its log, in State and in Promise. */
export interface LogPosition {
  /** Effective: without entries that start above `scl`. */
  readonly history: History;
  readonly scl: Lsn;
  readonly base: Lsn;
  readonly floor: Lsn;
  /** Advisory; 0 when the node has heard of none since it started. */
  readonly vdl: Lsn;
  readonly vdlEpoch: Epoch;
  readonly configuration: Configuration;
  /** The log's end may have rotted together with a crash (section 15). */
  readonly suspectTail: boolean;
}

export interface Inspect {
  readonly kind: "inspect";
}
export interface State extends LogPosition {
  readonly kind: "state";
  readonly promised: Epoch;
  readonly accepted: Epoch;
  readonly sealed: VolumeId | undefined;
  readonly health: NodeHealth;
  readonly logBytes: number;
  readonly hasSubscribers: boolean;
  /** How many damaged parts of what it keeps it has made whole since its process began. */
  readonly healed: number;
}

export interface Claim {
  readonly kind: "claim";
  readonly epoch: Epoch;
  /** UUID, new for every attempt. */
  readonly claimId: string;
  readonly claimant: string;
}
export interface Promised extends LogPosition {
  readonly kind: "promise";
  readonly epoch: Epoch;
  readonly claimId: string;
  readonly pins: readonly Pin[];
}
/** `epoch` is that of the refused message (0 if it had none). */
export interface Refuse {
  readonly kind: "refuse";
  readonly epoch: Epoch;
  readonly promised: Epoch;
  readonly reason: RefuseReason;
}
/** A lease of an older epoch may still be trusted: ask again after `ms`. */
export interface Wait {
  readonly kind: "wait";
  readonly epoch: Epoch;
  readonly ms: number;
}

export interface Elect {
  readonly kind: "elect";
  readonly epoch: Epoch;
  readonly claimId: string;
  /** Ends in this epoch's entry. */
  readonly history: History;
  readonly start: Lsn;
  readonly configuration: Configuration;
  readonly low: Lsn;
  readonly floor: Lsn;
}
export interface ElectAck {
  readonly kind: "electAck";
  readonly epoch: Epoch;
  readonly scl: Lsn;
  readonly configuration: ConfigurationId;
}

/** An empty payload brings only the VDL. At most payloadBytesMax bytes. */
export interface Append {
  readonly kind: "append";
  readonly epoch: Epoch;
  readonly timeline: Timeline;
  readonly lsn: Lsn;
  readonly vdl: Lsn;
  readonly payload: Uint8Array;
}
/** Sent only after the sync. */
export interface AppendAck {
  readonly kind: "appendAck";
  readonly epoch: Epoch;
  readonly scl: Lsn;
  /** Readers wait at this node: send it a new VDL at once. */
  readonly hasSubscribers: boolean;
}
/** The frame would have left a hole: the log ends at `end`. */
export interface Gap {
  readonly kind: "gap";
  readonly epoch: Epoch;
  readonly end: Lsn;
}

export interface Heartbeat {
  readonly kind: "heartbeat";
  readonly epoch: Epoch;
  readonly round: number;
  readonly vdl: Lsn;
  readonly leaseMs: number;
}
export interface HeartbeatAck {
  readonly kind: "heartbeatAck";
  readonly epoch: Epoch;
  readonly round: number;
  /** 0 until the node has accepted this epoch: what it holds before is another log. */
  readonly scl: Lsn;
  /** 0: confirmed, but no lease: a claim waits at this node (decisions.md D40). */
  readonly leaseMs: number;
  readonly hasSubscribers: boolean;
}

export interface ConfigChange {
  readonly kind: "configChange";
  readonly epoch: Epoch;
  readonly configuration: Configuration;
  readonly low: Lsn;
  readonly floor: Lsn;
}
export interface ConfigAck {
  readonly kind: "configAck";
  readonly epoch: Epoch;
  readonly configuration: ConfigurationId;
}

export interface Floor {
  readonly kind: "floor";
  readonly epoch: Epoch;
  readonly lsn: Lsn;
}
export interface FloorAck {
  readonly kind: "floorAck";
  readonly epoch: Epoch;
  readonly lsn: Lsn;
}
export interface AdvanceLow {
  readonly kind: "advanceLow";
  readonly epoch: Epoch;
  readonly lsn: Lsn;
}

/** Node to node. `accepted` lets the peer send RelayElect to a node that is behind. */
export interface Pull {
  readonly kind: "pull";
  readonly from: Lsn;
  readonly maxBytes: number;
  readonly accepted: Epoch;
}
/** From synced log only; no runs: the peer has nothing further. */
export interface PullData {
  readonly kind: "pullData";
  readonly lsn: Lsn;
  readonly runs: readonly Run[];
  readonly accepted: Epoch;
}
export interface RelayElect {
  readonly kind: "relayElect";
  readonly electRecord: Elect;
}

export interface GetLog {
  readonly kind: "getLog";
  readonly path: History | "current";
  readonly from: Lsn;
  readonly to: Lsn;
  /** True: nothing beyond the node's VDL. */
  readonly maxVdl: boolean;
}
/** May end before `to`: at most payloadBytesMax bytes; ask again from its end. */
export interface LogData {
  readonly kind: "logData";
  readonly lsn: Lsn;
  readonly runs: readonly Run[];
}
/** Also the answer to a Pull or PinPull that cannot be served. */
export interface NotHere {
  readonly kind: "notHere";
  readonly base: Lsn;
  readonly scl: Lsn;
}

/** From here on the node sends FeedData with this message's request id, until PathChanged or the link's end. */
export interface Subscribe {
  readonly kind: "subscribe";
  readonly path: History;
  readonly from: Lsn;
}
/** No runs: only the VDL moved, or a sign of life. */
export interface FeedData {
  readonly kind: "feedData";
  readonly lsn: Lsn;
  readonly runs: readonly Run[];
  readonly vdl: Lsn;
  readonly vdlEpoch: Epoch;
  readonly history: History;
}
export interface PathChanged {
  readonly kind: "pathChanged";
  readonly history: History;
}

export interface PinRequest extends Pin {
  readonly kind: "pin";
  readonly epoch: Epoch;
}
export interface Unpin {
  readonly kind: "unpin";
  readonly epoch: Epoch;
  readonly pinId: string;
}
export interface PinAck {
  readonly kind: "pinAck";
  readonly epoch: Epoch;
  readonly pinId: string;
  /** The answer to a Pin; false: to an Unpin. */
  readonly isHeld: boolean;
}
export interface PinPull {
  readonly kind: "pinPull";
  readonly pinId: string;
  readonly from: Lsn;
}
export interface PinData {
  readonly kind: "pinData";
  readonly pinId: string;
  readonly lsn: Lsn;
  readonly runs: readonly Run[];
}

export interface Seal {
  readonly kind: "seal";
  readonly epoch: Epoch;
  readonly successor: VolumeId;
}
export interface SealAck {
  readonly kind: "sealAck";
  readonly epoch: Epoch;
  readonly successor: VolumeId;
}

/** Ends the lease waits for grants of `epoch` in rounds up to `round` (decisions.md D6, D40). No answer. */
export interface Release {
  readonly kind: "release";
  readonly epoch: Epoch;
  readonly round: number;
}

/** Node to node: what is your log [from, to) of this path? For a scrub, at most payloadBytesMax bytes. */
export interface Digest {
  readonly kind: "digest";
  readonly path: History;
  readonly from: Lsn;
  readonly to: Lsn;
}
/** Hash over (epoch, length, bytes) of each run; NotHere if not all of it is on the path here. */
export interface DigestData {
  readonly kind: "digestData";
  readonly from: Lsn;
  readonly to: Lsn;
  /** UUID-shaped: 128 bits of SHA-256. */
  readonly hash: string;
}

/** Read everything there is through once, now, and heal what is bad. */
export interface ScrubRequest {
  readonly kind: "scrub";
}
/** Of a scrub that is under way, unasked, to who asked for it; a few a second. */
export interface ScrubProgress {
  readonly kind: "scrubProgress";
  readonly checkedBytes: number;
  /** Of what the node had when it began. */
  readonly totalBytes: number;
}
/** Of a scrub that came to its end. A node that finds rot in its log starts anew instead: ask again. */
export interface ScrubReport {
  readonly kind: "scrubReport";
  readonly checkedBytes: number;
  /** Since the node's process began. */
  readonly healed: number;
  /** Found and not healed: no peer had it, or the peers do not agree. */
  readonly unhealed: number;
  /** Stretches that peers were compared on. */
  readonly compared: number;
}

/** A Release that speaks for all rounds: the instance's processes are all gone (decisions.md D6). */
export const everyRound = Number.MAX_SAFE_INTEGER;

export type QuorumMessage =
  | Inspect
  | State
  | Claim
  | Promised
  | Refuse
  | Wait
  | Elect
  | ElectAck
  | Append
  | AppendAck
  | Gap
  | Heartbeat
  | HeartbeatAck
  | ConfigChange
  | ConfigAck
  | Floor
  | FloorAck
  | AdvanceLow
  | Pull
  | PullData
  | RelayElect
  | GetLog
  | LogData
  | NotHere
  | Subscribe
  | FeedData
  | PathChanged
  | PinRequest
  | Unpin
  | PinAck
  | PinPull
  | PinData
  | Seal
  | SealAck
  | Release
  | Digest
  | DigestData
  | ScrubRequest
  | ScrubProgress
  | ScrubReport;

export type MessageKind = QuorumMessage["kind"];
export type MessageOf<K extends MessageKind> = Extract<QuorumMessage, { readonly kind: K }>;

/** What a node says to an Append. */
export type AppendAnswer = AppendAck | Gap | Refuse;

/** Bytes of log in one message, at most. */
export const payloadBytesMax = 1024 * 1024;
