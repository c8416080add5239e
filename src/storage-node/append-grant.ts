import { BorealisError, sqlState } from "../base/errors.ts";
import type { Epoch } from "../base/ids.ts";
import type { Lsn } from "../base/lsn.ts";
import { mainHolder, type SharedLog } from "./shared-log.ts";

/** A worker that keeps the grant longer hangs in its disk or its peer; the process starts anew. */
const limitMs = 30_000;

/** How far workers have got in an epoch. */
export interface AppendProgress {
  readonly epoch: Epoch;
  readonly scl: Lsn;
  readonly vdl: Lsn;
}

/** The main thread's side of the grant: it has the grant whenever it has not lent it. */
export class AppendGrant {
  private readonly shared: SharedLog;
  private lent: AppendProgress | undefined;

  constructor(shared: SharedLog) {
    this.shared = shared;
  }

  /** Workers may append to this epoch from now on. */
  lend(grant: { readonly epoch: Epoch; readonly start: Lsn; readonly vdl: Lsn }): void {
    const { shared } = this;
    shared.start = grant.start;
    shared.vdl = grant.vdl;
    this.lent = { epoch: grant.epoch, scl: shared.scl, vdl: grant.vdl };
    shared.release(mainHolder);
  }

  /**
   * Waits until no worker writes or acknowledges, and tells how far they got; undefined if nothing was lent. Raises
   * BorealisError 58030 if a worker does not finish, or failed.
   */
  takeBack(): AppendProgress | undefined {
    const { lent, shared } = this;
    if (!lent) return undefined;
    if (!shared.takeForMain(limitMs)) {
      throw new BorealisError(sqlState.ioError, `append worker hangs for ${limitMs} ms`);
    }
    this.lent = undefined;
    if (shared.health === "failed") throw new BorealisError(sqlState.ioError, "append failed");
    return { epoch: lent.epoch, scl: shared.scl, vdl: shared.vdl };
  }

  /** What workers did since the last look; undefined: nothing. */
  look(): AppendProgress | undefined {
    const { lent, shared } = this;
    if (!lent) return undefined;
    const { scl, vdl } = shared;
    if (scl === lent.scl && vdl === lent.vdl) return undefined;
    this.lent = { epoch: lent.epoch, scl, vdl };
    return this.lent;
  }
}
