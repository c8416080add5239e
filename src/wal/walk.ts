import type { Lsn } from "../base/lsn.ts";

/** Where to start: at a record's end (so, at a record's start), or at a segment's start, maybe inside a record. */
export interface WalkStart {
  readonly at: Lsn;
  readonly kind: "recordEnd" | "segmentStart";
}

/** A transaction that the log commits. */
export interface WalCommit {
  /** End of the record before: the log up to here does not have the commit. */
  readonly previousEnd: Lsn;
  /** End of the commit record: the log up to here has it. */
  readonly end: Lsn;
  /** When PostgreSQL made it, microseconds since 1970. */
  readonly timeUs: bigint;
  readonly xid: number;
}

export interface WalkerOptions {
  /** Told of every commit and commit of a prepared transaction, in log order. */
  readonly onCommit?: (commit: WalCommit) => void;
  /** The same, for who counts only: when PostgreSQL made it, milliseconds since 1970; NaN: that is not found in it. */
  readonly onCommitTime?: (timeMs: number) => void;
  /** Whoever hands the log over has verified it: its records' CRCs, half of the cost of a walk, are not computed again. */
  readonly isTrusted?: boolean;
}

/** Bytes that no valid log has. `at` is the record or page at fault. */
export interface WalFailure {
  readonly at: Lsn;
  readonly reason: string;
}
