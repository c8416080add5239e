import type { BorealisError } from "../base/errors.ts";
import type { TraitChange } from "./traits.ts";

/** How much of the log must be durable: all that is flushed, or all that is inserted, at the moment of asking. */
export type UpTo =
  | "flushed"
  | "inserted"
  /** ... and what ALTER SYSTEM has set is kept by the cluster. */
  | "parameters";

/**
 * What became of a session whose server was lost:
 * - continued: nothing was under way
 * - rerun: a statement outside a transaction was run again
 * - replayed: an open transaction was run again, with the same answers
 * - answered: what was under way had been committed, and its client was told so
 * - refused: 40001
 * - unknown: 08007
 * - ended: 57P01, its state could not be made again
 * - expired: no other server within hold_timeout
 * - disconnected: borealis.on_failover
 */
export type Outcome =
  | "continued"
  | "rerun"
  | "replayed"
  | "answered"
  | "refused"
  | "unknown"
  | "ended"
  | "expired"
  | "disconnected";

/** What the shell does for a conversation, in this order. */
export type Action =
  | { readonly kind: "toServer"; readonly bytes: Buffer }
  | { readonly kind: "toClient"; readonly bytes: Buffer }
  /** Nothing more from the server until `durable` is answered; if it never will be, the server is lost. */
  | { readonly kind: "awaitDurable"; readonly upTo: UpTo }
  /** Stop reading the client; what still arrives is kept. */
  | { readonly kind: "pauseClient" }
  | { readonly kind: "resumeClient" }
  | { readonly kind: "resumeServer" }
  /** When nothing has come for a while: `readBack`. */
  | { readonly kind: "readLater" }
  /** A commit is under way; answer `commitTimedOut` after so long. 0: it has ended. */
  | { readonly kind: "commitTimer"; readonly timeoutMs: number }
  /** A statement that changes the traits of this database is on its way; they settle when its transaction ends. */
  | { readonly kind: "traitsChanging"; readonly change: TraitChange }
  | { readonly kind: "traitsSettled" }
  /** Leave this server, if it is there still, and find another: `connected`, or `gaveUp` after hold_timeout. */
  | { readonly kind: "reconnect" }
  /**
   * Find out what became of this transaction of the server that is lost: `fateKnown`. `isEndedAlone`: only that server
   * process was ended, and its writer lives on. `endsPrepared`: it was to end a transaction that had been prepared.
   */
  | {
      readonly kind: "askFate";
      readonly xid: bigint;
      readonly isEndedAlone?: boolean;
      readonly endsPrepared?: boolean;
    }
  /** What goes to the client before this tells it that a transaction that wrote is committed; to be measured. */
  | { readonly kind: "committed" }
  /** How a loss ended for this session; to be counted. */
  | { readonly kind: "outcome"; readonly outcome: Outcome; readonly reason?: string | undefined }
  /** The client is told an error of ours, now or with its next statement, and the session goes on; to be counted. */
  | { readonly kind: "told"; readonly code: string }
  /** Tell the client, FATAL, and end both connections. */
  | { readonly kind: "fail"; readonly error: BorealisError }
  /** End both connections; everything has been said. */
  | { readonly kind: "close" };
