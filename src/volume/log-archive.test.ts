import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { epoch, timeline, volumeId } from "../base/ids.ts";
import { advance, type Lsn, lsn } from "../base/lsn.ts";
import {
  ArchivedLog,
  archivedLogBytesMax,
  archivedUpTo,
  ArchiveIndex,
  ExtentSealer,
  findLogRange,
  FolderStore,
  listArchivedLog,
  logObject,
  type LogPath,
  openArchivedLog,
  putArchivedLog,
  readArchivedLog,
} from "./index.ts";

const volume = volumeId("11111111-2222-3333-4444-555555555555");
const keys = { current: 1, keys: new Map([[1, randomBytes(32)]]), acceptsPlain: false };
const sealer = new ExtentSealer({ volumeId: volume, keys });
const origin = 0x100_0000;

let root: string;
let store: FolderStore;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "borealis-archive-"));
  store = new FolderStore(root);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function at(offset: number): Lsn {
  return lsn(BigInt(origin + offset));
}

/** Epochs from 1 on that begin at these offsets. */
function pathOf(...starts: number[]): LogPath {
  return starts.map((start, i) => ({
    epoch: epoch(i + 1),
    timeline: timeline(i + 1),
    start: at(start),
    kind: "branch" as const,
  }));
}

/** The log of one epoch: no two bytes near each other, and none of two epochs, are alike by accident. */
function bytesOf(of: number, from: number, to: number): Buffer {
  const bytes = Buffer.alloc(to - from);
  for (let i = 0; i < bytes.length; i++)
    bytes[i] = Math.imul(from + i + 1, 0x9e37_79b1 + of * 2) >>> 24;
  return bytes;
}

function put(of: number, from: number, to: number): Promise<number> {
  const range = { epoch: epoch(of), from: at(from), to: at(to) };
  return putArchivedLog(store, sealer, range, bytesOf(of, from, to));
}

async function read(path: LogPath, from: number, to: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const bytes of readArchivedLog(store, sealer, path, at(from), at(to)))
    pieces.push(bytes);
  return Buffer.concat(pieces);
}

describe("names of archived log", () => {
  it("are found again, and nothing else is", () => {
    const range = { epoch: epoch(7), from: at(0), to: at(9) };
    const name = logObject(range.epoch, range.from, range.to);
    expect(findLogRange(name)).toEqual(range);
    for (const bad of [
      "",
      "volume.json",
      `${name}0`,
      name.replace("log/", "extents/"),
      logObject(epoch(7), at(9), at(9)),
      logObject(epoch(7), at(9), at(0)),
      name.replace("0000000000000007", "9999999999999999"),
    ])
      expect(findLogRange(bad), bad).toBeUndefined();
  });
});

