/** Damaged messages, for the tests of codecs that promise a violation and nothing else. */
import fc from "fast-check";
import { crc32c } from "../../src/base/crc32c.ts";
import { ProtocolViolation } from "../../src/base/errors.ts";

/** What the violation says, or undefined where `decode` takes the bytes. Any other error is raised on. */
export function violationOf(decode: () => unknown): string | undefined {
  try {
    decode();
    return undefined;
  } catch (error) {
    if (error instanceof ProtocolViolation) return error.message;
    throw error;
  }
}

/** Every truncation and every flipped bit that `decode` takes, of each message: must be none. */
export function damageTaken(
  messages: readonly Buffer[],
  decode: (bytes: Buffer) => unknown,
): string[] {
  const taken: string[] = [];
  const look = (bytes: Buffer, what: string): void => {
    if (violationOf(() => decode(bytes)) === undefined) taken.push(what);
  };
  for (const whole of messages) {
    for (let length = 0; length < whole.length; length++)
      look(whole.subarray(0, length), `${whole[8]} cut to ${length}`);
    for (let bit = 0; bit < whole.length * 8; bit++) {
      const flipped = Buffer.from(whole);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      look(flipped, `bit ${bit} of ${whole[8]}`);
    }
  }
  return taken;
}

/**
 * Junk in the middle of a message, behind a CRC that is right: decodes or is a violation. `crcEnd` is where the range of
 * the CRC ends, by the bytes as they are then.
 */
export function expectHostileIsHarmless(
  messages: readonly Buffer[],
  decode: (bytes: Buffer) => unknown,
  { runs, crcEnd }: { runs: number; crcEnd: (bytes: Buffer) => number },
): void {
  fc.assert(
    fc.property(
      fc.constantFrom(...messages),
      fc.nat(),
      fc.uint8Array({ minLength: 1, maxLength: 16 }),
      (good, where, junk) => {
        const bytes = Buffer.from(good);
        const from = 8 + (where % (bytes.length - 8));
        bytes.set(junk.subarray(0, bytes.length - from), from);
        const end = crcEnd(bytes);
        if (bytes.length >= end) bytes.writeUInt32BE(crc32c(bytes, 0, 8, end), 4);
        violationOf(() => decode(bytes));
      },
    ),
    { numRuns: runs },
  );
}
