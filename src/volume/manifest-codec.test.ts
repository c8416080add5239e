import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BorealisError } from "../base/errors.ts";
import { epoch, timeline, volumeId } from "../base/ids.ts";
import { lsn } from "../base/lsn.ts";
import { seededRng } from "../base/rng.ts";
import {
  encodeManifest,
  parseManifest,
  reasonForFull,
  sizeOfSnapshot,
  type SnapshotManifest,
} from "./index.ts";

const volume = volumeId("11111111-2222-3333-4444-555555555555");
const [one, two] = ["ab".repeat(32), "cd".repeat(32)] as const;

function aManifest(changes: Partial<SnapshotManifest> = {}): SnapshotManifest {
  return {
    id: "auto-20261128t201530z-00000000014a2b78",
    kind: "automatic",
    volumeId: volume,
    history: [
      { epoch: epoch(1), timeline: timeline(1), start: lsn(0x1000000n), kind: "branch" },
      {
        epoch: epoch(4),
        timeline: timeline(2),
        start: lsn(0x1200000n),
        kind: "backtrack",
        volumeId: volume,
      },
    ],
    startLsn: lsn(0x14a2b78n),
    endLsn: lsn(0x14a2c00n),
    takenAtMs: Date.UTC(2026, 10, 28, 20, 15, 30, 123),
    postgresMajor: 18,
    catalogVersion: 202506291,
    systemIdentifier: 7_412_345_678_901_234_567n,
    addressing: "0123456789abcdef",
    directories: ["base", "base/5"],
    files: [
      {
        name: "PG_VERSION",
        sizeBytes: 3,
        crc: 0,
        pieces: [{ extent: two, at: 5, lengthBytes: 3 }],
      },
      {
        name: "base/5/1259",
        sizeBytes: 300_000,
        crc: undefined,
        pieces: [
          { extent: one, at: 0, lengthBytes: 200_000 },
          { extent: undefined, at: 0, lengthBytes: 99_000 },
          { extent: two, at: 1000, lengthBytes: 1000 },
        ],
      },
      { name: "empty", sizeBytes: 0, crc: 0xffff_ffff, pieces: [] },
    ],
    extents: new Map([
      [one, { plainBytes: 1 << 20, storedBytes: 70_000 }],
      [two, { plainBytes: 2000, storedBytes: 2100 }],
    ]),
    parts: new Map([["0f".repeat(16), { extent: two, at: 5, lengthBytes: 3 }]]),
    log: {
      from: lsn(0x1000000n),
      to: lsn(0x1000064n),
      pieces: [{ extent: two, at: 100, lengthBytes: 100 }],
    },
    ...changes,
  };
}

function refusal(run: () => unknown): BorealisError {
  try {
    run();
  } catch (error) {
    if (error instanceof BorealisError) return error;
    throw error;
  }
  throw new Error("it was not refused");
}

