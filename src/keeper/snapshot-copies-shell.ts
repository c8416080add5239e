import { type ObjectStore, replicateSnapshots } from "../volume/index.ts";
import type { KeeperContext } from "./keeper-shell.ts";
import { storesOf } from "./stores-shell.ts";

/** So long at a time: taking and deleting snapshots waits meanwhile. What has been copied is not copied again. */
const sliceMs = 30_000;
/** Few, since the nodes have log to take. */
const parallel = 3;

/** Brings each store the snapshots that it lacks: a node that has taken another's place, or was away. */
export class SnapshotCopies {
  private readonly context: KeeperContext;
  /** Had all snapshots that there were when it was last seen. */
  private complete: ReadonlySet<ObjectStore> = new Set();
  private seen: readonly ObjectStore[] | undefined;
  private isUnfinished = false;

  constructor(context: KeeperContext) {
    this.context = context;
  }

  get isDue(): boolean {
    return this.isUnfinished || this.seen !== this.context.nodeStores();
  }

  /** Not known to have all snapshots: nothing is collected there, and no new one goes there. */
  isBehind(store: ObjectStore): boolean {
    return !this.complete.has(store);
  }

  /** A node may have been away, and be back. */
  lookAgain(): void {
    this.seen = undefined;
  }

  /** As far as one slice of time reaches. Nothing else is done with snapshots meanwhile. */
  async goOn(stop: AbortSignal): Promise<void> {
    const { clock, logger, sealer } = this.context;
    const stores = storesOf(this.context);
    this.seen = this.context.nodeStores();
    const slice = new AbortController();
    const timer = clock.after(sliceMs, () => slice.abort(new Error("others have their turn")));
    const signal = AbortSignal.any([stop, slice.signal]);
    this.isUnfinished = true;
    try {
      const complete = await replicateSnapshots({
        stores,
        sealer: sealer(),
        parallel,
        signal,
        onCopied: (store, snapshot, copied) => {
          logger.info({ event: "snapshot.copied", store: store.label, snapshot, ...copied });
        },
        onLeftOut: (store, error) => {
          logger.warn({ event: "store.behind", store: store.label }, error.message);
        },
        onLacking: (store) => this.forget(store),
      });
      this.complete = new Set(complete);
      this.isUnfinished = false;
    } catch (error) {
      if (!signal.aborted) this.isUnfinished = false;
      if (!signal.aborted || stop.aborted) throw error;
    } finally {
      timer.cancel();
    }
  }

  private forget(store: ObjectStore): void {
    this.complete = new Set([...this.complete].filter((one) => one !== store));
  }
}
