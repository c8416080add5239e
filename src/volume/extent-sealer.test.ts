import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { volumeId } from "../base/ids.ts";
import type { DataKeys } from "../keys/index.ts";
import { objectHeaderBytes } from "./extent-format.ts";
import { ExtentSealer, withDeflate } from "./index.ts";

const volume = volumeId("11111111-2222-3333-4444-555555555555");
const other = volumeId("22222222-2222-3333-4444-555555555555");

function someKeys(current = 2, count = 2): DataKeys {
  const keys = new Map(
    Array.from({ length: count }, (_, i) => [i + 1, randomBytes(32)] as [number, Buffer]),
  );
  return { current, keys, acceptsPlain: false };
}

const text = Buffer.from("some pages of a relation, ".repeat(300));

async function sealed(sealer: ExtentSealer, plain: Buffer): Promise<{ id: string; bytes: Buffer }> {
  const id = sealer.idOf(plain);
  return { id, bytes: await sealer.sealExtent(id, plain) };
}

describe.each([
  ["encrypted", someKeys()],
  ["plain", undefined],
])("an %s extent", (kind, keys) => {
  const sealer = new ExtentSealer({ volumeId: volume, keys });

  it("gives its bytes back, whatever they are", async () => {
    const holds = fc.asyncProperty(fc.uint8Array({ maxLength: 3000 }), async (some) => {
      for (const plain of [Buffer.from(some), Buffer.concat([Buffer.from(some), text])]) {
        const { id, bytes } = await sealed(sealer, plain);
        expect((await sealer.openExtent(id, bytes)).equals(plain)).toBe(true);
      }
    });
    await fc.assert(holds, { numRuns: 60 });
  });

  it("is smaller than what compresses, and hides it if it is encrypted", async () => {
    const { id, bytes } = await sealed(sealer, text);
    expect(bytes.length).toBeLessThan(300);
    const random = randomBytes(5000);
    const raw = await sealed(sealer, random);
    expect(raw.bytes.length).toBeLessThan(5060);
    expect(raw.bytes.includes(random)).toBe(kind === "plain");
    const again = await sealer.sealExtent(id, text);
    expect(again.equals(bytes)).toBe(kind === "plain");
  });

  it("is found damaged after any flipped bit, at every length, and under another name", async () => {
    const { id, bytes } = await sealed(sealer, text);
    // Each bit of the header, one of each byte behind it.
    const flips = [...bytes.keys()].flatMap((byte) =>
      byte < objectHeaderBytes
        ? [0, 1, 2, 3, 4, 5, 6, 7].map((bit) => [byte, bit])
        : [[byte, byte % 8]],
    ) as [number, number][];
    for (const [byte, bit] of flips) {
      const bad = Buffer.from(bytes);
      bad.writeUInt8(bad.readUInt8(byte) ^ (1 << bit), byte);
      // Also where it looks like a format or codec of the future, or like a key that is not here: those are never healed.
      await expect(sealer.openExtent(id, bad), `byte ${byte}`).rejects.toMatchObject({
        code: "XX001",
      });
      const cut = bytes.subarray(0, byte);
      await expect(sealer.openExtent(id, cut)).rejects.toMatchObject({ code: "XX001" });
    }
    const name = sealer.idOf(Buffer.from("other"));
    await expect(sealer.openExtent(name, bytes)).rejects.toMatchObject({ code: "XX001" });
    await expect(sealer.openManifest("auto-1", bytes)).rejects.toMatchObject({ code: "XX001" });
  });

  it("of a format of the future is refused as that, and never taken for damage", async () => {
    const { id, bytes } = await sealed(sealer, text);
    bytes.writeUInt8(2, 4);
    // It is sealed otherwise, too.
    bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
    await expect(sealer.openExtent(id, bytes)).rejects.toMatchObject({ code: "0A000" });
  });

  it("with honest sums under a wrong name is told by its hash", async () => {
    const wrong = sealer.idOf(Buffer.from("what it is not"));
    const bytes = await sealer.sealExtent(wrong, text);
    await expect(sealer.openExtent(wrong, bytes)).rejects.toThrow(/not what it is named by/);
  });

  it("that claims more than an extent holds is not unpacked", async () => {
    const bomb = Buffer.alloc((1 << 20) + 1);
    const { id, bytes } = await sealed(sealer, bomb);
    await expect(sealer.openExtent(id, bytes)).rejects.toThrow(/claims 1048577 bytes/);
    const lying = Buffer.from((await sealed(sealer, Buffer.alloc(1 << 20))).bytes);
    lying.writeUInt32BE(100, 8);
    await expect(sealer.openExtent(id, lying)).rejects.toMatchObject({ code: "XX001" });
  });
});

