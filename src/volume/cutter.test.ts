import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { snapshotFacts } from "../../test/helpers/snapshot-object.ts";
import { crc32c } from "../base/crc32c.ts";
import { type Rng, seededRng } from "../base/rng.ts";
import {
  backupManifestName,
  buildManifest,
  crcOfPieces,
  encodeManifest,
  type ExtentSize,
  extentBytesMax,
  filesToHydrate,
  parseManifest,
  planHydration,
  SnapshotCutter,
  sizeOfSnapshot,
  type SnapshotManifest,
} from "./index.ts";

const block = 8192;
const address = (plain: Uint8Array): string => createHash("sha256").update(plain).digest("hex");

const facts = snapshotFacts("s", "a");

type Tree = Map<string, Buffer>;

/** A store of extents, by name, as a cutter fills it. */
class Extents {
  readonly kept = new Map<string, Buffer>();

  cut(
    files: Tree,
    options: { previous?: SnapshotManifest; isIncremental?: boolean; rng?: Rng } = {},
  ): { manifest: SnapshotManifest; storedBytes: number } {
    const { previous, isIncremental = false, rng } = options;
    const cutter = new SnapshotCutter({ address, previous, isIncremental });
    const put = new Map<string, ExtentSize>();
    let storedBytes = 0;
    const store = (): void => {
      for (const { id, plain } of cutter.takeReady()) {
        expect(this.kept.has(id) && previous?.extents.has(id), "stored again").not.toBe(true);
        expect(plain.length).toBeLessThanOrEqual(extentBytesMax);
        expect(address(plain)).toBe(id);
        this.kept.set(id, Buffer.from(plain));
        put.set(id, { plainBytes: plain.length, storedBytes: plain.length });
        storedBytes += plain.length;
      }
    };
    cutter.directory("base");
    for (const [name, bytes] of files) {
      cutter.beginFile(name, bytes.length);
      for (let at = 0; at < bytes.length;) {
        const size = rng ? 1 + rng.below(300_000) : bytes.length;
        // Views are borrowed: what is behind them changes after the call.
        const view = Buffer.from(bytes.subarray(at, at + size));
        cutter.bytes(view);
        view.fill(0xee);
        at += size;
      }
      cutter.endFile();
      expect(cutter.received.get(name)).toEqual({ sizeBytes: bytes.length, crc: crc32c(bytes) });
      store();
    }
    const cut = cutter.finish();
    store();
    const built = buildManifest({ facts, cut, previous, put });
    return { manifest: parseManifest("s", encodeManifest(built)), storedBytes };
  }

  /** As hydration does it: extent by extent, in any order. */
  hydrate(manifest: SnapshotManifest): Tree {
    const files = filesToHydrate(manifest, { without: backupManifestName });
    const tree: Tree = new Map(files.map((file) => [file.name, Buffer.alloc(file.sizeBytes)]));
    const sums = new Map(files.map((file) => [file, new Map<number, number>()]));
    for (const { extent, writes } of planHydration(files).toReversed()) {
      const plain = this.kept.get(extent);
      if (!plain) throw new Error(`extent ${extent} is missing`);
      for (const [file, places] of writes)
        for (const { piece, fileAt, extentAt, lengthBytes } of places) {
          const bytes = plain.subarray(extentAt, extentAt + lengthBytes);
          bytes.copy(tree.get(file.name) ?? Buffer.alloc(0), fileAt);
          sums.get(file)?.set(piece, crc32c(bytes));
        }
    }
    for (const file of files) {
      const whole = tree.get(file.name) ?? Buffer.alloc(0);
      const sum = crcOfPieces(file.pieces, sums.get(file) ?? new Map());
      expect(sum).toBe(crc32c(whole));
      if (file.crc !== undefined) expect(file.crc).toBe(sum);
    }
    return tree;
  }
}

function expectSame(tree: Tree, wanted: Tree): void {
  expect([...tree.keys()].toSorted()).toEqual([...wanted.keys()].toSorted());
  for (const [name, bytes] of wanted)
    expect(tree.get(name)?.equals(bytes), `${name}, ${bytes.length} bytes`).toBe(true);
}

function noise(rng: Rng, sizeBytes: number): Buffer {
  const words = new Uint32Array(Math.ceil(sizeBytes / 4));
  let x = rng.below(2 ** 32) | 1;
  for (let i = 0; i < words.length; i++) words[i] = x = Math.imul(x, 1_664_525) + 1_013_904_223;
  return Buffer.from(words.buffer, 0, sizeBytes);
}