describe("a manifest", () => {
  it("is read as it was written", () => {
    for (const manifest of [aManifest(), aManifest({ log: undefined, parts: new Map() })])
      expect(parseManifest(manifest.id, encodeManifest(manifest))).toEqual(manifest);
  });

  it("is not taken for another snapshot's, nor from a newer version", () => {
    const bytes = encodeManifest(aManifest());
    expect(refusal(() => parseManifest("auto-2", bytes))).toMatchObject({ code: "XX001" });
    bytes.writeUInt16BE(2, 4);
    const newer = refusal(() => parseManifest(aManifest().id, bytes));
    expect(newer).toMatchObject({ code: "0A000" });
    expect(newer.message).toMatch(/format 2, and this Borealis knows 1/);
  });

  it("is refused in words at every length, and whatever anybody made of it", () => {
    const manifest = aManifest();
    const bytes = encodeManifest(manifest);
    for (let length = 0; length < bytes.length; length++) {
      const cut = bytes.subarray(0, length);
      expect(refusal(() => parseManifest(manifest.id, cut)).code, `${length}`).toBe("XX001");
    }
    const rng = seededRng(11);
    let refused = 0;
    for (let i = 0; i < 3_000; i++) {
      const hostile = Buffer.from(bytes);
      for (let n = 0; n <= rng.below(3); n++)
        hostile.writeUInt8(rng.below(256), 6 + rng.below(bytes.length - 6));
      try {
        checkSound(parseManifest(manifest.id, hostile));
      } catch (error) {
        if (!(error instanceof BorealisError)) throw error;
        expect(error.code).toBe("XX001");
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(1000);
  }, 60_000);

  it("leads nowhere but down", () => {
    for (const name of ["../x", "/etc/passwd", "a//b", ".", "a/..", "a\0b", ""]) {
      const files = [{ name, sizeBytes: 0, crc: 0, pieces: [] }];
      const bytes = encodeManifest(aManifest({ files }));
      expect(refusal(() => parseManifest(aManifest().id, bytes)).code, name).toBe("XX001");
    }
  });

  it("claims no more memory than its bytes are worth", () => {
    const counts = [0xff, 0xff, 0xff, 0xff, 0x7f];
    const bytes = encodeManifest(aManifest());
    const headEnd = 10 + bytes.readUInt32BE(6);
    const greedy = Buffer.concat([bytes.subarray(0, headEnd), Buffer.from(counts)]);
    expect(refusal(() => parseManifest(aManifest().id, greedy)).message).toMatch(
      /where at most \d+ can be/,
    );
  });
});

function checkSound(manifest: SnapshotManifest): void {
  for (const { sizeBytes, pieces } of manifest.files) {
    let sum = 0;
    for (const { extent, at, lengthBytes } of pieces) {
      sum += lengthBytes;
      if (extent === undefined) continue;
      expect(at + lengthBytes).toBeLessThanOrEqual(manifest.extents.get(extent)?.plainBytes ?? -1);
    }
    expect(sum).toBe(sizeBytes);
  }
}

describe("how far a snapshot is from a fresh one", () => {
  it("counts pieces and bytes that nobody uses", () => {
    expect(sizeOfSnapshot(aManifest())).toEqual({
      dataBytes: 300_003,
      storedBytes: 72_100,
      pieces: 4,
      extentBytes: (1 << 20) + 2000,
      usedBytes: 3 + 201_000 + 100,
    });
    expect(reasonForFull(aManifest())).toBeUndefined();
  });

  it("asks for a full one when files are in crumbs, or extents mostly dead", () => {
    const crumbs = Array.from({ length: 40_000 }, (_, i) => ({
      extent: one,
      at: (i * 17) % 1000,
      lengthBytes: 10,
    }));
    const files = [{ name: "f", sizeBytes: 400_000, crc: undefined, pieces: crumbs }];
    expect(reasonForFull(aManifest({ files }))).toMatch(/40000 pieces/);
    const dead = new Map(
      Array.from({ length: 100 }, (_, i) => [
        i.toString(16).padStart(64, "0"),
        { plainBytes: 1 << 20, storedBytes: 1 },
      ]),
    );
    const extents = new Map([...aManifest().extents, ...dead]);
    expect(reasonForFull(aManifest({ extents }))).toMatch(/nobody uses/);
  });
});

describe("numbers in a manifest", () => {
  it("are the same after a round trip, up to a TiB", () => {
    const sizes = fc.array(fc.nat(2 ** 31 - 1), { maxLength: 20 });
    const holds = fc.property(sizes, fc.nat(2 ** 31 - 1), (lengths, last) => {
      const files = [...lengths, 2 ** 40 - 1 - last].map((sizeBytes, i) => ({
        name: `f${i}`,
        sizeBytes,
        crc: sizeBytes >>> 0,
        pieces: sizeBytes === 0 ? [] : [{ extent: undefined, at: 0, lengthBytes: sizeBytes }],
      }));
      const manifest = aManifest({ files });
      expect(parseManifest(manifest.id, encodeManifest(manifest)).files).toEqual(files);
    });
    fc.assert(holds, { numRuns: 200 });
  });
});
