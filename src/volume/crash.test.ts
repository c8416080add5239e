/** Snapshots in a folder whose process is killed, or whose machine loses power, between any two steps. */
import { randomUUID } from "node:crypto";
import { describe, expect, it } from "vitest";
import { snapshotFacts } from "../../test/helpers/snapshot-object.ts";
import { volumeId } from "../base/ids.ts";
import { type Rng, seededRng } from "../base/rng.ts";
import type { Disk, DiskFile, FileFacts } from "../io/index.ts";
import {
  buildManifest,
  collectExtents,
  deleteSnapshot,
  Deletions,
  extentObject,
  extentPrefix,
  ExtentSealer,
  ExtentUpload,
  findExtentId,
  findSnapshot,
  FolderStore,
  publishSnapshot,
  SnapshotCutter,
  type SnapshotManifest,
  snapshotIds,
  withDeflate,
} from "./index.ts";

class Killed extends Error {}

interface Inode {
  bytes: Buffer;
  durable: Buffer;
  modifiedAtMs: number;
}

const parentOf = (path: string): string => path.slice(0, path.lastIndexOf("/")) || "/";
const noEntry = (): Error => Object.assign(new Error("no such file"), { code: "ENOENT" });

/** Files and folders in memory. What is not synced may be lost with the power, each entry and each file by itself. */
class MemoryDisk implements Disk {
  nowMs = 0;
  /** Counts what changes something; at this one the process dies. */
  steps = 0;
  killAt = Number.POSITIVE_INFINITY;
  private seen = new Map<string, Inode | "folder">([["/", "folder"]]);
  private durable = new Map<string, Inode | "folder">([["/", "folder"]]);

  powerOff(rng: Rng): void {
    for (const path of new Set([...this.seen.keys(), ...this.durable.keys()])) {
      const [now, before] = [this.seen.get(path), this.durable.get(path)];
      const kept = now === before || rng.below(2) === 0 ? before : now;
      if (kept) this.seen.set(path, kept);
      else this.seen.delete(path);
    }
    for (const [path, entry] of this.seen) {
      if (path !== "/" && this.seen.get(parentOf(path)) !== "folder") this.seen.delete(path);
      else if (entry !== "folder") {
        const length = rng.below(2) === 0 ? entry.bytes.length : rng.below(entry.bytes.length + 1);
        if (!entry.durable.equals(entry.bytes)) entry.bytes = entry.bytes.subarray(0, length);
        entry.durable = entry.bytes;
      }
    }
    this.durable = new Map(this.seen);
  }

  async open(path: string): Promise<DiskFile> {
    this.step();
    if (this.seen.get(parentOf(path)) !== "folder") throw noEntry();
    expect(this.seen.has(path)).toBe(false);
    const empty = Buffer.alloc(0);
    const inode: Inode = { bytes: empty, durable: empty, modifiedAtMs: this.nowMs };
    this.seen.set(path, inode);
    const unused = (): never => {
      throw new Error("not used here");
    };
    return {
      path,
      fd: 0,
      read: unused,
      truncate: unused,
      facts: unused,
      write: async (bytes, at) => {
        this.step();
        inode.bytes = Buffer.concat([inode.bytes.subarray(0, at), bytes]);
        inode.modifiedAtMs = this.nowMs;
      },
      sync: async () => {
        this.step();
        inode.durable = inode.bytes;
      },
      close: async () => {},
    };
  }
  async createFolder(path: string): Promise<void> {
    this.step();
    for (let at = path; !this.seen.has(at); at = parentOf(at)) this.seen.set(at, "folder");
  }
  async list(path: string): Promise<string[]> {
    const names = [...this.seen.keys()].filter((one) => one !== "/" && parentOf(one) === path);
    return names.map((one) => one.slice(one.lastIndexOf("/") + 1)).toSorted();
  }
  async readWhole(path: string): Promise<Buffer | undefined> {
    const entry = this.seen.get(path);
    return entry === "folder" ? undefined : entry?.bytes;
  }
  async factsOf(path: string): Promise<FileFacts | undefined> {
    const entry = this.seen.get(path);
    if (!entry) return undefined;
    if (entry === "folder") return { sizeBytes: 0, inode: 0n, links: 2, modifiedAtMs: 0 };
    const { bytes, modifiedAtMs } = entry;
    return { sizeBytes: bytes.length, inode: 0n, links: 1, modifiedAtMs };
  }
  async remove(path: string): Promise<void> {
    this.step();
    this.seen.delete(path);
  }
  async rename(from: string, to: string): Promise<void> {
    this.step();
    const entry = this.seen.get(from);
    if (!entry || this.seen.get(parentOf(to)) !== "folder") throw noEntry();
    this.seen.delete(from);
    this.seen.set(to, entry);
  }
  async syncFolder(path: string): Promise<void> {
    this.step();
    if (this.seen.get(path) !== "folder") throw noEntry();
    for (const one of new Set([...this.seen.keys(), ...this.durable.keys()])) {
      if (parentOf(one) !== path || one === "/") continue;
      const entry = this.seen.get(one);
      if (entry) this.durable.set(one, entry);
      else this.durable.delete(one);
    }
  }
  removeFolder(): Promise<void> {
    throw new Error("not used here");
  }
  link(): Promise<void> {
    throw new Error("not used here");
  }
  freeBytes(): Promise<number> {
    throw new Error("not used here");
  }