function aFile(rng: Rng): Buffer {
  switch (rng.below(6)) {
    case 0:
      return Buffer.alloc(0);
    case 1:
      return noise(rng, 1 + rng.below(5000));
    case 2:
      return Buffer.alloc(block * rng.below(200));
    case 3:
      return Buffer.concat([Buffer.alloc(extentBytesMax), noise(rng, 100)]);
    default:
      return noise(rng, block * rng.below(150));
  }
}

/** INCREMENTAL.x as PostgreSQL writes it. */
function incremental(blocks: ReadonlyMap<number, Buffer>, truncation: number): Buffer {
  const numbers = [...blocks.keys()].toSorted((a, b) => a - b);
  const head = Buffer.alloc(12 + 4 * numbers.length);
  head.writeUInt32LE(0xd3ae1f0d, 0);
  head.writeUInt32LE(numbers.length, 4);
  head.writeUInt32LE(truncation, 8);
  for (const [i, number] of numbers.entries()) head.writeUInt32LE(number, 12 + 4 * i);
  const padding = numbers.length > 0 ? (block - (head.length % block)) % block : 0;
  const bodies = numbers.map((number) => blocks.get(number) ?? Buffer.alloc(block));
  return Buffer.concat([head, Buffer.alloc(padding), ...bodies]);
}

/** What a file becomes, block by block. */
function naiveOverlay(
  before: Buffer,
  blocks: ReadonlyMap<number, Buffer>,
  truncation: number,
): Buffer {
  const last = Math.max(-1, ...blocks.keys());
  const after = Buffer.alloc(Math.max(truncation, last + 1) * block);
  before.copy(after, 0, 0, Math.min(before.length, truncation * block));
  for (const [number, bytes] of blocks) bytes.copy(after, number * block);
  return after;
}

describe("cutting files", () => {
  it("gives every file back, stores what is alike once and zeros never", () => {
    const rng = seededRng(3);
    const big = noise(rng, 2 * extentBytesMax + 5000);
    const files: Tree = new Map([
      ["PG_VERSION", Buffer.from("18\n")],
      ["base/1", big],
      ["base/2", Buffer.from(big)],
      ["base/zeros", Buffer.alloc(3 * extentBytesMax + 17)],
      ["base/empty", Buffer.alloc(0)],
    ]);
    const store = new Extents();
    const { manifest, storedBytes } = store.cut(files);
    expectSame(store.hydrate(manifest), files);
    expect(storedBytes).toBe(3 + big.length);
    expect(store.kept.size).toBe(3);
    const again = store.cut(files, { previous: manifest });
    expect(again.storedBytes).toBe(0);
    expect(again.manifest.extents).toEqual(manifest.extents);
  });

  it("stores only what is new of files that come again, wherever a stream is cut", () => {
    const holds = fc.property(fc.nat(), (seed) => {
      const rng = seededRng(seed);
      const store = new Extents();
      const files: Tree = new Map();
      for (let i = 0; i < 8; i++) files.set(`base/${i}`, aFile(rng));
      let { manifest } = store.cut(files, { rng });
      for (let round = 0; round < 3; round++) {
        let changedBytes = 0;
        for (let n = 0; n < 3; n++) {
          const name = `base/${rng.below(9)}`;
          const bytes = aFile(rng);
          files.set(name, bytes);
          changedBytes += bytes.length;
        }
        const next = store.cut(files, { previous: manifest, rng });
        // Small ones that lay beside what is gone may move once.
        expect(next.storedBytes).toBeLessThanOrEqual(changedBytes + 4 * extentBytesMax);
        ({ manifest } = next);
        expectSame(store.hydrate(manifest), files);
      }
    });
    fc.assert(holds, { numRuns: 8 });
  }, 60_000);
});

