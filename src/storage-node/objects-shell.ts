import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { type Disk, type Entropy, type Logger, systemCodeOf } from "../io/index.ts";
import type { ListedObject } from "../quorum/index.ts";
import {
  findTombstoneName,
  FolderStore,
  isObjectName,
  type ObjectDraft,
  type ObjectFile,
} from "../volume/index.ts";
import type { NodeKind } from "./node-config.ts";
import { judgeRead } from "./read-failures.ts";
import { folderOf } from "./state-file-shell.ts";
import type { NodeStorage } from "./storage-shell.ts";

/** So many log files' worth of a disk are the log's: writes wait when log has no room, and snapshots can wait. */
const reservedSegments = 16;
/** A tombstone may take of them: it is what gives room back. */
const smallBytesMax = 4096;

/**
 * The objects of a full node, in `objects/` beside its log; sealed, so that it knows nothing of them but their names. Every
 * verb raises BorealisError: 0A000 (a tail node keeps none), 53100, 58030, XX001.
 */
export class NodeObjects {
  private readonly deps: NodeObjectsDeps;
  private readonly store: FolderStore;
  /** Of puts that are under way, and not on the disk yet. */
  private expectedBytes = 0;
  private expecting: Promise<unknown> = Promise.resolve();
  /** Puts and deletions that are past the point where they could be taken back, by name. */
  private readonly changing = new Map<string, Set<Promise<void>>>();

  constructor(deps: NodeObjectsDeps) {
    this.deps = deps;
    this.store = new FolderStore(folderOf.objects(deps.dir), deps.disk, deps.entropy);
  }

  /** Takes away what puts left behind that the end of this node's former process cut short. */
  async start(): Promise<void> {
    if (this.deps.kind === "tail") return;
    try {
      await this.watch(() => this.store.tidy(Number.MAX_SAFE_INTEGER));
    } catch (error) {
      if (!(error instanceof BorealisError)) throw error;
      // Log does not wait for objects.
      this.deps.logger.warn({ event: "objects.notTidied" }, error.message);
    }
  }

  /** A put of so many bytes, to be written in order, then kept or dropped. */
  draft(name: string, sizeBytes: number): Promise<IncomingObject> {
    return this.watch(async () => {
      await this.require("vouches");
      if (!isObjectName(name))
        throw new BorealisError(sqlState.ioError, `${name} is not the name of an object`);
      await this.deps.storage.requireFolder();
      const isSmall = findTombstoneName(name) !== undefined && sizeBytes <= smallBytesMax;
      const expected = await this.expect(sizeBytes, { reserves: !isSmall });
      try {
        const draft = await this.store.draft();
        return {
          write: async (bytes) => {
            await this.watch(() => draft.write(bytes));
            expected.release(bytes.length);
          },
          keep: (isWanted) => this.keep(draft, name, isWanted),
          drop: () => {
            expected.release(sizeBytes);
            return draft.drop();
          },
        };
      } catch (error) {
        expected.release(sizeBytes);
        throw error;
      }
    });
  }

  /** Undefined: there is no such object. */
  open(name: string): Promise<ObjectFile | undefined> {
    return this.watch(async () => {
      await this.require("gives");
      const file = isObjectName(name) ? await this.store.open(name) : undefined;
      return file && { ...file, read: (into, at) => this.watch(() => file.read(into, at)) };
    });
  }

  has(names: readonly string[]): Promise<ReadonlySet<string>> {
    return this.watch(async () => {
      await this.require("vouches");
      return this.store.has(names.filter(isObjectName));
    });
  }

  /** At most `limit` of them, behind `after`, in the order of names. */
  list(prefix: string, after: string, limit: number): Promise<ListedObject[]> {
    return this.watch(async () => {
      await this.require("gives");
      const found: ListedObject[] = [];
      for await (const one of this.store.list(prefix, after)) {
        found.push(one);
        if (found.length === limit) break;
      }
      return found;
    });
  }

  /** False: nothing was deleted, since nobody wanted it any more when its turn came. */
  delete(names: readonly string[], isWanted: () => boolean): Promise<boolean> {
    return this.watch(async () => {
      await this.require("gives");
      const known = names.filter(isObjectName);
      return this.inTurn(known, isWanted, () => this.store.delete(known));
    });
  }

  tidy(beforeMs: number): Promise<void> {
    return this.watch(async () => {
      await this.require("gives");
      return this.store.tidy(beforeMs);
    });
  }