describe("archived log", () => {
  it("is the log of the path, over epochs and objects, from anywhere to anywhere", async () => {
    // Epoch 2 was left at 500 before anything of 3 came; of 4 nothing is on the path but the claim.
    const path = pathOf(0, 300, 500, 700, 700);
    const whole = Buffer.concat([
      bytesOf(1, 0, 300),
      bytesOf(2, 300, 500),
      bytesOf(3, 500, 700),
      bytesOf(5, 700, 1000),
    ]);
    await put(1, 0, 250);
    // Ranges that overlap, and one that the path left behind.
    await put(1, 200, 300);
    await put(2, 300, 600);
    await put(3, 500, 690);
    await put(3, 600, 700);
    await put(3, 650, 660);
    await put(4, 700, 800);
    await put(5, 700, 1000);
    expect(await archivedUpTo(store, path, at(0))).toBe(at(1000));
    expect((await read(path, 0, 1000)).equals(whole)).toBe(true);
    const log = new ArchivedLog(store, sealer, path);
    const holds = fc.asyncProperty(fc.nat(999), fc.nat(999), async (a, b) => {
      const [from, to] = [Math.min(a, b), Math.max(a, b) + 1];
      expect((await read(path, from, to)).equals(whole.subarray(from, to))).toBe(true);
      const some = await log.read(at(from), at(to));
      expect(some.length).toBeGreaterThan(0);
      expect(some.equals(whole.subarray(from, from + some.length))).toBe(true);
      expect(from + some.length).toBeLessThanOrEqual(to);
    });
    await fc.assert(holds, { numRuns: 100 });
  });

  it("may be told by its reader that it is enough", async () => {
    for (let i = 0; i < 10; i++) await put(1, i * 100, i * 100 + 100);
    const found: number[] = [];
    for await (const bytes of readArchivedLog(store, sealer, pathOf(0), at(0), at(1000))) {
      found.push(bytes.length);
      if (found.length === 2) break;
    }
    expect(found).toEqual([100, 100]);
  });

  it("says where it has none, after everything before that", async () => {
    const path = pathOf(0, 500);
    await put(1, 0, 400);
    await put(2, 500, 600);
    expect(await archivedUpTo(store, path, at(0))).toBe(at(400));
    const found: number[] = [];
    const reading = async (): Promise<void> => {
      for await (const bytes of readArchivedLog(store, sealer, path, at(0), at(600)))
        found.push(bytes.length);
    };
    await expect(reading()).rejects.toMatchObject({
      code: "58030",
      message: expect.stringContaining("has no log of epoch 1 at 0/1000190"),
    });
    expect(found).toEqual([400]);
    await expect(read(pathOf(100), 50, 200)).rejects.toThrow(/no log of epoch 0/);
    await expect(new ArchivedLog(store, sealer, path).read(at(450), at(600))).rejects.toThrow(
      /no log of epoch 1/,
    );
  });

  it("that is damaged is read from another object that has it, and told of if there is none", async () => {
    const path = pathOf(0);
    await put(1, 0, 1000);
    await put(1, 0, 300);
    await put(1, 300, 400);
    const big = join(root, logObject(epoch(1), at(0), at(1000)));
    writeFileSync(big, randomBytes(500));
    expect((await read(path, 0, 400)).equals(bytesOf(1, 0, 400))).toBe(true);
    await expect(read(path, 0, 1000)).rejects.toMatchObject({ code: "XX001" });
    // A good object under another name is no good one.
    const sealed = await store.get(logObject(epoch(1), at(0), at(300)));
    writeFileSync(big, sealed ?? "");
    await expect(read(path, 0, 1000)).rejects.toMatchObject({ code: "XX001" });
    const other = { ...keys, keys: new Map([[1, randomBytes(32)]]) };
    const stranger = new ExtentSealer({ volumeId: volume, keys: other });
    const range = { epoch: epoch(1), from: at(0), to: at(300) };
    await expect(openArchivedLog(store, stranger, range)).rejects.toMatchObject({ code: "XX001" });
  });

  it("is found where it was merged to while somebody reads", async () => {
    const path = pathOf(0);
    for (let i = 0; i < 10; i++) await put(1, i * 100, i * 100 + 100);
    const log = new ArchivedLog(store, sealer, path);
    const pieces: Buffer[] = [];
    for await (const bytes of log.pieces(at(0), at(1000))) {
      pieces.push(bytes);
      if (pieces.length > 1) continue;
      await put(1, 0, 1000);
      const small = Array.from({ length: 10 }, (_, i) =>
        logObject(epoch(1), at(i * 100), at(i * 100 + 100)),
      );
      await store.delete(small);
    }
    expect(Buffer.concat(pieces).equals(bytesOf(1, 0, 1000))).toBe(true);
  });

  it("is hidden", async () => {
    const plain = randomBytes(1000);
    const range = { epoch: epoch(1), from: at(0), to: at(1000) };
    await putArchivedLog(store, sealer, range, plain);
    const sealed = await store.get(logObject(range.epoch, range.from, range.to));
    expect(sealed?.includes(plain.subarray(100, 200))).toBe(false);
    expect((await openArchivedLog(store, sealer, range))?.equals(plain)).toBe(true);
    expect(await openArchivedLog(store, sealer, { ...range, to: at(999) })).toBeUndefined();
  });
});

