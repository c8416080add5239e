import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { crc32c, crc32cOfZeros, joinCrc32c } from "./crc32c.ts";

/** One bit at a time, as the polynomial defines it. */
function naive(bytes: Uint8Array): number {
  let c = 0xffff_ffff;
  for (const byte of bytes) {
    c ^= byte;
    for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
  }
  return ~c >>> 0;
}

const someBytes = fc.uint8Array({ maxLength: 600 });

describe("CRC-32C", () => {
  it("has the value that everybody quotes", () => {
    expect(crc32c(Buffer.from("123456789"))).toBe(0xe3069283);
  });
  it("is the polynomial's, at every length and alignment, in one go or in two", () => {
    const holds = fc.property(someBytes, fc.nat(7), fc.nat(600), (bytes, skew, cut) => {
      const memory = new Uint8Array(bytes.length + skew);
      memory.set(bytes, skew);
      const at = Math.min(cut, bytes.length);
      const whole = naive(bytes);
      expect(crc32c(memory.subarray(skew))).toBe(whole);
      expect(crc32c(memory, 0, skew)).toBe(whole);
      expect(crc32c(bytes, crc32c(bytes, 0, 0, at), at)).toBe(whole);
      expect(joinCrc32c(naive(bytes.slice(0, at)), naive(bytes.slice(at)), bytes.length - at)).toBe(
        whole,
      );
    });
    fc.assert(holds, { numRuns: 300 });
  });
  it("knows zeros without looking at them", () => {
    for (const length of [0, 1, 7, 8192, 1_000_003]) {
      expect(crc32cOfZeros(length), `${length}`).toBe(crc32c(new Uint8Array(length)));
    }
    // 5 GiB: beyond 32 bits, put together from pieces that can be summed.
    const gibi = crc32cOfZeros(2 ** 30);
    let sum = 0;
    for (let i = 0; i < 5; i++) sum = joinCrc32c(sum, gibi, 2 ** 30);
    expect(crc32cOfZeros(5 * 2 ** 30)).toBe(sum);
  });
});
