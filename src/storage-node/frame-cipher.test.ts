import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { crc32c } from "../base/crc32c.ts";
import { epoch, nodeId, timeline, volumeId } from "../base/ids.ts";
import { lsn, type Lsn } from "../base/lsn.ts";
import { realEntropy } from "../io/index.ts";
import type { DataKeys } from "../keys/index.ts";
import { FrameBatch } from "./frame-batch.ts";
import { scanFrame } from "./frame-scan.ts";
import { frameHeaderBytes, type FrameHeader, payloadCrcOf } from "./frame.ts";
import { LogCipher, UnknownDataKey } from "./log-cipher.ts";

const owner = {
  volumeId: volumeId("11111111-2222-3333-4444-555555555555"),
  nodeId: nodeId("aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"),
};
const file = { sequence: 3, firstLsn: lsn(0x1000n) };

function theKeys(current: number, ...ids: number[]): DataKeys {
  const keys = new Map(ids.map((id) => [id, Buffer.alloc(32, id)]));
  return { current, keys, acceptsPlain: false };
}

function aCipher(keys: DataKeys | undefined, of = owner): LogCipher {
  return new LogCipher(of, { keys, entropy: realEntropy });
}

function aFrame(cipher: LogCipher, payload: Buffer, place = file): Buffer {
  const sealer = cipher.sealerFor(() => ({ ...place, fd: 1, at: 64 }));
  const batch = new FrameBatch(Buffer.alloc(payload.length + frameHeaderBytes), at(5), sealer);
  batch.add({ epoch: epoch(2), timeline: timeline(1), payload, payloadCrc: crc32c(payload) });
  return Buffer.from(batch.bytes);
}

const at = (value: number): Lsn => lsn(BigInt(value));

function headerOf(bytes: Buffer): FrameHeader {
  const step = scanFrame(bytes, 0, at(5));
  if (step.kind !== "frame") throw new Error(step.kind);
  return step.header;
}

function open(cipher: LogCipher, bytes: Buffer, from = file): Buffer | undefined {
  return cipher.open(from, { header: headerOf(bytes), bytes, at: 0 });
}

/** As someone with a disk editor would: the CRCs fit again. */
function withCrcs(bytes: Buffer): Buffer {
  const end = bytes.length;
  const keyId = bytes.readUInt32BE(40);
  bytes.writeUInt32BE(payloadCrcOf(keyId, bytes, frameHeaderBytes, end), 72);
  bytes.writeUInt32BE(crc32c(bytes, 0, 0, 76), 76);
  return bytes;
}

const text = Buffer.from("some bytes of log that nobody else may read");

describe("an encrypted frame", () => {
  it("is read back as it was written, whatever its length, and holds none of it in clear", () => {
    const cipher = aCipher(theKeys(1, 1));
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 2000 }), (bytes) => {
        const payload = Buffer.from(bytes);
        const frame = aFrame(cipher, payload);
        expect(open(cipher, frame)?.equals(payload)).toBe(true);
        if (payload.length > 8) expect(frame.includes(payload)).toBe(false);
      }),
    );
  });

  it("is rot to whoever has no key when any bit flips", () => {
    const frame = aFrame(aCipher(theKeys(1, 1)), text);
    for (let bit = 0; bit < frame.length * 8; bit++) {
      const flipped = Buffer.from(frame);
      flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      expect(scanFrame(flipped, 0, at(5)).kind, `bit ${bit}`).toBe("bad");
    }
  });

  it("does not open when any byte was changed and the CRCs made to fit", () => {
    const cipher = aCipher(theKeys(1, 1, 2));
    const frame = aFrame(cipher, text);
    for (let byte = 8; byte < frame.length; byte++) {
      if (byte >= 72 && byte < frameHeaderBytes) continue;
      const changed = Buffer.from(frame);
      changed.writeUInt8(changed.readUInt8(byte) ^ 1, byte);
      withCrcs(changed);
      const step = scanFrame(changed, 0, lsn(changed.readBigUInt64BE(8)));
      if (step.kind !== "frame") continue; // a length that the bytes do not have
      const opened = (): unknown =>
        cipher.open(file, { header: step.header, bytes: changed, at: 0 });
      if (step.header.keyId === 0) expect(cipher.acceptsPlain).toBe(false);
      else if (step.header.keyId > 2) expect(opened).toThrow(UnknownDataKey);
      else expect(opened(), `byte ${byte}`).toBeUndefined();
    }
  });

  it("does not open in another file, on another node or in another volume", () => {
    const keys = theKeys(1, 1);
    const frame = aFrame(aCipher(keys), text);
    const other = "cccccccc-0000-4000-8000-000000000000";
    expect(open(aCipher(keys), frame, { ...file, sequence: 4 })).toBeUndefined();
    expect(open(aCipher(keys), frame, { ...file, firstLsn: at(0) })).toBeUndefined();
    expect(open(aCipher(keys, { ...owner, nodeId: nodeId(other) }), frame)).toBeUndefined();
    expect(open(aCipher(keys, { ...owner, volumeId: volumeId(other) }), frame)).toBeUndefined();
    expect(open(aCipher(keys), frame)?.equals(text)).toBe(true);
  });

  it("does not open with another key, and says so when its key is not there", () => {
    const frame = aFrame(aCipher(theKeys(1, 1)), text);
    const wrong = { ...theKeys(1, 1), keys: new Map([[1, Buffer.alloc(32, 9)]]) };
    expect(open(aCipher(wrong), frame)).toBeUndefined();
    expect(() => open(aCipher(theKeys(2, 2)), frame)).toThrow(UnknownDataKey);
    expect(() => open(aCipher(undefined), frame)).toThrow(/data key 1/);
  });

  it("stores no zeros, and cannot be passed off as another run of them", () => {
    const cipher = aCipher(theKeys(1, 1));
    const frame = aFrame(cipher, Buffer.alloc(8192));
    expect(frame.length).toBe(frameHeaderBytes);
    expect(open(cipher, frame)?.equals(Buffer.alloc(8192))).toBe(true);
    frame.writeUInt32BE(4096, 28);
    expect(open(cipher, withCrcs(frame))).toBeUndefined();
  });

  it("never has the nonce of another, though it is written again at the same LSN", () => {
    const cipher = aCipher(theKeys(1, 1));
    const sealer = cipher.sealerFor(() => ({ ...file, fd: 1, at: 64 }));
    const nonces = new Set<string>();
    for (let i = 0; i < 1000; i++) nonces.add(sealer.current()?.nextNonce().toString("hex") ?? "");
    expect(nonces.size).toBe(1000);
  });
});

describe("a rotation of data keys", () => {
  it("writes with the new key at once, and reads what the old one wrote", () => {
    const cipher = aCipher(theKeys(1, 1));
    const old = aFrame(cipher, text);
    cipher.setKeys(theKeys(2, 1, 2));
    const young = aFrame(cipher, text);
    expect([headerOf(old).keyId, headerOf(young).keyId]).toEqual([1, 2]);
    expect(open(cipher, old)?.equals(text)).toBe(true);
    expect(open(cipher, young)?.equals(text)).toBe(true);
  });
});
