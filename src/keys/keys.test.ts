import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { volumeId } from "../base/ids.ts";
import type { SecretFiles } from "../io/index.ts";
import {
  createKeyRing,
  type DataKeys,
  encodeDataKeys,
  encodeKeyRing,
  inheritKeyRing,
  KeyFileProvider,
  newestRing,
  openKeyRing,
  parseDataKeys,
  parseKeyRing,
  rotateDataKey,
  rotateMasterKey,
} from "./index.ts";

const volume = volumeId("11111111-2222-3333-4444-555555555555");
const createdAt = "2026-01-01T00:00:00Z";

function aWorld() {
  const kept = new Map<string, string>();
  const files: SecretFiles = {
    read: (path) => kept.get(path),
    replace: (path, text) => void kept.set(path, text),
  };
  const entropy = { bytes: randomBytes, uuid: () => "" };
  const provider = new KeyFileProvider("master.json", { files, entropy, now: () => createdAt });
  return { kept, provider };
}

async function aRing() {
  const world = aWorld();
  await world.provider.create();
  return { ...world, ring: await createKeyRing(world.provider, { volumeId: volume, createdAt }) };
}

const texts = (keys: DataKeys): [number, string][] =>
  [...keys.keys].map(([id, key]) => [id, key.toString("hex")]);

describe("a key ring", () => {
  it("opens with its key file, and is the same again after it was written down", async () => {
    const { provider, ring } = await aRing();
    const read = parseKeyRing(encodeKeyRing(ring));
    expect(read).toEqual(ring);
    const keys = await openKeyRing(provider, ring);
    expect(keys.current).toBe(1);
    expect(keys.keys.get(1)?.length).toBe(32);
  });

  it("holds no key in clear", async () => {
    const { provider, ring } = await aRing();
    const keys = await openKeyRing(provider, ring);
    const text = encodeKeyRing(ring);
    for (const key of keys.keys.values()) {
      expect(text).not.toContain(key.toString("base64"));
      expect(text).not.toContain(key.toString("hex"));
    }
  });

  it("gets a new current key, and keeps the old ones", async () => {
    const { provider, ring } = await aRing();
    const before = await openKeyRing(provider, ring);
    const next = await rotateDataKey(provider, ring, createdAt);
    const after = await openKeyRing(provider, next);
    expect([next.version, next.current, [...after.keys.keys()]]).toEqual([2, 2, [1, 2]]);
    expect(texts(after)[0]).toEqual(texts(before)[0]);
    expect(texts(after)[1]?.[1]).not.toBe(texts(before)[0]?.[1]);
  });

  it("has the same keys under a new master key, and older copies of it still open", async () => {
    const { provider, ring } = await aRing();
    const before = texts(await openKeyRing(provider, ring));
    const next = await rotateMasterKey(provider, ring);
    expect(next.keys[0]?.wrapped).not.toBe(ring.keys[0]?.wrapped);
    expect(texts(await openKeyRing(provider, next))).toEqual(before);
    expect(texts(await openKeyRing(provider, ring))).toEqual(before);
  });

  it("does not open without its key file, and the error names it", async () => {
    const { kept, provider, ring } = await aRing();
    const good = kept.get("master.json") ?? "";
    kept.delete("master.json");
    await expect(openKeyRing(provider, ring)).rejects.toThrow(/master\.json .* it is missing/);
    kept.set("master.json", good.slice(0, 40));
    await expect(openKeyRing(provider, ring)).rejects.toThrow(/cannot be used: it is not JSON/);
    const other = await aRing();
    await expect(openKeyRing(other.provider, ring)).rejects.toThrow(/is not the volume's/);
  });

  it("opens for its own volume and under its own number only", async () => {
    const { provider, ring } = await aRing();
    const stranger = { ...ring, volumeId: volumeId("22222222-2222-3333-4444-555555555555") };
    await expect(openKeyRing(provider, stranger)).rejects.toThrow(/does not unwrap/);
    const [key] = ring.keys;
    if (!key) throw new Error("no key");
    const renumbered = { ...ring, current: 2, keys: [{ ...key, id: 2 }] };
    await expect(openKeyRing(provider, renumbered)).rejects.toThrow(/does not unwrap/);
  });

  it("opens a clone's volume with the same keys, once it is wrapped for that", async () => {
    const { provider, ring } = await aRing();
    const parent = await rotateDataKey(provider, ring, createdAt);
    const clone = volumeId("22222222-2222-3333-4444-555555555555");
    const inherited = await inheritKeyRing(provider, parent, clone);
    expect(newestRing([encodeKeyRing(inherited)], clone)).toEqual(inherited);
    expect(await openKeyRing(provider, inherited)).toEqual(await openKeyRing(provider, parent));
    const borrowed = { ...parent, volumeId: clone };
    await expect(openKeyRing(provider, borrowed)).rejects.toThrow(/does not unwrap/);
  });

  it("is taken from its newest whole copy", async () => {
    const { provider, ring } = await aRing();
    const next = await rotateDataKey(provider, ring, createdAt);
    const copies = [encodeKeyRing(next).replace("2026", "2027"), encodeKeyRing(ring), "", "{}"];
    expect(newestRing(copies, volume)?.version).toBe(1);
    expect(newestRing([...copies, encodeKeyRing(next)], volume)?.version).toBe(2);
    const other = volumeId("22222222-2222-3333-4444-555555555555");
    expect(newestRing(copies, other)).toBeUndefined();
  });

  it("is damaged by any flipped bit", async () => {
    const { ring } = await aRing();
    const text = encodeKeyRing(ring);
    const good = JSON.stringify(parseKeyRing(text));
    for (let byte = 0; byte < text.length; byte++) {
      const bytes = Buffer.from(text);
      bytes.writeUInt8(bytes.readUInt8(byte) ^ 1, byte);
      const parsed = parseKeyRing(bytes.toString());
      // White space means nothing; whatever else parses must be what was written.
      if (parsed) expect(JSON.stringify(parsed), `byte ${byte}`).toBe(good);
    }
  });
});

describe("data keys on their way to a process", () => {
  it("arrive as they were", async () => {
    const { provider, ring } = await aRing();
    const keys = await openKeyRing(provider, ring);
    const given: unknown = JSON.parse(JSON.stringify(encodeDataKeys(keys)));
    expect(parseDataKeys(given)).toEqual(keys);
  });

  it("are refused without a word of what they are", () => {
    const secret = Buffer.alloc(31, 5).toString("base64");
    const raw = { current: 1, acceptsPlain: false, keys: [{ id: 1, key: secret }] };
    expect(() => parseDataKeys(raw)).toThrow("the data keys given are malformed");
    expect(() => parseDataKeys({ ...raw, keys: [] })).toThrow(/malformed/);
    expect(() => parseDataKeys("x")).toThrow(/malformed/);
  });
});
