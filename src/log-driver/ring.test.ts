import { describe, expect, it } from "vitest";
import { crc32c } from "../base/crc32c.ts";
import { advance, lsn } from "../base/lsn.ts";
import { seededRng } from "../base/rng.ts";
import { LogRing } from "./ring.ts";

const mib = 1024 * 1024;
const origin = lsn(0x1_0000_0028n);

describe("the ring of newest WAL", () => {
  it("gives back what was appended, whatever the cuts", () => {
    const rng = seededRng(7);
    const wal = Buffer.from(Array.from({ length: 3 * mib }, (_, i) => (i * 31 + (i >> 9)) & 0xff));
    const ring = new LogRing(origin, 8 * mib);
    for (let at = 0; at < wal.length;) {
      const next = Math.min(wal.length, at + 1 + rng.below(200_000));
      ring.append(wal.subarray(at, next));
      at = next;
    }
    for (let at = 0; at < wal.length;) {
      const to = Math.min(wal.length, at + 1 + rng.below(700_000));
      const view = ring.view(advance(origin, at), advance(origin, to));
      expect(view?.bytes.length).toBeGreaterThan(0);
      const got = view?.bytes ?? Buffer.alloc(0);
      expect(got.equals(wal.subarray(at, at + got.length))).toBe(true);
      expect(view?.crc).toBe(crc32c(wal, 0, at, at + got.length));
      at += got.length;
    }
  });

  it("forgets the oldest beyond its limit, and says that it has it no more", () => {
    const ring = new LogRing(origin, 2 * mib);
    for (let i = 0; i < 50; i++) ring.append(Buffer.alloc(100_000, i));
    expect(ring.sizeBytes).toBeLessThanOrEqual(2 * mib);
    expect(ring.view(origin, ring.end)).toBeUndefined();
    expect(ring.view(ring.start, ring.end)?.bytes.length).toBeGreaterThan(0);
    expect(ring.end).toBe(advance(origin, 5_000_000));
  });

  it("gives nothing at its end and drops what is trimmed", () => {
    const ring = new LogRing(origin, 2 * mib);
    ring.append(Buffer.from("abcdef"));
    expect(ring.view(ring.end, ring.end)?.bytes.length).toBe(0);
    ring.trim(advance(origin, 4));
    expect(ring.view(advance(origin, 3), ring.end)).toBeUndefined();
    expect(ring.view(advance(origin, 4), ring.end)?.bytes.toString()).toBe("ef");
    ring.trim(advance(origin, 100));
    expect(ring.start).toBe(ring.end);
    ring.append(Buffer.from("gh"));
    expect(ring.view(advance(origin, 6), ring.end)?.bytes.toString()).toBe("gh");
  });
});