describe("incremental backups", () => {
  it("laid over, over and over, are what a naive reading makes of them", () => {
    const holds = fc.property(fc.nat(), (seed) => {
      const rng = seededRng(seed);
      const store = new Extents();
      const files: Tree = new Map();
      for (let i = 0; i < 4; i++) files.set(`base/${i}`, noise(rng, block * rng.below(150)));
      files.set("global/odd", noise(rng, 12_345));
      let { manifest } = store.cut(files);
      for (let round = 0; round < 4; round++) {
        const sent: Tree = new Map();
        for (let i = 0; i < 4; i++) {
          const name = `base/${i}`;
          const before = files.get(name) ?? Buffer.alloc(0);
          const size = Math.floor(before.length / block);
          const truncation = rng.below(3) === 0 ? rng.below(size + 40) : size;
          const blocks = new Map<number, Buffer>();
          const count = rng.below(4) === 0 ? 0 : rng.below(30);
          for (let n = 0; n < count; n++) {
            const bytes = rng.below(5) === 0 ? Buffer.alloc(block) : noise(rng, block);
            blocks.set(rng.below(size + 20), bytes);
          }
          sent.set(`base/INCREMENTAL.${i}`, incremental(blocks, truncation));
          files.set(name, naiveOverlay(before, blocks, truncation));
        }
        const odd = noise(rng, 5000);
        sent.set("global/odd", odd);
        files.set("global/odd", odd);
        const next = store.cut(sent, { previous: manifest, isIncremental: true, rng });
        ({ manifest } = next);
        expectSame(store.hydrate(manifest), files);
        const { extentBytes } = sizeOfSnapshot(manifest);
        expect(extentBytes).toBeLessThanOrEqual(
          [...store.kept.values()].reduce((s, b) => s + b.length, 0),
        );
      }
    });
    fc.assert(holds, { numRuns: 8 });
  }, 60_000);

  it("of nothing cost nothing, and leave a file's sum as it was", () => {
    const store = new Extents();
    const files: Tree = new Map([["base/1", noise(seededRng(1), 50 * block)]]);
    const { manifest } = store.cut(files);
    const sent: Tree = new Map([["base/INCREMENTAL.1", incremental(new Map(), 50)]]);
    const next = store.cut(sent, { previous: manifest, isIncremental: true });
    expect(next.storedBytes).toBe(0);
    expect(next.manifest.files).toEqual(manifest.files);
  });

  it("that are none are refused", () => {
    const store = new Extents();
    const { manifest } = store.cut(new Map([["base/1", Buffer.alloc(3 * block)]]));
    const good = incremental(new Map([[1, Buffer.alloc(block, 7)]]), 3);
    const bad = (change: (bytes: Buffer) => Buffer | void): Buffer => {
      const bytes = Buffer.from(good);
      return change(bytes) ?? bytes;
    };
    const cases: [string, Buffer][] = [
      ["another magic", bad((b) => void b.writeUInt32LE(1, 0))],
      ["too many blocks", bad((b) => void b.writeUInt32LE(0xffff_ffff, 4))],
      ["more blocks than bytes", bad((b) => void b.writeUInt32LE(2, 4))],
      ["endless", bad((b) => void b.writeUInt32LE(0xffff_ffff, 8))],
      ["a block beyond", bad((b) => void b.writeUInt32LE(0xffff_fff0, 12))],
      ["cut short", bad((b) => b.subarray(0, 9))],
      ["empty", Buffer.alloc(0)],
      ["a block short", bad((b) => b.subarray(0, b.length - block))],
    ];
    for (const [name, bytes] of cases) {
      const sent: Tree = new Map([["base/INCREMENTAL.1", bytes]]);
      expect(() => store.cut(sent, { previous: manifest, isIncremental: true }), name).toThrow(
        /incremental backup cannot be used/,
      );
    }
    const stranger: Tree = new Map([["base/INCREMENTAL.2", good]]);
    expect(() => store.cut(stranger, { previous: manifest, isIncremental: true })).toThrow(
      /no base\/2/,
    );
    const whole: Tree = new Map([["base/INCREMENTAL.1", good]]);
    expectSame(store.hydrate(store.cut(whole).manifest), whole);
  });
});

describe("a full snapshot after many changes", () => {
  it("leaves extents behind of which little is used", () => {
    const rng = seededRng(8);
    const store = new Extents();
    const files: Tree = new Map();
    for (let i = 0; i < 20; i++) files.set(`base/${i}`, noise(rng, 40_000));
    let { manifest } = store.cut(files);
    const first = new Set(manifest.extents.keys());
    for (let i = 0; i < 15; i++) files.set(`base/${i}`, noise(rng, 40_000));
    ({ manifest } = store.cut(files, { previous: manifest }));
    ({ manifest } = store.cut(files, { previous: manifest }));
    expect([...manifest.extents.keys()].some((id) => first.has(id))).toBe(false);
    expectSame(store.hydrate(manifest), files);
  });
});
