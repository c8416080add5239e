import { describe, expect, it } from "vitest";
import { epoch, timeline } from "../base/ids.ts";
import { lsn, type Lsn } from "../base/lsn.ts";
import { FrameBatch } from "./frame-batch.ts";
import { plainSealer } from "./frame-cipher.ts";
import { judgeTail, reachOf, searchDebris } from "./frame-scan.ts";

const at = (value: number): Lsn => lsn(BigInt(value));

function framesAt(scl: number, ...texts: string[]): Buffer {
  const batch = new FrameBatch(Buffer.alloc(4096), at(scl), plainSealer);
  batch.begin(at(scl));
  for (const text of texts) {
    batch.add({ epoch: epoch(1), timeline: timeline(1), payload: Buffer.from(text) });
  }
  return Buffer.from(batch.bytes);
}

describe("what lies behind the last good frame", () => {
  it("is blank if nothing was ever written there", () => {
    expect(searchDebris(Buffer.alloc(100))).toEqual({ isBlank: true, sclSeen: undefined });
  });
  it("shows the SCL of the newest frame in it, wherever that begins", () => {
    const debris = Buffer.concat([
      Buffer.from("half a frame"),
      framesAt(500, "a", "b"),
      Buffer.from("BFRM is no frame"),
      framesAt(700, "c"),
    ]);
    expect(searchDebris(debris)).toEqual({ isBlank: false, sclSeen: 700n });
  });
});

describe("how far whole frames behind rot reach", () => {
  const debris = Buffer.concat([Buffer.from("rot"), framesAt(500, "ab"), framesAt(700, "cde")]);
  it("is the end of the last one: what was synced with it may have been acknowledged", () => {
    expect(reachOf(debris, undefined)).toBe(703n);
  });
  it("is no more than where a cut ends them, nor than what is whole", () => {
    expect(reachOf(debris, at(600))).toBe(600n);
    expect(reachOf(debris.subarray(0, debris.length - 1), undefined)).toBe(502n);
    expect(reachOf(Buffer.from("rot"), undefined)).toBeUndefined();
  });
});

describe("a log that ends at 100", () => {
  const blank = { isBlank: true, sclSeen: undefined };
  const half = { isBlank: false, sclSeen: undefined };
  const unknown = { syncMark: at(0), laterStart: undefined };
  it.each([
    ["clean", "with nothing behind", blank, unknown, { kind: "clean" }],
    ["torn", "with half a frame behind", half, unknown, { kind: "torn" }],
    [
      "torn",
      "with a later frame of the same write behind",
      { isBlank: false, sclSeen: at(100) },
      unknown,
      { kind: "torn" },
    ],
    [
      "rotten",
      "with a frame behind that was written at a higher SCL",
      { isBlank: false, sclSeen: at(150) },
      unknown,
      { kind: "rot", knownEnd: 150n },
    ],
    [
      "rotten",
      "below its sync mark, even if what is left looks blank",
      blank,
      { syncMark: at(120), laterStart: undefined },
      { kind: "rot", knownEnd: 120n },
    ],
    [
      "rotten",
      "when a later file begins further on",
      half,
      { syncMark: at(110), laterStart: at(400) },
      { kind: "rot", knownEnd: 400n },
    ],
    [
      "clean",
      "at its sync mark",
      blank,
      { syncMark: at(100), laterStart: undefined },
      { kind: "clean" },
    ],
  ] as const)("is %s %s", (_kind, _when, debris, seen, verdict) => {
    expect(judgeTail(at(100), { debris, ...seen })).toEqual(verdict);
  });
});
