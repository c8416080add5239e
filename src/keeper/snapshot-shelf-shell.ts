import { BorealisError, messageOf } from "../base/errors.ts";
import {
  type Deletions,
  type ExtentSealer,
  type LiveSnapshots,
  liveSnapshots,
  type ObjectStore,
  readSnapshot,
  type Replicas,
  type SnapshotManifest,
} from "../volume/index.ts";
import type { ListedSnapshot, SnapshotRow } from "./messages.ts";
import type { KnownSnapshot } from "./snapshot-retention.ts";
import { oldestFirst, rowOf, unreadRowOf } from "./snapshot-rows.ts";

interface Shelved {
  readonly facts: KnownSnapshot;
  readonly row: SnapshotRow;
}

export interface ShelfStores {
  readonly stores: readonly ObjectStore[];
  readonly replicas: Replicas;
  readonly sealer: ExtentSealer;
  readonly deletions: Deletions;
  /** Whether what is kept is in these: then those that do not answer add nothing that counts. */
  readonly isSafe: (stores: readonly ObjectStore[]) => boolean;
}

/**
 * What the keeper knows of the snapshots that exist, without their manifests, which may be large. The stores are the truth:
 * each `look` takes in what came and went there.
 */
export class SnapshotShelf {
  private readonly known = new Map<string, Shelved>();
  /** There, and not readable: why. */
  private readonly unread = new Map<string, BorealisError>();

  private didLook = false;

  /** Whether it knows what the stores have. */
  get hasLooked(): boolean {
    return this.didLook;
  }

  get facts(): KnownSnapshot[] {
    return [...this.known.values()].map(({ facts }) => facts);
  }

  get count(): number {
    return this.known.size + this.unread.size;
  }

  /** Oldest first, also those that cannot be read: whoever has lost much is told what there was. */
  get rows(): ListedSnapshot[] {
    const unread = [...this.unread].map(([id, error]) => unreadRowOf(id, error));
    const known = [...this.known.values()].map(({ row }) => ({ ...row, problem: null }));
    return oldestFirst([...known, ...unread]);
  }

  /** When the newest one was taken, of those that are meant. */
  newestTime(isMeant: (kind: SnapshotRow["kind"]) => boolean = () => true): string | undefined {
    let newest: string | undefined;
    for (const { row } of this.known.values())
      if (isMeant(row.kind) && (newest === undefined || row.takenAt > newest)) newest = row.takenAt;
    return newest;
  }

  /** Snapshots that nobody can judge: neither they nor any log may go. */
  get unreadable(): ReadonlyMap<string, BorealisError> {
    return this.unread;
  }

  has(id: string): boolean {
    return this.known.has(id) || this.unread.has(id);
  }

  /**
   * Gives the stores that could not be listed: what only these show seems not to be there. Raises why if the others are too few; a
   * manifest that cannot be read becomes an unreadable one.
   */
  async look(shelf: ShelfStores): Promise<LiveSnapshots["failures"]> {
    const { replicas, sealer, deletions } = shelf;
    const { ids: there, failures } = await listIn(shelf);
    for (const id of [...this.known.keys(), ...this.unread.keys()])
      if (!there.has(id)) this.remove(id);
    for (const id of there.keys()) {
      // It may be another one of that id.
      if (this.known.has(id) && !deletions.concerns(id)) continue;
      try {
        this.add(await readSnapshot(replicas, id, sealer, deletions));
      } catch (error) {
        if (!(error instanceof BorealisError)) throw error;
        this.known.delete(id);
        this.unread.set(id, error);
      }
    }
    this.didLook = true;
    return failures;
  }

  add(manifest: SnapshotManifest): void {
    const { id, kind, startLsn, endLsn, takenAtMs, history } = manifest;
    this.unread.delete(id);
    const facts = { id, kind, startLsn, endLsn, takenAtMs, history };
    this.known.set(id, { facts, row: rowOf(manifest) });
  }

  remove(id: string): void {
    this.known.delete(id);
    this.unread.delete(id);
  }

  /** For people: the first one that cannot be read. Undefined: all can. */
  get problem(): string | undefined {
    for (const [id, error] of this.unread)
      return `snapshot ${id} cannot be read: ${messageOf(error)}`;
    return undefined;
  }
}

async function listIn({ stores, deletions, isSafe }: ShelfStores): Promise<LiveSnapshots> {
  const live = await liveSnapshots(stores, deletions);
  const [failure] = live.failures.values();
  if (failure && !isSafe(stores.filter((store) => !live.failures.has(store)))) throw failure;
  return live;
}
