import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import {
  type Disk,
  type DiskFile,
  type Entropy,
  realDisk,
  realEntropy,
  systemCodeOf,
} from "../io/index.ts";
import { isObjectName } from "./object-names.ts";
import type { ObjectFacts, ObjectStore, Relative } from "./object-store-shell.ts";

/** Where puts write before they are whole; nothing in it is an object. */
const draftFolder = "making";
/** Gone meanwhile, another file system, one without further names, more names than a file may have. */
const isFull = new Set(["ENOSPC", "EDQUOT"]);
const folderForm = /^(?:|extents|extents\/[0-9a-f]{2}|snapshots|deleted|log|log\/[0-9]{16})$/;

/** An object that comes in pieces: nothing is seen of it before it is kept. One verb at a time; all raise as `put` does. */
export interface ObjectDraft {
  /** Behind what was written before. */
  write(bytes: Uint8Array): Promise<void>;
  /** Whole from now on, under this name; durable when it resolves. */
  keep(name: string): Promise<void>;
  /** Forgets it; what cannot be removed now, `tidy` takes away. */
  drop(): Promise<void>;
}

/** An object to be read in pieces; it stays what it was though another is put under its name. */
export interface ObjectFile {
  readonly sizeBytes: number;
  /** Fills `into` from `at` on; fewer bytes than asked for only at the end. Raises as `get` does. */
  read(into: Uint8Array, at: number): Promise<number>;
  close(): Promise<void>;
}

/**
 * Objects as files of a folder. A put writes a draft, syncs it, renames it, and syncs the folders: it is seen whole or not
 * at all, by whoever else uses the folder too.
 */
export class FolderStore implements ObjectStore {
  readonly label: string;
  private readonly root: string;
  private readonly disk: Disk;
  private readonly entropy: Pick<Entropy, "uuid">;
  /** Folders that are there for good: made and synced, or found. */
  private readonly settled = new Set<string>();

  constructor(root: string, disk: Disk = realDisk, entropy: Pick<Entropy, "uuid"> = realEntropy) {
    this.label = `the folder ${root}`;
    this.root = root.replace(/(?<=.)\/+$/, "");
    this.disk = disk;
    this.entropy = entropy;
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    const draft = await this.draft();
    try {
      await draft.write(bytes);
      await draft.keep(name);
    } catch (error) {
      // The failure that counts is the one above; `tidy` takes away what is left.
      await draft.drop();
      throw error;
    }
  }

  get(name: string): Promise<Buffer | undefined> {
    return this.tell(`read ${name} from`, () => this.disk.readWhole(this.pathOf(name)));
  }

  /** For objects that should not be in memory whole. */
  async draft(): Promise<ObjectDraft> {
    const what = "put an object in";
    const path = `${this.pathOf(draftFolder)}/${this.entropy.uuid()}`;
    const file = await this.tell(what, () => this.create(path));
    let writtenBytes = 0;
    return {
      write: (bytes) =>
        this.tell(what, async () => {
          await file.write(bytes, writtenBytes);
          writtenBytes += bytes.length;
        }),
      keep: (name) =>
        this.tell(`put ${name} in`, async () => {
          await file.sync();
          await file.close();
          await this.publish(path, name);
        }),
      drop: async () => {
        await file.close().catch(() => undefined);
        await this.disk.remove(path).catch(() => undefined);
      },
    };
  }

  /** Undefined: there is no such object. */
  open(name: string): Promise<ObjectFile | undefined> {
    const what = `read ${name} from`;
    return this.tell(what, async () => {
      const file = await this.openIfThere(this.pathOf(name));
      if (!file) return undefined;
      const { sizeBytes } = await file.facts();
      return {
        sizeBytes,
        read: (into, at) => this.tell(what, () => file.read(into, at)),
        close: () => this.tell(what, () => file.close()),
      };
    });
  }

  has(names: readonly string[]): Promise<ReadonlySet<string>> {
    return this.tell("look into", async () => {
      const found = new Set<string>();
      for (const name of names) if (await this.disk.factsOf(this.pathOf(name))) found.add(name);
      return found;
    });
  }

  /** As ObjectStore says; only those behind the name `after`, without looking at the others. */
  list(prefix: string, after = ""): AsyncIterable<ObjectFacts> {
    return this.listFolder("", prefix, after);
  }

  delete(names: readonly string[]): Promise<void> {
    return this.tell("delete from", async () => {
      const folders = new Set<string>();
      for (const name of names) {
        await this.disk.remove(this.pathOf(name));
        folders.add(folderIn(name));
      }
      // A manifest that came back with the power would name extents that have been collected since.
      for (const folder of folders)
        if (this.settled.has(folder) || (await this.disk.factsOf(this.pathOf(folder))))
          await this.disk.syncFolder(this.pathOf(folder));
    });
  }

