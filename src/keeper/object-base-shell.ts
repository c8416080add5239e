import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import {
  type ArchiveIndex,
  type ArchivePlan,
  type Deletions,
  findSnapshot,
  isOnPath,
  liveIn,
  type LogPath,
  type ObjectStore,
  planArchive,
  snapshotIds,
} from "../volume/index.ts";
import type { KeeperContext } from "./keeper-shell.ts";
import type { KnownSnapshot } from "./snapshot-retention.ts";

export interface ObjectBaseOptions {
  readonly context: Pick<KeeperContext, "logger" | "objects" | "sealer">;
  readonly deletions: Deletions;
  /** Those that are not deleted and can be read whole, as far as is known. */
  readonly live: () => readonly KnownSnapshot[];
  /** The volume's; undefined: nobody says. */
  readonly path: () => LogPath | undefined;
}

const nothing: ReadonlySet<string> = new Set();

/**
 * Which snapshot the object store alone could be restored from: a complete one, with the archive's log from its start on. What is
 * kept is planned over all stores together; one that was away, or is new, has perhaps nothing of that. So it keeps those that
 * it has, though they were deleted, and the log, until it has another.
 */
export class ObjectBase {
  private readonly options: ObjectBaseOptions;
  private found: "live" | "spared" | "none" | undefined;

  constructor(options: ObjectBaseOptions) {
    this.options = options;
  }

  /** When somebody looked last there was none at all. */
  get isMissing(): boolean {
    return this.found === "none";
  }

  /** Whether a snapshot that is not deleted is there for sure, when these are not. Raises what the store raises. */
  async stays(store: ObjectStore, without = nothing): Promise<boolean> {
    // Without a path each of them may be of a history that a backtrack left.
    return this.options.path() !== undefined && (await this.shows(store, without));
  }

  /** The stores where these may not be deleted now: the object store, if it has no other, or does not answer; else none. */
  async needing(ids: readonly string[]): Promise<ObjectStore[]> {
    const store = this.options.context.objects();
    const without = new Set(ids);
    const isOfUse = this.options.live().some((one) => without.has(one.id) && this.isBase(one));
    if (!store || !isOfUse) return [];
    try {
      return (await this.stays(store, without)) ? [] : [store];
    } catch (error) {
      if (!(error instanceof BorealisError)) throw error;
      return [store];
    }
  }

  /**
   * As Sweep has it: those that were deleted and have to stay for now. Only of the object store. Raises what it raises. All of them:
   * when they were deleted it was forgotten which ones are hurt.
   */
  async spared(store: ObjectStore): Promise<ReadonlySet<string>> {
    if (store !== this.options.context.objects() || (await this.stays(store))) return nothing;
    const { context, deletions } = this.options;
    const spared = new Set<string>();
    for (const id of await snapshotIds(store)) {
      if (!deletions.concerns(id)) continue;
      const one = await this.read(store, id);
      if (one && this.isBase(one)) spared.add(id);
    }
    if (spared.size > 0)
      context.logger.info({ event: "snapshots.spared", store: store.label, spared: [...spared] });
    return spared;
  }

  /** As planArchive, but no log goes while no snapshot is there that is needed. Raises what the store raises. */
  async planArchive(
    store: ObjectStore,
    index: ArchiveIndex,
    needs: Parameters<typeof planArchive>[1],
  ): Promise<ArchivePlan> {
    const plan = planArchive(index, needs);
    if (plan.drop.length === 0 || (await this.stays(store))) return plan;
    return planArchive(index, { ...needs, logFrom: undefined });
  }

  /** Looks what there is; of a store that does not answer it stays what was seen last. */
  async look(): Promise<void> {
    const store = this.options.context.objects();
    if (!store) return;
    try {
      const isThere = await this.shows(store);
      this.found = isThere ? "live" : (await this.spared(store)).size > 0 ? "spared" : "none";
    } catch (error) {
      if (!(error instanceof BorealisError)) throw error;
    }
  }

  /** As `stays`, as far as is known. */
  private async shows(store: ObjectStore, without = nothing): Promise<boolean> {
    const { live, deletions } = this.options;
    const ids = new Set(await liveIn(store, deletions));
    return live().some((one) => ids.has(one.id) && !without.has(one.id) && this.isBase(one));
  }

  /** Those that users take bring their own log: the archive's goes behind the others. Without a path: it may be one. */
  private isBase(one: KnownSnapshot): boolean {
    const path = this.options.path();
    return one.kind !== "manual" && (path === undefined || isOnPath(one, path));
  }

  /** Undefined: it is gone, or of no use. */
  private async read(store: ObjectStore, id: string): Promise<KnownSnapshot | undefined> {
    const { logger, sealer } = this.options.context;
    try {
      return await findSnapshot(store, id, sealer());
    } catch (error) {
      if (!(error instanceof BorealisError) || error.code !== sqlState.dataCorrupted) throw error;
      logger.warn({ event: "snapshot.notRead", snapshot: id }, messageOf(error));
      return undefined;
    }
  }
}
