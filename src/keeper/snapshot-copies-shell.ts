import { adviceOf, type BorealisError } from "../base/errors.ts";
import {
  Deletions,
  type ObjectStore,
  type Reached,
  replicateSnapshots,
  type Sweep,
  sweepDeletions,
} from "../volume/index.ts";
import type { KeeperContext } from "./keeper-shell.ts";
import { storesOf } from "./stores-shell.ts";

/** So long at a time: taking and deleting snapshots waits meanwhile. What has been copied is not copied again. */
const sliceMs = 30_000;
/** A store that was away may be back. */
const againMs = 10_000;
/** Few, since the nodes have log to take. */
const parallel = 3;
/** So long an object that was put may be on its way to a far store, although nobody waits for it any more. */
const graceMs = 3_600_000;

/**
 * Makes stores alike: each is brought the snapshots that it lacks, and loses those that were deleted while it was away, a node
 * that has taken another's place as well as one that is back.
 */
export class SnapshotCopies {
  private readonly context: KeeperContext;
  /** All that any store has told of, until no store needs it. */
  readonly deletions = new Deletions();
  /** Had all snapshots that there were when it was last seen. */
  private complete: ReadonlySet<ObjectStore> = new Set();
  private seen: readonly ObjectStore[] | undefined;
  private isUnfinished = false;
  /** Why each store was left out of the last look that came to its end, or since. */
  private leftOut: ReadonlyMap<ObjectStore, string> = new Map();
  private readonly reached = new Map<ObjectStore, Reached>();
  private lookedMs = 0;
  /** As in Sweep. */
  private readonly spared: Sweep["spared"];

  constructor(context: KeeperContext, spared?: Sweep["spared"]) {
    this.context = context;
    this.spared = spared;
  }

  get isDue(): boolean {
    const { clock, nodeStores } = this.context;
    const isBackPerhaps = this.leftOut.size > 0 && clock.nowMs() - this.lookedMs >= againMs;
    return this.isUnfinished || isBackPerhaps || this.seen !== nodeStores();
  }

  /** Not known to have all snapshots: nothing is collected there, and no new one goes there. */
  isBehind(store: ObjectStore): boolean {
    return !this.complete.has(store);
  }

  /** Why it could not be looked at, or be given what it lacks; undefined: it could, as far as is known. */
  whyLeftOut(store: ObjectStore): string | undefined {
    return this.leftOut.get(store);
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
    const leftOut = new Map<ObjectStore, string>();
    const onLeftOut = (store: ObjectStore, error: BorealisError): void => {
      const advice = adviceOf(error);
      leftOut.set(store, advice);
      if (this.leftOut.get(store) === advice) return;
      logger.warn({ event: "store.behind", store: store.label }, advice);
    };
    try {
      const complete = await replicateSnapshots({
        // One that shows what was deleted would bring it to the others.
        stores: await this.sweep(stores, onLeftOut, signal),
        sealer: sealer(),
        deletions: this.deletions,
        parallel,
        signal,
        relatives: this.context.relatives(),
        reached: this.reached,
        onCopied: (store, snapshot, copied) => {
          logger.info({ event: "snapshot.copied", store: store.label, snapshot, ...copied });
        },
        onLeftOut,
        onLacking: (store) => this.forget(store),
      });
      this.complete = new Set(complete);
      this.reached.clear();
      this.isUnfinished = false;
    } catch (error) {
      if (!signal.aborted) this.isUnfinished = false;
      if (!signal.aborted || stop.aborted) throw error;
    } finally {
      // A look that was cut short has not asked all.
      this.leftOut = this.isUnfinished ? new Map([...this.leftOut, ...leftOut]) : leftOut;
      this.lookedMs = clock.nowMs();
      timer.cancel();
    }
  }

  private sweep(
    stores: readonly ObjectStore[],
    onLeftOut: (store: ObjectStore, error: BorealisError) => void,
    signal: AbortSignal,
  ): Promise<ObjectStore[]> {
    const { clock, logger, sealer } = this.context;
    return sweepDeletions({
      stores,
      deletions: this.deletions,
      sealer: sealer(),
      // Before the control plane has told which nodes there are, there seem to be none.
      areAll: this.context.nodeStores().length > 0,
      nowMs: clock.wallMs(),
      graceMs,
      signal,
      spared: this.spared,
      onDropped: (store, snapshot) => {
        logger.info({ event: "snapshot.notBack", store: store.label, snapshot });
      },
      onLeftOut,
    });
  }

  private forget(store: ObjectStore): void {
    this.complete = new Set([...this.complete].filter((one) => one !== store));
  }
}