  private step(): void {
    if (++this.steps >= this.killAt) throw new Killed();
  }
}

const volume = volumeId("11111111-2222-3333-4444-555555555555");
const sealer = new ExtentSealer({ volumeId: volume, keys: undefined, compression: withDeflate });
const { signal } = new AbortController();
const graceMs = 1000;
const isSafe = (stores: readonly unknown[]): boolean => stores.length === 1;
const entropy = { uuid: () => randomUUID() };

async function take(
  store: FolderStore,
  id: string,
  files: ReadonlyMap<string, Buffer>,
  previous?: SnapshotManifest,
): Promise<SnapshotManifest> {
  const cutter = new SnapshotCutter({ address: sealer.idOf, previous, isIncremental: false });
  const upload = new ExtentUpload({ sealer, store, parallel: 1 });
  for (const [name, bytes] of files) {
    cutter.beginFile(name, bytes.length);
    cutter.bytes(bytes);
    cutter.endFile();
    await upload.add(cutter.takeReady());
  }
  const cut = cutter.finish();
  await upload.add(cutter.takeReady());
  await upload.finish();
  const facts = snapshotFacts(id, sealer.addressing);
  const manifest = buildManifest({ facts, cut, previous, put: upload.sizes });
  await publishSnapshot({ manifest, sealer, stores: [store], isSafe, signal });
  return manifest;
}

const mib = 1 << 20;
const big = Buffer.alloc(mib, "big and the same");
const tree = (n: number): Map<string, Buffer> =>
  new Map([
    ["base/1", big],
    ["base/2", Buffer.alloc(5000, `new in ${n}`)],
    ["global/pg_control", Buffer.from(`control ${n}`)],
  ]);

/** Two snapshots, the first one deleted, what it left collected, a third one. Gives what was promised to be there. */
async function life(disk: MemoryDisk, done: Set<string>): Promise<void> {
  const store = new FolderStore("/objects", disk, entropy);
  const collect = () => collectExtents(store, { sealer, nowMs: disk.nowMs, graceMs, signal });
  const first = await take(store, "one", tree(1));
  done.add("one");
  const second = await take(store, "two", tree(2), first);
  done.add("two");
  disk.nowMs += 10 * graceMs;
  done.delete("one");
  await deleteSnapshot({
    id: "one",
    stores: [store],
    deletions: new Deletions(),
    sealer,
    nowMs: disk.nowMs,
  });
  const { deleted } = await collect();
  expect(deleted).toBeGreaterThan(0);
  await take(store, "three", tree(3), second);
  done.add("three");
}

/** Every snapshot is whole; after a collection nothing else is left. */
async function checkAfter(disk: MemoryDisk, promised: ReadonlySet<string>): Promise<void> {
  const store = new FolderStore("/objects", disk, entropy);
  const ids = await snapshotIds(store);
  for (const id of promised) expect(ids).toContain(id);
  const named = new Set<string>();
  for (const id of ids) {
    const manifest = await findSnapshot(store, id, sealer);
    for (const extent of manifest?.extents.keys() ?? []) {
      named.add(extent);
      const sealed = await store.get(extentObject(extent));
      if (!sealed) throw new Error(`${id} names ${extent}, which is missing`);
      await sealer.openExtent(extent, sealed);
    }
  }
  disk.nowMs += 10 * graceMs;
  await collectExtents(store, { sealer, nowMs: disk.nowMs, graceMs, signal });
  const left = new Set<string>();
  for await (const { name } of store.list(extentPrefix)) left.add(findExtentId(name) ?? name);
  expect(left).toEqual(named);
  expect(await disk.list("/objects/making")).toEqual([]);
}

async function stepsOfLife(): Promise<number> {
  const disk = new MemoryDisk();
  const done = new Set<string>();
  await life(disk, done);
  const { steps } = disk;
  await checkAfter(disk, done);
  return steps;
}

describe.each([
  ["killed", undefined],
  ["without power", 1],
  ["without power, again", 2],
])("a store that is %s between any two steps", (_how, seed) => {
  it("misses no extent of a snapshot, and leaks none", async () => {
    const steps = await stepsOfLife();
    expect(steps).toBeGreaterThan(50);
    for (let killAt = 1; killAt <= steps; killAt++) {
      const disk = new MemoryDisk();
      disk.killAt = killAt;
      const done = new Set<string>();
      const ended = await life(disk, done).then(
        () => "whole",
        (error: unknown) => {
          if (!(error instanceof Killed)) throw error;
          return "killed";
        },
      );
      expect(ended, `step ${killAt}`).toBe("killed");
      disk.killAt = Number.POSITIVE_INFINITY;
      if (seed !== undefined) disk.powerOff(seededRng(seed * 1000 + killAt));
      await checkAfter(disk, done);
      // And life goes on in what is left.
      await take(new FolderStore("/objects", disk, entropy), "four", tree(4));
      await checkAfter(disk, new Set([...done, "four"]));
    }
  }, 120_000);
});