describe("keys of extents", () => {
  it("name the same content alike for one volume and its clones, and for nobody else", () => {
    const keys = someKeys();
    const own = new ExtentSealer({ volumeId: volume, keys });
    const rotated = { ...keys, current: 3, keys: new Map([...keys.keys, [3, randomBytes(32)]]) };
    const later = new ExtentSealer({ volumeId: volume, keys: rotated });
    const clone = new ExtentSealer({ volumeId: other, keys: rotated });
    const stranger = new ExtentSealer({ volumeId: volume, keys: someKeys() });
    const plain = new ExtentSealer({ volumeId: volume, keys: undefined });
    expect(later.idOf(text)).toBe(own.idOf(text));
    expect([later.addressing, clone.addressing]).toEqual([own.addressing, own.addressing]);
    expect(stranger.addressing).not.toBe(own.addressing);
    expect(plain.addressing).not.toBe(own.addressing);
    expect(new Set([own, stranger, plain].map((one) => one.idOf(text))).size).toBe(3);
  });

  it("open what older keys sealed, also in a clone, and nothing without them", async () => {
    const keys = someKeys(1, 1);
    const own = new ExtentSealer({ volumeId: volume, keys });
    const { id, bytes } = await sealed(own, text);
    const rotated = { ...keys, current: 2, keys: new Map([...keys.keys, [2, randomBytes(32)]]) };
    const clone = new ExtentSealer({ volumeId: other, keys: rotated });
    expect((await clone.openExtent(id, bytes)).equals(text)).toBe(true);
    const newer = await clone.sealExtent(id, text);
    await expect(own.openExtent(id, newer)).rejects.toMatchObject({ code: "55000" });
    const stranger = new ExtentSealer({ volumeId: volume, keys: someKeys(1, 1) });
    await expect(stranger.openExtent(id, bytes)).rejects.toMatchObject({ code: "XX001" });
    const none = new ExtentSealer({ volumeId: volume, keys: undefined });
    await expect(none.openExtent(id, bytes)).rejects.toMatchObject({ code: "55000" });
  });

  it("take plain extents only from a volume that was plain once", async () => {
    const before = new ExtentSealer({ volumeId: volume, keys: undefined });
    const { id, bytes } = await sealed(before, text);
    const keys = someKeys();
    const strict = new ExtentSealer({ volumeId: volume, keys });
    await expect(strict.openExtent(id, bytes)).rejects.toThrow(/not encrypted/);
    const converted = new ExtentSealer({ volumeId: volume, keys: { ...keys, acceptsPlain: true } });
    expect((await converted.openExtent(id, bytes)).equals(text)).toBe(true);
  });
});

describe("compression", () => {
  it("reads what either kind wrote, as far as this Node can", async () => {
    const best = new ExtentSealer({ volumeId: volume, keys: undefined });
    const old = new ExtentSealer({ volumeId: volume, keys: undefined, compression: withDeflate });
    for (const [from, to] of [
      [best, old],
      [old, best],
    ] as const) {
      const { id, bytes } = await sealed(from, text);
      expect((await to.openExtent(id, bytes)).equals(text)).toBe(true);
    }
  });

  it("says which Node it takes to read zstd where there is none", async (context) => {
    if ("zstd" in process.versions) context.skip();
    const zstd = { ...withDeflate, codec: "zstd" as const };
    const sealer = new ExtentSealer({ volumeId: volume, keys: undefined, compression: zstd });
    const { id, bytes } = await sealed(sealer, text);
    await expect(sealer.openExtent(id, bytes)).rejects.toMatchObject({
      code: "0A000",
      hint: expect.stringContaining("22.15"),
    });
  });
});
