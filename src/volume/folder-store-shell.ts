import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { type Disk, type Entropy, realDisk, realEntropy, systemCodeOf } from "../io/index.ts";
import { isObjectName } from "./object-names.ts";
import type { ObjectFacts, ObjectStore } from "./object-store-shell.ts";

/** Where puts write before they are whole; nothing in it is an object. */
const draftFolder = "making";
const folderForm = /^(?:|extents|extents\/[0-9a-f]{2}|snapshots|log|log\/[0-9]{16})$/;

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

  put(name: string, bytes: Uint8Array): Promise<void> {
    return this.tell(`put ${name} in`, async () => {
      try {
        await this.write(name, bytes);
      } catch (error) {
        if (systemCodeOf(error) !== "ENOENT") throw error;
        // Somebody removed a folder that was there before.
        this.settled.clear();
        await this.write(name, bytes);
      }
    });
  }

  get(name: string): Promise<Buffer | undefined> {
    return this.tell(`read ${name} from`, () => this.disk.readWhole(this.pathOf(name)));
  }

  has(names: readonly string[]): Promise<ReadonlySet<string>> {
    return this.tell("look into", async () => {
      const found = new Set<string>();
      for (const name of names) if (await this.disk.factsOf(this.pathOf(name))) found.add(name);
      return found;
    });
  }

  list(prefix: string): AsyncIterable<ObjectFacts> {
    return this.listFolder("", prefix);
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

  private async write(name: string, bytes: Uint8Array): Promise<void> {
    const { disk } = this;
    const folder = folderIn(name);
    await this.settle(draftFolder);
    await this.settle(folder);
    const draft = `${this.pathOf(draftFolder)}/${this.entropy.uuid()}`;
    try {
      const file = await disk.open(draft, "create");
      try {
        await file.write(bytes, 0);
        await file.sync();
      } finally {
        await file.close();
      }
      await disk.rename(draft, this.pathOf(name));
    } catch (error) {
      // The failure that counts is the one above; `tidy` takes away what is left.
      await disk.remove(draft).catch(() => undefined);
      throw error;
    }
    await disk.syncFolder(this.pathOf(folder));
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

  private async *listFolder(folder: string, prefix: string): AsyncGenerator<ObjectFacts> {
    const names = await this.tell("list", () => this.disk.list(this.pathOf(folder)));
    for (const entry of names) {
      const name = folder === "" ? entry : `${folder}/${entry}`;
      const inside = `${name}/`;
      if (folderForm.test(name) && (inside.startsWith(prefix) || prefix.startsWith(inside)))
        yield* this.listFolder(name, prefix);
      else if (isObjectName(name) && name.startsWith(prefix)) {
        const facts = await this.tell("list", () => this.disk.factsOf(this.pathOf(name)));
        if (facts) yield { name, sizeBytes: facts.sizeBytes, putAtMs: facts.modifiedAtMs };
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
