import type { BackendReady } from "./backend-shell.ts";

/** Who has a server of a pool. */
export interface Holder {
  /** Why it cannot be without its server at this moment; undefined: it can. */
  whyKept(): string | undefined;
  /** When it last had something to do; monotonic. */
  readonly usedAtMs: number;
  /** Settings with a prefix that exist in its server. */
  readonly customNames: ReadonlySet<string>;
  /** Gives its server up, as it is. Only while nothing keeps it. */
  yieldServer(): BackendReady;
  /** Somebody waits for a server: what it does not know of its own is to be asked now. */
  hurry(): void;
}

/** One server of a pool, in the hands of one session. */
export interface Lease {
  /** Others wait for a server. */
  readonly isWanted: boolean;
  /** From here on it can be asked to give the server up. */
  hold(holder: Holder): void;
  /** Nothing keeps the server at this moment. */
  offer(): void;
  /** The session has no use for it any more, and it can be somebody else's. */
  giveBack(backend: BackendReady): void;
  /** It has ended, or is to. */
  gone(): void;
}
