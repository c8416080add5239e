/** A node's storage over a real folder, when things meet: reads and cuts, writes and their end, failures and what they prove. */
import { randomUUID } from "node:crypto";
import { existsSync, mkdtempSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { epoch, nodeId, timeline, volumeId } from "../src/base/ids.ts";
import { advance, type Lsn, lsn } from "../src/base/lsn.ts";
import { type Disk, realDisk, realEntropy } from "../src/io/index.ts";
import type { AcceptorState } from "../src/acceptor/index.ts";
import type { History } from "../src/quorum/index.ts";
import { formatStorageNode } from "../src/storage-node/index.ts";
import { RottenLog } from "../src/storage-node/read-failures.ts";
import { NodeStorage } from "../src/storage-node/storage-shell.ts";
import { eventually } from "./helpers/eventually.ts";

const base = lsn(0x100_0000n);
const segmentBytes = 2 * 1024 * 1024;
let root = "";
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "borealis-races-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

async function aStorage(disk: Disk = realDisk) {
  const dir = join(root, "n");
  const ids = { volumeId: volumeId(randomUUID()), nodeId: nodeId(randomUUID()) };
  await formatStorageNode(dir, { ...ids, base });
  const failures: unknown[] = [];
  const open = async (): Promise<NodeStorage> => {
    const cipher = { keys: undefined, entropy: realEntropy };
    const storage = await NodeStorage.open({ disk, dir, segmentBytes, cipher });
    storage.onFailure((error) => failures.push(error));
    return storage;
  };
  const storage = await open();
  const write = (of: number, length: number, to = storage) => {
    const frame = { epoch: epoch(of), timeline: timeline(1), payload: Buffer.alloc(length, of) };
    return to.write(frame, to.log.scl);
  };
  return { dir, failures, open, storage, write };
}

const cutTo = (to: Lsn) => ({ to, isRebase: false, keepAside: false, takeBackTo: to });

/** The same storage in epoch `of`, which began at `start`. */
function elected(before: AcceptorState, of: number, start: Lsn): AcceptorState {
  const entry = { epoch: epoch(of), timeline: timeline(1), start, kind: "branch" } as const;
  const history: History = [...before.history, entry];
  return { ...before, promised: epoch(of), accepted: epoch(of), history };
}

async function thrownBy(asked: Promise<unknown>): Promise<unknown> {
  try {
    await asked;
    return undefined;
  } catch (error) {
    return error;
  }
}

describe("reads beside cuts", () => {
  it("a read under way while its log is cut gives nothing, and proves no rot", async () => {
    const { failures, storage, write } = await aStorage();
    await write(1, 100_000);
    // After a cut the log goes on in a file of its own, which the next cut makes a dead one.
    await storage.cut(cutTo(storage.log.scl), []);
    await storage.persist(storage.acceptorState);
    const cutAt = storage.log.scl;
    await write(1, 50_000);
    const range = { from: advance(base, 50_000), to: storage.log.scl, limitBytes: 1_000_000 };
    const reading = storage.log.read(range);
    await storage.cut(cutTo(cutAt), []);
    expect(await reading).toEqual([]);
    await write(2, 30_000);
    expect(storage.log.scl).toBe(advance(cutAt, 30_000));
    expect([storage.health, failures]).toEqual(["ok", []]);
    await storage.close();
  });

  it("rot is looked for again before it is believed", async () => {
    const { storage, write } = await aStorage();
    await write(1, 10_000);
    const at = advance(base, 5_000);
    let stops = 0;
    const stop = (): void => void stops++;
    expect(await storage.judgeRead(new RottenLog(at, "it was cut meanwhile"), stop)).toBe(false);
    expect([storage.health, storage.log.scl, stops]).toEqual(["ok", advance(base, 10_000), 0]);
    await storage.close();
  });

  it("a file that is gone is rot, whoever removed it", async () => {
    const { dir, storage, write } = await aStorage();
    for (let i = 0; i < 3; i++) await write(1, 900_000);
    rmSync(join(dir, "log", "0000000001.log"));
    const error = await thrownBy(
      storage.log.read({ from: base, to: storage.log.scl, limitBytes: 1_000 }),
    );
    expect(error).toMatchObject({ name: "RottenLog", lsn: base });
    expect(await storage.judgeRead(error, () => undefined)).toBe(true);
    expect([storage.health, storage.log.scl]).toEqual(["damaged", base]);
    expect(existsSync(`${dir}.failed`)).toBe(false);
  });
});

describe("what condemns a disk", () => {
  /** The real disk, whose reads of log fail with this code while there is one. */
  function lameDisk(): { disk: Disk; code: string | undefined } {
    const world: ReturnType<typeof lameDisk> = {
      code: undefined,
      disk: {
        ...realDisk,
        open: (path, mode) => {
          const { code } = world;
          if (code === undefined || mode !== "read") return realDisk.open(path, mode);
          return Promise.reject(Object.assign(new Error(`${code}: ${path}`), { code }));
        },
      },
    };
    return world;
  }

  it.each([
    ["EMFILE", false],
    ["ENOENT", false],
    ["ENOMEM", false],
    ["EIO", true],
  ])("a read that fails with %s: %s", async (code, isMarked) => {
    const world = lameDisk();
    const { dir, failures, storage, write } = await aStorage(world.disk);
    await write(1, 10_000);
    world.code = code;
    const read = () => storage.log.read({ from: base, to: storage.log.scl, limitBytes: 10_000 });
    const error = await thrownBy(read());
    expect(error).toBeDefined();
    world.code = undefined;
    expect(await storage.judgeRead(error, () => undefined)).toBe(false);
    expect(storage.health).toBe(isMarked ? "failed" : "ok");
    if (isMarked) await eventually("the disk has failed", () => failures.length > 0);
    expect([failures.length > 0, existsSync(`${dir}.failed`)]).toEqual([isMarked, isMarked]);
    // And what was passing has passed: the same file is read.
    expect((await read())[0]?.bytes.length).toBe(10_000);
  });

  it("a state that does not fit says nothing of the disk", async () => {
    const { dir, failures, storage } = await aStorage();
    const entries = Array.from({ length: 15_000 }, (_, index) => ({
      epoch: epoch(index + 1),
      timeline: timeline(1),
      start: advance(base, index),
      kind: "branch" as const,
    }));
    const before = storage.acceptorState;
    const state = { ...before, promised: epoch(15_000), accepted: epoch(15_000), history: entries };
    const error = await thrownBy(storage.persist(state));
    expect(error).toMatchObject({ code: "54000" });
    await eventually("the node is told", () => failures.length > 0);
    expect(existsSync(`${dir}.failed`)).toBe(false);
  });

  it("a want of inodes or file handles for the next log file is a full disk", async () => {
    const world: { code: string | undefined } = { code: "ENOSPC" };
    const disk: Disk = {
      ...realDisk,
      open: (path, mode) => {
        const { code } = world;
        const isHit = code !== undefined && mode === "createSynced" && path.endsWith(".log");
        if (!isHit) return realDisk.open(path, mode);
        return Promise.reject(Object.assign(new Error(`${code}: ${path}`), { code }));
      },
    };
    const { dir, failures, storage, write } = await aStorage(disk);
    for (const code of ["ENOSPC", "EMFILE"]) {
      world.code = code;
      expect(await write(1, 1_000)).toBeUndefined();
      expect([storage.health, storage.log.scl]).toEqual(["full", base]);
    }
    world.code = undefined;
    await storage.tick();
    expect(storage.health).toBe("ok");
    expect(await write(1, 1_000)).toBe(advance(base, 1_000));
    expect([failures, existsSync(`${dir}.failed`)]).toEqual([[], false]);
    await storage.close();
  });
});

describe("writes in a row", () => {
  it("one that comes while the last append ends is not forgotten", async () => {
    const { storage, write } = await aStorage();
    for (let i = 1; i <= 50; i++) {
      const written = await Promise.race([
        write(1, 100),
        new Promise((resolve) => void setTimeout(resolve, 5_000, "forgotten")),
      ]);
      expect(written).toBe(advance(base, i * 100));
    }
    await storage.close();
  });

  it("what had no space is dropped before anything can be written behind it", async () => {
    const disk: Disk = {
      ...realDisk,
      open: (path, mode) =>
        mode === "createSynced" && path.endsWith("2.log")
          ? Promise.reject(Object.assign(new Error("full"), { code: "ENOSPC" }))
          : realDisk.open(path, mode),
    };
    const { storage } = await aStorage(disk);
    const told: Lsn[] = [];
    storage.onFull((scl) => told.push(scl));
    const frame = { epoch: epoch(1), timeline: timeline(1), payload: Buffer.alloc(900_000, 1) };
    const writes = [0, 1, 2, 3].map((i) => storage.write(frame, advance(base, i * 900_000)));
    const end = advance(base, 1_800_000);
    expect((await Promise.all(writes)).slice(2)).toEqual([undefined, undefined]);
    expect([told, storage.log.scl]).toEqual([[end], end]);
    await storage.close();
  });
});

describe("a damaged node's missing log", () => {
  it("ends where a newly accepted path leaves what it had, also after a restart", async () => {
    const { open, storage, write } = await aStorage();
    await storage.persist(elected(storage.acceptorState, 1, base));
    await write(1, 10_000);
    await write(1, 10_000);
    // Rot in the second frame, whose file is not the open one's business: the first read finds it.
    const rotAt = advance(base, 10_000);
    const spoilt = storage.log;
    const { place } = spoilt.shared;
    writeSync(place.fd, Buffer.from([9]), 0, 1, place.at - 5_000);
    const error = await thrownBy(spoilt.read({ from: rotAt, to: spoilt.scl, limitBytes: 100_000 }));
    expect(await storage.judgeRead(error, () => undefined)).toBe(true);
    expect([storage.health, storage.log.scl]).toEqual(["damaged", rotAt]);
    // Peers cut from 15,000 on: what is missing below is still wanted.
    await storage.persist(elected(storage.acceptorState, 2, advance(base, 15_000)));
    expect(await storage.refreshHealth()).toBe("damaged");
    await write(1, 4_999);
    expect(await storage.refreshHealth()).toBe("damaged");
    await storage.close();
    const again = await open();
    expect([again.health, again.log.scl]).toEqual(["damaged", advance(base, 14_999)]);
    await write(1, 1, again);
    expect(await again.refreshHealth()).toBe("ok");
    await again.close();
    const healed = await open();
    expect([healed.health, healed.log.scl]).toEqual(["ok", advance(base, 15_000)]);
    await healed.close();
  });
});
