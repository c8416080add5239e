import type { BorealisError } from "../base/errors.ts";

/** How much of the log must be durable: all that is flushed, or all that is inserted, at the moment of asking. */
export type UpTo = "flushed" | "inserted";

/** What the shell does for a conversation, in this order. */
export type Action =
  | { readonly kind: "toServer"; readonly bytes: Buffer }
  | { readonly kind: "toClient"; readonly bytes: Buffer }
  /** Nothing more from the server until `durable` or `outcomeUnknown` is answered. */
  | { readonly kind: "awaitDurable"; readonly upTo: UpTo }
  /** Stop reading the client; what still arrives is kept. */
  | { readonly kind: "pauseClient" }
  | { readonly kind: "resumeClient" }
  | { readonly kind: "resumeServer" }
  /** A commit is under way; answer `commitTimedOut` after so long. 0: it has ended. */
  | { readonly kind: "commitTimer"; readonly timeoutMs: number }
  /** A statement that changes the traits of this database is on its way; they settle when its transaction ends. */
  | { readonly kind: "traitsChanging" }
  | { readonly kind: "traitsSettled" }
  /** Tell the client, FATAL, and end both connections. */
  | { readonly kind: "fail"; readonly error: BorealisError }
  /** End both connections; everything has been said. */
  | { readonly kind: "close" };