  private keep(draft: ObjectDraft, name: string, isWanted: () => boolean): Promise<boolean> {
    return this.inTurn([name], isWanted, () =>
      this.watch(async () => {
        await draft.keep(name);
        // Acknowledged only if it lies where the node's log does.
        await this.deps.storage.requireFolder();
      }),
    );
  }

  /**
   * Changes what lies under these names, behind whatever is changing under one of them now: that was asked for before this, and
   * must not come after it. Who waited is asked again whether he is wanted. False: he was not.
   */
  private async inTurn(
    names: readonly string[],
    isWanted: () => boolean,
    change: () => Promise<void>,
  ): Promise<boolean> {
    for (let before = this.changesOf(names); before.length > 0; before = this.changesOf(names))
      await Promise.allSettled(before);
    if (!isWanted()) return false;
    const changed = change();
    for (const name of names)
      this.changing.set(name, (this.changing.get(name) ?? new Set()).add(changed));
    try {
      await changed;
    } finally {
      for (const name of names) {
        const others = this.changing.get(name);
        others?.delete(changed);
        if (others?.size === 0) this.changing.delete(name);
      }
    }
    return true;
  }

  private changesOf(names: readonly string[]): Promise<void>[] {
    return names.flatMap((name) => [...(this.changing.get(name) ?? [])]);
  }

  /**
   * `gives`: what it has, to a reader who checks it. `vouches`: takes an object, or says that it has one, which somebody will
   * rely on; not while its disk is known to lose bytes.
   */
  private async require(how: "gives" | "vouches"): Promise<void> {
    const { kind, name, storage, admit } = this.deps;
    await admit?.();
    if (kind === "tail") {
      const why = `${name} is a tail node, which keeps log only`;
      throw new BorealisError(sqlState.notSupported, why);
    }
    const { health } = storage;
    if (health === "failed")
      throw new BorealisError(sqlState.ioError, `the disk of ${name} failed`);
    if (health === "damaged" && how === "vouches") {
      const why = `${name} has lost log to a damaged disk, and takes no objects before it has healed`;
      throw new BorealisError(sqlState.ioError, why);
    }
  }

  /** Room for so many bytes is this put's until it releases it. Raises 53100. */
  private expect(
    sizeBytes: number,
    { reserves }: { readonly reserves: boolean },
  ): Promise<{ release(bytes: number): void }> {
    // One at a time: two must not find the same room.
    const expected = this.expecting.then(async () => {
      const { disk, dir, name, segmentBytes } = this.deps;
      const reservedBytes = reserves ? reservedSegments * segmentBytes : 0;
      // What is written while the disk is asked counts twice: that errs on the log's side.
      const takenBytes = this.expectedBytes;
      const freeBytes = (await disk.freeBytes(dir)) - takenBytes;
      if (freeBytes >= sizeBytes + reservedBytes) return this.reserve(sizeBytes);
      const why = `an object of ${sizeBytes} bytes would take the log's room from ${name}: ${freeBytes} bytes are free, and ${reservedBytes} are kept for log`;
      throw new BorealisError(sqlState.diskFull, why);
    });
    this.expecting = expected.catch(() => undefined);
    return expected;
  }

  private reserve(sizeBytes: number): { release(bytes: number): void } {
    this.expectedBytes += sizeBytes;
    let leftBytes = sizeBytes;
    return {
      release: (bytes) => {
        const released = Math.min(bytes, leftBytes);
        leftBytes -= released;
        this.expectedBytes -= released;
      },
    };
  }

  /** What fails because the disk does ends the node, as for log (section 15, M32). */
  private async watch<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const cause = error instanceof BorealisError ? (error.cause ?? error) : error;
      const code = systemCodeOf(cause);
      if (judgeRead(cause, code).kind === "disk") this.deps.storage.fail(cause);
      if (error instanceof BorealisError || code === undefined) throw error;
      throw new BorealisError(sqlState.ioError, messageOf(error), { cause });
    }
  }
}

/** An object on its way to the disk. */
export interface IncomingObject extends Omit<ObjectDraft, "keep"> {
  /** False: it was not kept, since nobody wanted it any more when its turn came. */
  keep(isWanted: () => boolean): Promise<boolean>;
}

export interface NodeObjectsDeps {
  readonly name: string;
  /** `full` unless told. */
  readonly kind?: NodeKind;
  readonly dir: string;
  readonly segmentBytes: number;
  readonly disk: Disk;
  readonly entropy: Pick<Entropy, "uuid">;
  readonly logger: Logger;
  readonly storage: Pick<NodeStorage, "health" | "fail" | "requireFolder">;
  /** Before each request: raises if it is refused. */
  readonly admit?: () => Promise<void>;
}
