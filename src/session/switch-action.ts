import type { SideName } from "./switch-unit.ts";

/** What the shell does for a switchboard, in this order. */
export type SwitchAction =
  | { readonly kind: "toSide"; readonly side: SideName; readonly bytes: Buffer }
  | { readonly kind: "toClient"; readonly bytes: Buffer }
  | { readonly kind: "pauseClient" }
  | { readonly kind: "resumeClient" }
  /** The client's next messages are for this side: make it ready, then `prepared` or `refuse`. */
  | {
      readonly kind: "prepare";
      readonly side: SideName;
      /** The transaction is open on the reader, with nothing run in it: it is to be open on the writer instead. */
      readonly begin: string | undefined;
      /** The unnamed statement that the session has is going to be run there. */
      readonly needsUnnamed: boolean;
    }
  /** The reader lacks what the client has just used on the writer: once it shows all, `caughtUp`. */
  | { readonly kind: "catchUp" };
