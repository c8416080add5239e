import { ByteWriter } from "../base/bytes.ts";

/** One whole message: type byte, length word, and the body that `write` puts there. */
export function encodeMessage(type: number, write?: (body: ByteWriter) => void): Buffer {
  const bytes = new ByteWriter(64).u8(type).u32(0);
  write?.(bytes);
  return bytes.patchU32(1, bytes.lengthBytes - 1).finish();
}