  /** Further names of the same files: they take no room, and nothing is ever written to them. */
  copyFrom(relative: Relative, names: readonly string[]): Promise<ReadonlySet<string>> {
    const { store: from, putBeforeMs = Number.POSITIVE_INFINITY } = relative;
    return this.tell("share objects with", async () => {
      const shared = new Set<string>();
      if (!(from instanceof FolderStore)) return shared;
      for (const name of names) if (await this.share(from, name, putBeforeMs)) shared.add(name);
      for (const folder of new Set([...shared].map(folderIn)))
        await this.disk.syncFolder(this.pathOf(folder));
      return shared;
    });
  }

  tidy(beforeMs: number): Promise<void> {
    return this.tell("tidy", async () => {
      const folder = this.pathOf(draftFolder);
      for (const name of await this.disk.list(folder)) {
        const path = `${folder}/${name}`;
        const facts = await this.disk.factsOf(path);
        if (facts && facts.modifiedAtMs < beforeMs) await this.disk.remove(path);
      }
    });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  private create(path: string): Promise<DiskFile> {
    return this.inFolder(draftFolder, () => this.disk.open(path, "create"));
  }

  private async publish(draft: string, name: string): Promise<void> {
    const folder = folderIn(name);
    await this.inFolder(folder, () => this.disk.rename(draft, this.pathOf(name)));
    await this.disk.syncFolder(this.pathOf(folder));
  }

  private async share(from: FolderStore, name: string, putBeforeMs: number): Promise<boolean> {
    const source = from.pathOf(name);
    try {
      const facts = await this.disk.factsOf(source);
      if (!facts || facts.modifiedAtMs > putBeforeMs) return false;
      await this.inFolder(folderIn(name), () => this.disk.link(source, this.pathOf(name)));
      return true;
    } catch (error) {
      const code = systemCodeOf(error);
      if (code === undefined || isFull.has(code)) throw error;
      // It would only have saved bytes: a put that follows says what is wrong here.
      return code === "EEXIST";
    }
  }

  /** Once more with new folders if somebody has removed those that were there before. */
  private async inFolder<T>(folder: string, act: () => Promise<T>): Promise<T> {
    try {
      await this.settle(folder);
      return await act();
    } catch (error) {
      if (systemCodeOf(error) !== "ENOENT") throw error;
      this.settled.clear();
      await this.settle(folder);
      return await act();
    }
  }

  private async openIfThere(path: string): Promise<DiskFile | undefined> {
    try {
      return await this.disk.open(path, "read");
    } catch (error) {
      if (systemCodeOf(error) === "ENOENT") return undefined;
      throw error;
    }
  }

  /** Makes a folder and those above it, for good. */
  private async settle(folder: string): Promise<void> {
    if (this.settled.has(folder)) return;
    await this.disk.createFolder(this.pathOf(folder));
    if (folder === "") await this.disk.syncFolder(parentOf(this.root));
    else {
      const above = folderIn(folder);
      await this.settle(above);
      await this.disk.syncFolder(this.pathOf(above));
    }
    this.settled.add(folder);
  }

  private async *listFolder(
    folder: string,
    prefix: string,
    after: string,
  ): AsyncGenerator<ObjectFacts> {
    const names = await this.tell("list", () => this.disk.list(this.pathOf(folder)));
    for (const entry of names) {
      const name = folder === "" ? entry : `${folder}/${entry}`;
      const inside = `${name}/`;
      if (folderForm.test(name) && (inside.startsWith(prefix) || prefix.startsWith(inside))) {
        // A folder that lies before `after` and does not hold it has nothing behind it.
        if (inside > after || after.startsWith(inside)) yield* this.listFolder(name, prefix, after);
      } else if (name > after && isObjectName(name) && name.startsWith(prefix)) {
        const facts = await this.tell("list", () => this.disk.factsOf(this.pathOf(name)));
        if (!facts) continue;
        const { sizeBytes, modifiedAtMs: putAtMs, links } = facts;
        // Clones share objects by giving their files further names.
        yield { name, sizeBytes, putAtMs, isShared: links > 1 };
      }
    }
  }

  private pathOf(name: string): string {
    return name === "" ? this.root : `${this.root}/${name}`;
  }

  private async tell<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      const code = systemCodeOf(cause);
      if (code === undefined || cause instanceof BorealisError) throw cause;
      const isFull = code === "ENOSPC" || code === "EDQUOT";
      throw new BorealisError(
        isFull ? sqlState.diskFull : sqlState.ioError,
        `cannot ${what} ${this.label}: ${messageOf(cause)}`,
        {
          hint: isFull
            ? "free some space there, or delete snapshots that nobody needs"
            : "see to it that the folder is there and that this user may write to it",
          cause,
        },
      );
    }
  }
}

function folderIn(name: string): string {
  return name.slice(0, Math.max(0, name.lastIndexOf("/")));
}

function parentOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash > 0 ? path.slice(0, slash) : slash === 0 ? "/" : ".";
}
