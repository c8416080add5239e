/** A clone's node over its parent's files, on a real disk: it reads them, writes its own, and leaves the parent's future alone. */
import { randomBytes, randomUUID } from "node:crypto";
import {
  linkSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { epoch, nodeId, timeline, volumeId } from "../src/base/ids.ts";
import { advance, bytesBetween, type Lsn, lsn } from "../src/base/lsn.ts";
import { realDisk, realEntropy } from "../src/io/index.ts";
import { type History, memberSet, type Pin } from "../src/quorum/index.ts";
import {
  formatStorageNode,
  holdsLeftLog,
  judgeFolder,
  logFilesOf,
  makeCloneNode,
  pinnedFiles,
} from "../src/storage-node/index.ts";
import { findFrames } from "../src/storage-node/frame-scan.ts";
import { NodeStorage } from "../src/storage-node/storage-shell.ts";

const base = lsn(0x100_0000n);
const segmentBytes = 2 * 1024 * 1024;
const keys = { current: 1, keys: new Map([[1, randomBytes(32)]]), acceptsPlain: false };

let folder = "";
let opened: NodeStorage[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "borealis-clone-"));
});
afterEach(async () => {
  for (const storage of opened.splice(0)) await storage.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Ids {
  readonly volumeId: ReturnType<typeof volumeId>;
  readonly nodeId: ReturnType<typeof nodeId>;
}
const newIds = (): Ids => ({ volumeId: volumeId(randomUUID()), nodeId: nodeId(randomUUID()) });

async function open(name: string): Promise<NodeStorage> {
  const cipher = { keys, entropy: realEntropy };
  const dir = join(folder, name);
  const storage = await NodeStorage.open({ disk: realDisk, dir, segmentBytes, cipher });
  opened.push(storage);
  return storage;
}

async function close(storage: NodeStorage): Promise<void> {
  opened = opened.filter((one) => one !== storage);
  await storage.close();
}

/** What everybody's log holds at an LSN, but for the owner's own mark. */
function bytesOf(mark: string, from: Lsn, length: number): Buffer {
  const text = Buffer.alloc(length);
  for (let i = 0; i < length; i++) text[i] = Number((from + BigInt(i)) % 251n);
  text.write(mark, 0);
  return text;
}

async function write(storage: NodeStorage, of: number, mark: string, count = 1): Promise<void> {
  for (let i = 0; i < count; i++) {
    const { scl } = storage.log;
    const payload = bytesOf(mark, scl, 300_000);
    await storage.write({ epoch: epoch(of), timeline: timeline(1), payload }, scl);
  }
}

async function read(storage: NodeStorage, from: Lsn, to: Lsn): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for (let at = from; at < to;) {
    const runs = await storage.log.read({ from: at, to, limitBytes: 1 << 20 });
    pieces.push(...runs.map((run) => run.bytes));
    at = advance(
      at,
      runs.reduce((sum, run) => sum + run.bytes.length, 0),
    );
  }
  return Buffer.concat(pieces);
}

const entry = (of: number, start: Lsn): History[number] => {
  return { epoch: epoch(of), timeline: timeline(1), start, kind: "branch" };
};
const path: History = [entry(1, base)];

async function aParent(name: string): Promise<{ storage: NodeStorage; ids: Ids }> {
  const ids = newIds();
  await formatStorageNode(join(folder, name), { ...ids, base });
  return { storage: await open(name), ids };
}

/** Keeps everything up to `to`, as the node's acceptor would have it done. */
async function pin(storage: NodeStorage, to: Lsn): Promise<Pin> {
  const made: Pin = { pinId: randomUUID(), path, from: storage.log.base, to };
  const state = storage.acceptorState;
  await storage.persist({ ...state, pins: [...state.pins, made] });
  const { from } = made;
  await storage.kept.linkPin(made, { from, to }, storage.log.sourcesOf(from, to));
  return made;
}

async function cloneOf(
  name: string,
  {
    from,
    parentIds,
    pin: pinned,
    first,
  }: { from: string; parentIds: Ids; pin: Pin; first: number },
): Promise<Ids> {
  const ids = newIds();
  const source = await pinnedFiles(join(folder, from), pinned);
  expect(source.kind).toBe("files");
  await makeCloneNode({
    dir: join(folder, name),
    nodeId: ids.nodeId,
    birth: {
      volumeId: ids.volumeId,
      members: memberSet([{ nodeId: ids.nodeId, az: "az1", kind: "full" }]),
      path: pinned.path,
      parentVolume: parentIds.volumeId,
      from: pinned.from,
      branch: pinned.to,
      epoch: epoch(first),
    },
    source,
    take: (old, next) => Promise.resolve(linkSync(old, next)),
  });
  return ids;
}

const logOf = (name: string): string => join(folder, name, "log");

describe("a clone's node", () => {
  it("has its parent's log up to the branch, in the same files, and writes files of its own", async () => {
    const { storage: parent, ids } = await aParent("p");
    await write(parent, 1, "shared", 12);
    const branch = advance(parent.log.scl, -1_000);
    const pinned = await pin(parent, branch);
    const own = await cloneOf("c", { from: "p", parentIds: ids, pin: pinned, first: 2 });
    const shared = readdirSync(logOf("c"));
    for (const name of shared) expect(statSync(join(logOf("c"), name)).nlink).toBe(3);
    expect(await judgeFolder(join(folder, "c"), own)).toBe("ok");
    let clone = await open("c");
    expect(clone.health).toBe("ok");
    expect(clone.log.scl).toBe(branch);
    expect(clone.acceptorState).toMatchObject({ promised: 2, accepted: 2, base });
    const before = await read(parent, base, branch);
    expect((await read(clone, base, branch)).equals(before)).toBe(true);
    // The parent goes on in the file that both have; the clone does not.
    await write(parent, 1, "parent", 8);
    await write(clone, 3, "clone", 8);
    const end = clone.log.scl;
    await close(clone);
    clone = await open("c");
    expect([clone.health, clone.log.scl]).toEqual(["ok", end]);
    expect((await read(clone, base, branch)).equals(before)).toBe(true);
    expect((await read(clone, branch, end)).subarray(0, 5).toString()).toBe("clone");
    expect((await read(parent, base, branch)).equals(before)).toBe(true);
    await close(parent);
    rmSync(join(folder, "p"), { recursive: true });
    expect((await read(clone, base, branch)).equals(before)).toBe(true);
  });

  it("may be cloned itself, and the middle one may go", async () => {
    const { storage: parent, ids } = await aParent("p");
    await write(parent, 1, "shared", 9);
    const pinned = await pin(parent, parent.log.scl);
    const middleIds = await cloneOf("m", { from: "p", parentIds: ids, pin: pinned, first: 2 });
    const middle = await open("m");
    await write(middle, 3, "middle", 9);
    const whole = await read(middle, base, middle.log.scl);
    const inherited = [...path, entry(3, pinned.to)];
    const second = { ...(await pin(middle, middle.log.scl)), path: inherited };
    await cloneOf("c", { from: "m", parentIds: middleIds, pin: second, first: 4 });
    const early = await pin(middle, advance(base, 700_000));
    await cloneOf("e", { from: "m", parentIds: middleIds, pin: early, first: 4 });
    await close(middle);
    await close(parent);
    for (const name of ["p", "m"]) rmSync(join(folder, name), { recursive: true });
    const clone = await open("c");
    expect((await read(clone, base, clone.log.scl)).equals(whole)).toBe(true);
    const old = await open("e");
    expect(old.log.scl).toBe(early.to);
    const length = bytesBetween(base, early.to);
    expect((await read(old, base, early.to)).equals(whole.subarray(0, length))).toBe(true);
    await write(old, 5, "early", 3);
    expect((await open("e")).log.scl).toBe(old.log.scl);
  });

  it("takes no byte of its parent's future for its own, though that has the same epoch", async () => {
    const { storage: parent, ids } = await aParent("p");
    await write(parent, 1, "shared", 2);
    const pinned = await pin(parent, parent.log.scl);
    await cloneOf("c", { from: "p", parentIds: ids, pin: pinned, first: 2 });
    // Both go on as epoch 3; the parent in the shared file.
    await write(parent, 3, "parent", 2);
    let clone = await open("c");
    const history = [...path, entry(3, pinned.to)];
    await clone.persist({
      ...clone.acceptorState,
      promised: epoch(3),
      accepted: epoch(3),
      history,
    });
    await write(clone, 3, "clone", 2);
    const end = clone.log.scl;
    await close(clone);
    // The clone's own first file rots: what behind it is missing cannot be anywhere else on this disk.
    const own = readdirSync(logOf("c")).find((name) => {
      return statSync(join(logOf("c"), name)).nlink === 1;
    });
    const file = join(logOf("c"), own ?? "");
    const bytes = readFileSync(file);
    const [frame] = findFrames(bytes);
    bytes.write("rot", (frame?.at ?? 0) + 200);
    writeFileSync(file, bytes);
    clone = await open("c");
    expect(clone.health).toBe("damaged");
    expect(clone.log.scl).toBe(pinned.to);
    expect(clone.log.scl < end).toBe(true);
  });

  it("spoils nothing of its parent's future when its own log is condemned", async () => {
    const { storage: parent, ids } = await aParent("p");
    await write(parent, 1, "shared", 2);
    const pinned = await pin(parent, parent.log.scl);
    await cloneOf("c", { from: "p", parentIds: ids, pin: pinned, first: 2 });
    await write(parent, 1, "parent", 2);
    const future = await read(parent, pinned.to, parent.log.scl);
    const clone = await open("c");
    await write(clone, 3, "clone", 2);
    await clone.log.condemn(advance(pinned.to, -1), clone.log.scl);
    await expect(read(clone, pinned.to, clone.log.scl)).rejects.toThrow();
    expect((await read(parent, pinned.to, parent.log.scl)).equals(future)).toBe(true);
  });

  it("opens no file of a node that is not its ancestor", async () => {
    const { storage: parent, ids } = await aParent("p");
    await write(parent, 1, "shared", 2);
    const pinned = await pin(parent, parent.log.scl);
    await cloneOf("c", { from: "p", parentIds: ids, pin: pinned, first: 2 });
    const { storage: stranger } = await aParent("s");
    await write(stranger, 1, "other", 2);
    const [name = ""] = readdirSync(logOf("c"));
    rmSync(join(logOf("c"), name));
    linkSync(join(logOf("s"), name), join(logOf("c"), name));
    await expect(open("c")).rejects.toThrow(/log file of another node/);
  });
});

describe("a successor's node", () => {
  it("has what a backtrack cut off from the old one, also files that were cut off whole", async () => {
    const { storage: old, ids } = await aParent("old");
    await write(old, 1, "shared", 4);
    const fork = advance(old.log.scl, -1_000);
    await write(old, 1, "future", 20);
    const end = old.log.scl;
    const future = await read(old, fork, end);
    const present: History = [...path, { ...entry(2, fork), kind: "backtrack" }];
    const cut = { to: fork, isRebase: false, keepAside: true, takeBackTo: fork };
    await old.cut(cut, present);
    await old.persist({
      ...old.acceptorState,
      promised: epoch(2),
      accepted: epoch(2),
      history: present,
    });
    // Nothing was written since: the newest files are those that were cut off.
    const b = old.log.scl;
    const log = await read(old, base, b);
    await close(old);
    const source = await logFilesOf(join(folder, "old"), { from: base, to: b });
    const own = newIds();
    await makeCloneNode({
      dir: join(folder, "new"),
      nodeId: own.nodeId,
      birth: {
        volumeId: own.volumeId,
        members: memberSet([{ nodeId: own.nodeId, az: "az1", kind: "full" }]),
        path: present,
        parentVolume: ids.volumeId,
        from: base,
        branch: b,
        epoch: epoch(3),
      },
      source,
      take: (from, to) => Promise.resolve(linkSync(from, to)),
    });
    const left = { path, fork, end };
    expect(await holdsLeftLog(source, left)).toBe(true);
    expect(await holdsLeftLog(source, { ...left, end: advance(end, 1) })).toBe(false);
    expect(await holdsLeftLog(source, { ...left, path: present })).toBe(false);
    rmSync(join(folder, "old"), { recursive: true });
    let storage = await open("new");
    await write(storage, 3, "own", 9);
    await close(storage);
    storage = await open("new");
    expect((await read(storage, base, b)).equals(log)).toBe(true);
    const kept: Uint8Array[] = [];
    for (let at = fork; at < end;) {
      const range = { path, from: at, to: end, limitBytes: 1 << 20, onlyPins: false };
      const runs = await storage.kept.read(range);
      expect(runs).not.toEqual([]);
      kept.push(...runs.map((run) => run.bytes));
      at = advance(
        at,
        runs.reduce((sum, run) => sum + run.bytes.length, 0),
      );
    }
    expect(Buffer.concat(kept).equals(future)).toBe(true);
  });
});
