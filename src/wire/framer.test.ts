import { describe, expect, it } from "vitest";
import {
  encodeBind,
  encodeExecute,
  encodeParse,
  encodeQuery,
  encodeStartup,
  encodeSync,
  findStartupPacket,
  frontendLengthMax,
  MessageScanner,
} from "./index.ts";

const stream = Buffer.concat([
  encodeQuery("select 1"),
  encodeParse("a", "select 'é€'"),
  encodeBind("", "a"),
  encodeExecute(""),
  encodeSync(),
  encodeQuery("x".repeat(3000)),
]);
const expected = ["Q 14", "P 24", "B 14", "E 10", "S 5", "Q 3006"];

/** Feeds chunks and tells what was seen, and that every byte was passed on once. */
function walk(
  chunks: readonly Buffer[],
  headBytesMax: number,
): { seen: string[]; forwarded: Buffer } {
  const scanner = new MessageScanner((_, totalBytes) => Math.min(totalBytes, headBytesMax));
  const seen: string[] = [];
  const forwarded: Buffer[] = [];
  for (const chunk of chunks) {
    scanner.begin(chunk);
    while (scanner.next())
      seen.push(`${String.fromCharCode(scanner.type)} ${scanner.end - scanner.start}`);
    forwarded.push(Buffer.from(scanner.buffer.subarray(0, scanner.forwardEnd)));
  }
  return { seen, forwarded: Buffer.concat(forwarded) };
}

describe("MessageScanner", () => {
  it("sees the same messages wherever the stream is split", () => {
    for (const headBytesMax of [5, 64, 10_000]) {
      for (let at = 0; at <= stream.length; at++) {
        const { seen, forwarded } = walk(
          [stream.subarray(0, at), stream.subarray(at)],
          headBytesMax,
        );
        expect(seen).toEqual(expected);
        expect(forwarded.equals(stream)).toBe(true);
      }
    }
  });

  it("sees the same messages byte by byte", () => {
    const { seen, forwarded } = walk(
      Array.from(stream, (byte) => Buffer.from([byte])),
      64,
    );
    expect(seen).toEqual(expected);
    expect(forwarded.equals(stream)).toBe(true);
  });

  it("keeps a long head that comes byte by byte in few pieces", () => {
    const message = encodeQuery("x".repeat(20_000));
    const scanner = new MessageScanner((_, totalBytes) => totalBytes);
    for (const byte of message.subarray(0, -1)) {
      scanner.begin(Buffer.from([byte]));
      expect(scanner.next()).toBe(false);
    }
    const kept = scanner.takeKept();
    expect(Buffer.concat(kept).equals(message.subarray(0, -1))).toBe(true);
    expect(kept.length).toBeLessThan(20_000 / 32);
    expect(scanner.isAtBoundary).toBe(true);
  });

  it("presents nothing of a truncated head, and keeps it", () => {
    const message = encodeQuery("select 1");
    for (let length = 0; length < message.length; length++) {
      const { seen, forwarded } = walk([message.subarray(0, length)], 10_000);
      expect(seen).toEqual([]);
      expect(forwarded.length).toBe(0);
    }
  });

  it("refuses a length below four before it waits for anything", () => {
    const scanner = new MessageScanner(() => 5);
    scanner.begin(Buffer.from([0x51, 0, 0, 0, 3]));
    expect(() => scanner.next()).toThrow("invalid message length");
  });

  it("asks its policy before it waits for a body", () => {
    const scanner = new MessageScanner((type, totalBytes) => {
      if (totalBytes > (frontendLengthMax(type) ?? 0)) throw new Error("too long");
      return totalBytes;
    });
    scanner.begin(Buffer.from([0x51, 0x7f, 0xff, 0xff, 0xff]));
    expect(() => scanner.next()).toThrow("too long");
  });

  it("gives the message at hand back, to be presented again", () => {
    const scanner = new MessageScanner((_, totalBytes) => Math.min(totalBytes, 16));
    scanner.begin(stream.subarray(0, 40));
    scanner.next();
    scanner.next();
    const rest = scanner.takeBack();
    expect(scanner.forwardEnd).toBe(14);
    scanner.begin(rest);
    const seen: number[] = [];
    while (scanner.next()) seen.push(scanner.type);
    scanner.begin(stream.subarray(40));
    while (scanner.next()) seen.push(scanner.type);
    expect(String.fromCharCode(...seen)).toBe("PBESQ");
  });
});

describe("start-up packets", () => {
  const startup = encodeStartup(2, [
    { name: "user", value: Buffer.from("ann") },
    { name: "_pq_.x", value: Buffer.from("1") },
    { name: "options", value: Buffer.from("-c a=b") },
  ]);

  it("waits for a packet that arrives in pieces, at every split", () => {
    for (let length = 0; length < startup.length; length++) {
      expect(findStartupPacket(startup.subarray(0, length))).toBeUndefined();
    }
    const found = findStartupPacket(Buffer.concat([startup, Buffer.from("rest")]));
    expect(found?.lengthBytes).toBe(startup.length);
    expect(found?.packet).toMatchObject({ kind: "startup", minor: 2, protocolOptions: ["_pq_.x"] });
  });

  it.each([
    ["of 4 bytes", [0, 0, 0, 4]],
    ["of 10,001 bytes", [0, 0, 0x27, 0x11]],
    ["of a web browser", [...Buffer.from("GET / HTTP/1.1\r\n")]],
  ])("refuses a length %s at once", (_, bytes) => {
    expect(() => findStartupPacket(Buffer.from(bytes))).toThrow("invalid length of startup packet");
  });

  it("refuses parameters without their terminator", () => {
    const broken = Buffer.from(startup.subarray(0, startup.length - 1));
    broken.writeUInt32BE(broken.length, 0);
    expect(() => findStartupPacket(broken)).toThrow("invalid startup packet layout");
  });

  it("refuses protocol 2", () => {
    expect(() => findStartupPacket(Buffer.from([0, 0, 0, 8, 0, 2, 0, 0]))).toThrow(
      "unsupported frontend protocol 2.0: server supports 3.0 to 3.2",
    );
  });
});
