import { ByteReader } from "../base/bytes.ts";
import { ProtocolViolation } from "../base/errors.ts";

/**
 * Values of parameters (the first is 1) in a whole Bind body, of types whose binary form is their text; NULL and what
 * is not there are left out. An unreadable body has none: the server will say so.
 */
export function parseBindTexts(body: Buffer, parameters: readonly number[]): string[] {
  try {
    const reader = new ByteReader(body);
    reader.cString();
    reader.cString();
    const formats = reader.u16();
    for (let index = 0; index < formats; index++) reader.u16();
    const count = reader.u16();
    const texts: string[] = [];
    for (let number = 1; number <= count; number++) {
      const length = reader.i32();
      const value = length < 0 ? undefined : reader.view(length).toString("utf8");
      if (value !== undefined && parameters.includes(number)) texts.push(value);
    }
    return texts;
  } catch (error) {
    if (error instanceof ProtocolViolation) return [];
    throw error;
  }
}
