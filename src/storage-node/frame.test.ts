import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { crc32c } from "../base/crc32c.ts";
import { epoch, nodeId, timeline, volumeId } from "../base/ids.ts";
import { lsn } from "../base/lsn.ts";
import { FrameBatch } from "./frame-batch.ts";
import { plainSealer } from "./frame-cipher.ts";
import { scanFrame } from "./frame-scan.ts";
import {
  beginFrameHeader,
  encodeFileHeader,
  fileHeaderBytes,
  finishFrameHeader,
  frameEnd,
  frameHeaderBytes,
  framePayloadBytesMax,
  isPayloadGood,
  parseFileHeader,
  parseFrameHeader,
  storedBytes,
} from "./frame.ts";

const header = {
  volumeId: volumeId("11111111-2222-3333-4444-555555555555"),
  nodeId: nodeId("aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"),
  sequence: 7,
  firstLsn: lsn(0x1234_5678_9abcn),
};

function aFrame(payload: Buffer): Buffer {
  const bytes = Buffer.alloc(frameHeaderBytes + payload.length);
  payload.copy(bytes, frameHeaderBytes);
  beginFrameHeader(bytes, 0, {
    lsn: lsn(0x1000n),
    epoch: epoch(3),
    timeline: timeline(2),
    lengthBytes: payload.length,
    isZeros: false,
    sclAtWrite: lsn(0xff0n),
    keyId: 0,
  });
  finishFrameHeader(bytes, 0, crc32c(payload));
  return bytes;
}

describe("a file header", () => {
  it("is read back as it was written", () => {
    expect(parseFileHeader(encodeFileHeader(header))).toEqual({ kind: "good", header });
  });
  it("is blank, short or bad when it is not whole", () => {
    const bytes = encodeFileHeader(header);
    expect(parseFileHeader(Buffer.alloc(fileHeaderBytes)).kind).toBe("blank");
    for (let length = 0; length < fileHeaderBytes; length++) {
      expect(parseFileHeader(bytes.subarray(0, length)).kind).toBe("short");
    }
    for (let at = 0; at < fileHeaderBytes; at++) {
      const flipped = Buffer.from(bytes);
      flipped.writeUInt8(flipped.readUInt8(at) ^ 0x40, at);
      expect(parseFileHeader(flipped).kind, `byte ${at}`).toBe("bad");
    }
  });
});

describe("a frame", () => {
  it("is read back as it was written, for any values", () => {
    const u64 = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_0000n }).map(lsn);
    fc.assert(
      fc.property(
        u64,
        u64,
        fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
        fc.integer({ min: 0, max: 0xffff_ffff }),
        fc.integer({ min: 0, max: framePayloadBytesMax }),
        fc.boolean(),
        fc.nat(0xffff_ffff),
        (at, sclAtWrite, epochNumber, timelineNumber, lengthBytes, isZeros, keyId) => {
          const written = {
            lsn: at,
            sclAtWrite,
            epoch: epoch(epochNumber),
            timeline: timeline(timelineNumber),
            lengthBytes,
            isZeros,
            keyId,
            payloadCrc: 0xdeadbeef,
          };
          const bytes = Buffer.alloc(frameHeaderBytes + 5);
          beginFrameHeader(bytes, 5, written);
          finishFrameHeader(bytes, 5, written.payloadCrc);
          expect(parseFrameHeader(bytes, 5)).toEqual({ kind: "good", header: written });
        },
      ),
    );
  });

  it("is incomplete at every truncation", () => {
    const bytes = aFrame(Buffer.from("some bytes of log"));
    for (let length = 0; length < bytes.length; length++) {
      expect(scanFrame(bytes.subarray(0, length), 0, lsn(0x1000n)).kind).toBe("more");
    }
    expect(scanFrame(bytes, 0, lsn(0x1000n)).kind).toBe("frame");
  });

  it("is bad with any flipped bit", () => {
    const bytes = aFrame(Buffer.from("some bytes of log"));
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = Buffer.from(bytes);
      flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      expect(scanFrame(flipped, 0, lsn(0x1000n)).kind, `bit ${bit}`).toBe("bad");
    }
  });

  it("is bad where another LSN is expected", () => {
    expect(scanFrame(aFrame(Buffer.from("x")), 0, lsn(0x1001n)).kind).toBe("bad");
  });

  it("is never longer than 1 MiB", () => {
    const bytes = aFrame(Buffer.from("x"));
    bytes.writeUInt32BE(framePayloadBytesMax + 1, 28);
    bytes.writeUInt32BE(crc32c(bytes, 0, 0, 76), 76);
    expect(parseFrameHeader(bytes, 0)).toEqual({ kind: "bad", reason: "length 1048577" });
  });

  it("stores a run of zeros without its bytes", () => {
    const batch = new FrameBatch(Buffer.alloc(20_000), lsn(0x2000n), plainSealer);
    batch.begin(lsn(0x2000n));
    batch.add({ epoch: epoch(1), timeline: timeline(1), payload: Buffer.alloc(8192) });
    batch.add({ epoch: epoch(1), timeline: timeline(1), payload: Buffer.from("after") });
    const { bytes } = batch;
    expect(bytes.length).toBe(frameHeaderBytes * 2 + 5);
    const zeros = scanFrame(bytes, 0, lsn(0x2000n));
    if (zeros.kind !== "frame") throw new Error(zeros.kind);
    expect(zeros.header).toMatchObject({ isZeros: true, lengthBytes: 8192 });
    expect(storedBytes(zeros.header)).toBe(frameHeaderBytes);
    const after = scanFrame(bytes, zeros.nextAt, frameEnd(zeros.header));
    expect(after).toMatchObject({ kind: "frame", header: { lsn: 0x4000n, sclAtWrite: 0x2000n } });
  });
});

describe("a batch", () => {
  it("turns messages into frames in the buffer that they came in", () => {
    const payloads = ["first", "the second", "3"].map((text) => Buffer.from(text));
    const messageHeaderBytes = 86;
    const buffer = Buffer.alloc(1024, 0xee);
    let at = 100;
    const places = payloads.map((payload) => {
      payload.copy(buffer, at + messageHeaderBytes);
      const place = at + messageHeaderBytes;
      at += messageHeaderBytes + payload.length;
      return place;
    });
    const batch = new FrameBatch(buffer, lsn(0n), plainSealer);
    batch.begin(lsn(0n), 100 + messageHeaderBytes - frameHeaderBytes);
    payloads.forEach((payload, index) => {
      const from = places[index] ?? 0;
      batch.add({
        epoch: epoch(1),
        timeline: timeline(1),
        payload: buffer.subarray(from, from + payload.length),
      });
    });
    const read: string[] = [];
    let expected = lsn(0n);
    for (let next = 0; next < batch.sizeBytes;) {
      const step = scanFrame(batch.bytes, next, expected);
      if (step.kind !== "frame") throw new Error(step.kind);
      expect(isPayloadGood(step.header, batch.bytes, step.at + frameHeaderBytes)).toBe(true);
      read.push(batch.bytes.toString("utf8", step.at + frameHeaderBytes, step.nextAt));
      next = step.nextAt;
      expected = frameEnd(step.header);
    }
    expect(read).toEqual(["first", "the second", "3"]);
  });
});