describe("an archive's index", () => {
  /** Overlapping ranges of a few epochs, here and there. */
  const ranges = fc.array(
    fc.record({ of: fc.integer({ min: 1, max: 3 }), from: fc.nat(60), length: fc.nat(20) }),
    { maxLength: 12 },
  );
  const starts = fc
    .tuple(fc.nat(10), fc.nat(30), fc.nat(30))
    .map(([a, b, c]) => [a, a + b, a + b + c]);

  it("knows every hole, as one who looks at each byte does", () => {
    const holds = fc.property(ranges, starts, fc.nat(80), (some, begins, from) => {
      const index = new ArchiveIndex();
      for (const { of, from: first, length } of some)
        index.add({
          epoch: epoch(of),
          from: at(first),
          to: at(first + length + 1),
          sizeBytes: 0,
          putAtMs: 0,
        });
      const path = pathOf(...begins);
      const limit = 90;
      const has = (i: number): boolean => {
        const of = begins.findLastIndex((start) => start <= i) + 1;
        return some.some((one) => one.of === of && one.from <= i && i <= one.from + one.length);
      };
      let end = from;
      while (has(end)) end++;
      expect(index.archivedUpTo(path, at(from))).toBe(at(end));
      const hole = index.nextHole(path, at(from), at(limit));
      const isOn = (i: number): boolean => i >= (begins[0] ?? 0);
      if (end >= limit || !isOn(end)) {
        expect(hole).toBeUndefined();
        return;
      }
      expect(hole?.from).toBe(at(end));
      for (let i = end; at(i) < (hole?.to ?? at(0)); i++) expect(has(i)).toBe(false);
      const to = Number(hole?.to) - origin;
      // It ends for a reason: with the epoch, or at what is archived.
      expect(to === limit || has(to) || begins.includes(to)).toBe(true);
      expect(index.covering(hole?.epoch ?? epoch(0), at(end))).toEqual([]);
    });
    fc.assert(holds, { numRuns: 500 });
  });

  it("forgets what is removed, and has the same range once", async () => {
    await put(1, 0, 100);
    await put(1, 0, 200);
    await put(2, 50, 60);
    const index = await listArchivedLog(store);
    expect(index.epochs).toEqual([1, 2]);
    expect(index.ranges(epoch(1)).map(({ to }) => to)).toEqual([at(100), at(200)]);
    expect(index.ranges(epoch(1)).every(({ sizeBytes }) => sizeBytes > 50)).toBe(true);
    index.add({ epoch: epoch(1), from: at(0), to: at(200), sizeBytes: 7, putAtMs: 0 });
    expect(index.ranges(epoch(1)).map(({ sizeBytes }) => sizeBytes)).toContain(7);
    expect(index.ranges(epoch(1))).toHaveLength(2);
    index.remove({ epoch: epoch(1), from: at(0), to: at(200) });
    index.remove({ epoch: epoch(2), from: at(50), to: at(60) });
    index.remove({ epoch: epoch(3), from: at(50), to: at(60) });
    expect(index.epochs).toEqual([1]);
    expect(index.archivedUpTo(pathOf(0), at(0))).toBe(at(100));
  });

  it("finds a range as long as one may be", () => {
    const long = { epoch: epoch(1), from: at(0), to: at(archivedLogBytesMax) };
    const index = new ArchiveIndex([{ ...long, sizeBytes: 0, putAtMs: 0 }]);
    const last = advance(long.to, -1);
    expect(index.covering(epoch(1), last)).toHaveLength(1);
    expect(index.covering(epoch(1), long.to)).toHaveLength(0);
    expect(index.archivedUpTo(pathOf(0), at(5))).toBe(long.to);
  });
});
