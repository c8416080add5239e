/** A node's storage over a real folder, and who may read it: keys that are missing, frames that were tampered with. */
import { randomBytes, randomUUID } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { crc32c } from "../src/base/crc32c.ts";
import { epoch, nodeId, timeline, volumeId } from "../src/base/ids.ts";
import { advance, type Lsn, lsn } from "../src/base/lsn.ts";
import { realDisk, realEntropy } from "../src/io/index.ts";
import type { DataKeys } from "../src/keys/index.ts";
import { fileHeaderBytes, frameHeaderBytes, payloadCrcOf } from "../src/storage-node/frame.ts";
import { UnknownDataKey } from "../src/storage-node/log-cipher.ts";
import { RottenLog } from "../src/storage-node/read-failures.ts";
import { formatStorageNode } from "../src/storage-node/index.ts";
import { NodeStorage } from "../src/storage-node/storage-shell.ts";

const base = lsn(0x100_0000n);
const segmentBytes = 2 * 1024 * 1024;
const first = randomBytes(32);
const second = randomBytes(32);
const text = Buffer.from("log that was acknowledged");

let dir = "";
let opened: NodeStorage[] = [];
beforeEach(async () => {
  dir = join(mkdtempSync(join(tmpdir(), "borealis-keys-")), "n");
  const ids = { volumeId: volumeId(randomUUID()), nodeId: nodeId(randomUUID()) };
  await formatStorageNode(dir, { ...ids, base });
});
afterEach(async () => {
  for (const storage of opened.splice(0)) await storage.close();
  rmSync(join(dir, ".."), { recursive: true, force: true });
});

function theKeys(keys: Record<number, Buffer>, acceptsPlain = false): DataKeys {
  const rows = Object.entries(keys).map(([id, key]) => [Number(id), key] as const);
  return { current: rows.at(-1)?.[0] ?? 0, keys: new Map(rows), acceptsPlain };
}

async function open(keys: DataKeys | undefined): Promise<NodeStorage> {
  const cipher = { keys, entropy: realEntropy };
  const storage = await NodeStorage.open({ disk: realDisk, dir, segmentBytes, cipher });
  opened.push(storage);
  return storage;
}

async function close(): Promise<void> {
  for (const storage of opened.splice(0)) await storage.close();
}

function write(storage: NodeStorage, payload = text): Promise<Lsn | undefined> {
  const frame = { epoch: epoch(1), timeline: timeline(1), payload };
  return storage.write(frame, storage.log.scl);
}

async function readAll(storage: NodeStorage): Promise<string> {
  const { scl } = storage.log;
  const runs = await storage.log.read({ from: base, to: scl, limitBytes: 1 << 20 });
  return Buffer.concat(runs.map((run) => run.bytes)).toString();
}

/** Changes the first frame on the disk as someone with an editor would: every CRC fits. */
function tamper(change: (bytes: Buffer, at: number) => void): void {
  const file = join(dir, "log", "0000000001.log");
  const bytes = readFileSync(file);
  const at = fileHeaderBytes;
  change(bytes, at);
  const payloadAt = at + frameHeaderBytes;
  const crc = payloadCrcOf(bytes.readUInt32BE(at + 40), bytes, payloadAt, payloadAt + text.length);
  bytes.writeUInt32BE(crc, at + 72);
  bytes.writeUInt32BE(crc32c(bytes, 0, at, at + 76), at + 76);
  writeFileSync(file, bytes);
}

describe("a node whose keys are not those of its log", () => {
  it("does not start without the key of its newest frame, and starts when it has it", async () => {
    await write(await open(theKeys({ 1: first })));
    await close();
    await expect(open(theKeys({ 2: second }))).rejects.toThrow(UnknownDataKey);
    await expect(open(undefined)).rejects.toThrow(/encrypted with data key 1, which this node/);
    const storage = await open(theKeys({ 1: first, 2: second }));
    await write(storage);
    expect(await readAll(storage)).toBe(text.toString().repeat(2));
  });

  it("starts anew, and cuts nothing, when it meets an older frame whose key it lacks", async () => {
    const before = await open(theKeys({ 1: first }));
    await write(before);
    before.log.files.cipher.setKeys(theKeys({ 1: first, 2: second }));
    await write(before);
    await close();
    const storage = await open(theKeys({ 2: second }));
    const { scl } = storage.log;
    const failure = await readAll(storage).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(UnknownDataKey);
    expect(await storage.judgeRead(failure, () => undefined)).toBe(true);
    expect([storage.log.scl, storage.health]).toEqual([scl, "ok"]);
    expect(scl).toBe(advance(base, 2 * text.length));
  });
});

describe("a frame that was tampered with", () => {
  it("is rot, and never served, whatever was changed", async () => {
    const before = await open(theKeys({ 1: first }));
    await write(before);
    await write(before, Buffer.from("more"));
    await close();
    const changes: ((bytes: Buffer, at: number) => void)[] = [
      (bytes, at) => bytes.writeUInt8(bytes.readUInt8(at + 90) ^ 1, at + 90),
      (bytes, at) => bytes.writeBigUInt64BE(7n, at + 16), // another epoch
      (bytes, at) => bytes.writeUInt32BE(9, at + 24), // another timeline
      (bytes, at) => {
        // No key at all: a forger's own text.
        bytes.fill(0, at + 40, at + 72);
        bytes.write("log of somebody else", at + frameHeaderBytes);
      },
    ];
    const file = join(dir, "log", "0000000001.log");
    const good = readFileSync(file);
    for (const [index, change] of changes.entries()) {
      writeFileSync(file, good);
      tamper(change);
      const storage = await open(theKeys({ 1: first }));
      await expect(readAll(storage), `change ${index}`).rejects.toThrow(RottenLog);
      await close();
    }
    writeFileSync(file, good);
    expect(await readAll(await open(theKeys({ 1: first })))).toBe(`${text.toString()}more`);
  });

  it("that no key ever encrypted is read in a volume that was written without", async () => {
    await write(await open(undefined));
    await close();
    const storage = await open(theKeys({ 1: first }, true));
    await write(storage, Buffer.from(" and more"));
    expect(await readAll(storage)).toBe(`${text.toString()} and more`);
  });
});
