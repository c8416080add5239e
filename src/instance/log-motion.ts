import type { Lsn } from "../base/lsn.ts";

/** What the log driver has of PostgreSQL's log. */
export interface Taken {
  readonly isAttached: boolean;
  /** All that came. */
  readonly received: Lsn;
  /** Of that, what the storage nodes have. */
  readonly vcl: Lsn;
}

/**
 * Whether PostgreSQL hands out the log that it writes: its walsender may hang alone, while all else of it answers. Storage that is
 * slow or away is no such case: the driver then has what it waits with.
 */
export class LogMotion {
  private before: { readonly flushed: Lsn; readonly received: Lsn } | undefined;

  /** At each look: up to where PostgreSQL has written its log. False: nothing of what was there at the last one has come since. */
  look(flushed: Lsn, { isAttached, received, vcl }: Taken): boolean {
    const { before } = this;
    this.before = { flushed, received };
    if (!before || !isAttached || vcl < received) return true;
    return received > before.received || received >= before.flushed;
  }
}
