import { ProtocolViolation } from "../base/errors.ts";
import { frontend, frontendLengthMax } from "../wire/index.ts";

/** Longer texts are not looked at: they may do anything. */
const textBytesMax = 256 * 1024;
/** Names stand at the front of a message; PostgreSQL itself cuts identifiers at 63 bytes, drivers' names are as short. */
const headBytesMax = 1024;

/**
 * How much of a client's message is looked at: names always, texts where they are not too long. Raises ProtocolViolation for
 * what is no message, or too long for one.
 */
export function clientHeadOf(type: number, totalBytes: number): number {
  const lengthMax = frontendLengthMax(type);
  if (lengthMax === undefined) throw new ProtocolViolation(`invalid frontend message type ${type}`);
  if (totalBytes - 1 > lengthMax) throw new ProtocolViolation("invalid message length");
  const carriesText = type === frontend.query || type === frontend.parse;
  if (carriesText && totalBytes <= textBytesMax) return totalBytes;
  return type === frontend.copyData ? 5 : Math.min(totalBytes, headBytesMax);
}
