import { describe, expect, it } from "vitest";
import {
  damageTaken,
  expectHostileIsHarmless,
  violationOf,
} from "../../test/helpers/codec-fuzz.ts";
import { ByteWriter } from "../base/bytes.ts";
import { crc32c } from "../base/crc32c.ts";
import { nodeId, volumeId } from "../base/ids.ts";
import {
  decodeHello,
  decodeMessage,
  decodeObjectMessage,
  encodeHello,
  encodeMessage,
  encodeObjectMessage,
  type Envelope,
  messageBytesMax,
  MessageFramer,
  objectBytesMax,
  type ObjectMessage,
  type ObjectMessageKind,
  type ObjectMessageOf,
  objectNameLengthMax,
  objectNamesMax,
  objectPartBytesMax,
  refusalBytesMax,
} from "./index.ts";

const volume = volumeId("11111111-2222-4333-8444-555555555555");
const node = nodeId("00000000-0000-4000-8000-000000000001");
const envelope: Envelope = { volumeId: volume, sender: "keeper", target: node, requestId: 77n };
const name = `extents/ab/${"ab".repeat(32)}`;
const bytes = Buffer.from("sealed");

/** One of every kind: a forgotten one does not compile. */
const samples: { readonly [K in ObjectMessageKind]: ObjectMessageOf<K> } = {
  putObject: { kind: "putObject", name, sizeBytes: 900, bytes },
  objectPart: { kind: "objectPart", bytes },
  getObject: { kind: "getObject", name: "volume.json" },
  objectData: { kind: "objectData", sizeBytes: objectBytesMax, bytes },
  objectAbsent: { kind: "objectAbsent" },
  hasObjects: { kind: "hasObjects", names: [name, "snapshots/genesis.manifest"] },
  objectsFound: { kind: "objectsFound", areThere: [true, false, true] },
  listObjects: { kind: "listObjects", prefix: "extents/", after: name },
  objectList: {
    kind: "objectList",
    objects: [{ name, sizeBytes: 2 ** 40, putAtMs: 1_790_000_000_000, isShared: true }],
    isEnd: false,
  },
  deleteObjects: { kind: "deleteObjects", names: [name] },
  tidyObjects: { kind: "tidyObjects", beforeMs: Number.MAX_SAFE_INTEGER },
  objectsDone: { kind: "objectsDone" },
  objectRefused: { kind: "objectRefused", reason: "noSpace", message: "kein Platz für Größeres" },
};
const everyMessage: ObjectMessage[] = Object.values(samples);
const encoded = everyMessage.map((message) => encodeObjectMessage(envelope, message));

describe("messages of object links", () => {
  it.each(everyMessage.map((message) => [message.kind, message] as const))(
    "%s comes back as it was",
    (_, message) => {
      const back = decodeObjectMessage(encodeObjectMessage(envelope, message));
      expect(back).toEqual({ envelope, message });
    },
  );

  it("nothing, and the most that one may hold, come back too", () => {
    const longest = "n".repeat(objectNameLengthMax);
    const names = Array.from({ length: objectNamesMax }, () => longest);
    const full = Buffer.alloc(objectPartBytesMax, 7);
    const extremes: ObjectMessage[] = [
      { ...samples.putObject, sizeBytes: 0, bytes: Buffer.alloc(0) },
      { ...samples.putObject, sizeBytes: full.length, bytes: full },
      { kind: "objectPart", bytes: Buffer.alloc(0) },
      { kind: "objectPart", bytes: full },
      { kind: "hasObjects", names: [] },
      { kind: "hasObjects", names },
      { kind: "objectList", objects: [], isEnd: true },
      {
        kind: "objectList",
        objects: names.map((one) => ({ name: one, sizeBytes: 0, putAtMs: 0, isShared: false })),
        isEnd: true,
      },
      { kind: "listObjects", prefix: "", after: "" },
      { ...samples.objectRefused, message: "x".repeat(refusalBytesMax) },
    ];
    for (const message of extremes) {
      const once = encodeObjectMessage(envelope, message);
      expect(once.length).toBeLessThan(messageBytesMax);
      // Compared as bytes: a mebibyte, field by field, takes a minute.
      const again = encodeObjectMessage(envelope, decodeObjectMessage(once).message);
      expect(again.equals(once), message.kind).toBe(true);
    }
  });

  it("refuses what is longer than it may be, whoever says so", () => {
    const name256 = "n".repeat(objectNameLengthMax + 1);
    const many = Array.from({ length: objectNamesMax + 1 }, () => "n");
    const wrong: ObjectMessage[] = [
      { kind: "getObject", name: name256 },
      { kind: "objectPart", bytes: Buffer.alloc(objectPartBytesMax + 1) },
      { ...samples.putObject, sizeBytes: objectBytesMax + 1 },
      { ...samples.putObject, sizeBytes: bytes.length - 1 },
      { ...samples.objectData, bytes: Buffer.alloc(0) },
      { kind: "hasObjects", names: many },
      { kind: "deleteObjects", names: [name256] },
      { kind: "objectsFound", areThere: many.map(() => true) },
      { kind: "objectList", objects: [], isEnd: false },
      { ...samples.objectRefused, message: "x".repeat(refusalBytesMax + 1) },
    ];
    for (const message of wrong) {
      const whole = encodeObjectMessage(envelope, message);
      expect(
        violationOf(() => decodeObjectMessage(whole)),
        message.kind,
      ).toBeDefined();
    }
  });

  it("every truncation and every single flipped bit is a violation", () => {
    expect(damageTaken(encoded, decodeObjectMessage)).toEqual([]);
  });

  it("hostile bytes behind a good CRC decode or are violations, never anything else", () => {
    const crcEnd = (whole: Buffer): number => whole.length;
    expectHostileIsHarmless(encoded, decodeObjectMessage, { runs: 2_000, crcEnd });
  });

  it("are cut by the same framer as all others", () => {
    const stream = Buffer.concat(encoded);
    for (const size of [1, 7, 50, 199, stream.length]) {
      const framer = new MessageFramer();
      const kinds: string[] = [];
      for (let from = 0; from < stream.length; from += size)
        for (const one of framer.push(stream.subarray(from, from + size)))
          kinds.push(decodeObjectMessage(one).message.kind);
      expect(kinds).toEqual(everyMessage.map((message) => message.kind));
    }
  });
});

describe("the two languages", () => {
  it("have no word in common: neither kind of link takes the other's", () => {
    for (const whole of encoded) expect(() => decodeMessage(whole)).toThrow("is unknown");
    const inspect = encodeMessage(envelope, { kind: "inspect" });
    expect(() => decodeObjectMessage(inspect)).toThrow("is unknown");
    // An Append has no sender before its body: its bytes are nothing here, whatever they say.
    const types = new Set(encoded.map((whole) => whole[8]));
    expect(types.size).toBe(encoded.length);
    expect(Math.min(...[...types].map(Number))).toBe(128);
  });

  it("are told apart by the purpose of the link", () => {
    const own = { volumeId: volume, nodeId: node };
    const hello = encodeHello({ ...own, purpose: "object", sender: "keeper" });
    expect(decodeHello(hello).purpose).toBe("object");
    const unknown = new ByteWriter().raw(hello).finish();
    unknown[10] = 4;
    unknown.writeUInt32BE(crc32c(unknown, 0, 0, 108), 108);
    expect(() => decodeHello(unknown)).toThrow("purpose 4");
  });
});
