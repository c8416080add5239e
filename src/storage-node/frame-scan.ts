import { type Lsn, lsnMaxOf, lsnMin } from "../base/lsn.ts";
import { type Rules, trueRules } from "../quorum/index.ts";
import {
  frameEnd,
  frameHeaderBytes,
  type FrameHeader,
  isPayloadGood,
  parseFrameHeader,
  storedBytes,
} from "./frame.ts";

/** One step of a walk over a file's frames. `at` is the frame's offset in the bytes given. */
export type ScanStep =
  | {
      readonly kind: "frame";
      readonly header: FrameHeader;
      readonly at: number;
      readonly nextAt: number;
    }
  /** The bytes end inside the frame, which takes `neededBytes` as far as is known. */
  | { readonly kind: "more"; readonly neededBytes: number }
  /** Space never written: the log ends here. */
  | { readonly kind: "blank" }
  | { readonly kind: "bad"; readonly reason: string };

/** Looks at the frame at `at`, whose log must begin at `expected`. Checks header and payload. */
export function scanFrame(bytes: Buffer, at: number, expected: Lsn): ScanStep {
  const parsed = parseFrameHeader(bytes, at);
  if (parsed.kind === "short") return { kind: "more", neededBytes: frameHeaderBytes };
  if (parsed.kind !== "good") return parsed;
  const { header } = parsed;
  if (header.lsn !== expected) return { kind: "bad", reason: "frame of another LSN" };
  const nextAt = at + storedBytes(header);
  if (nextAt > bytes.length) return { kind: "more", neededBytes: storedBytes(header) };
  if (!isPayloadGood(header, bytes, at + frameHeaderBytes)) {
    return { kind: "bad", reason: "wrong payload CRC" };
  }
  return { kind: "frame", header, at, nextAt };
}

export interface FoundFrame {
  readonly header: FrameHeader;
  /** Offset in the bytes. */
  readonly at: number;
  readonly end: Lsn;
}

/** Every whole frame in `bytes`, wherever it begins: rotten ones between them do not hide those behind. */
export function findFrames(bytes: Buffer): FoundFrame[] {
  const found: FoundFrame[] = [];
  let at = bytes.indexOf(magicText);
  while (at >= 0) {
    const parsed = parseFrameHeader(bytes, at);
    const isWhole =
      parsed.kind === "good" && isPayloadGood(parsed.header, bytes, at + frameHeaderBytes);
    if (parsed.kind === "good" && isWhole) {
      found.push({ header: parsed.header, at, end: frameEnd(parsed.header) });
    }
    // A frame's payload may hold what looks like one: a copy of a log in a table.
    const next = parsed.kind === "good" && isWhole ? at + storedBytes(parsed.header) : at + 1;
    at = bytes.indexOf(magicText, next);
  }
  return found;
}

/**
 * Up to where whole frames in `bytes` reach, at most `limit` (where a cut or a later file ends theirs). Behind rot they may
 * have been acknowledged, whatever proves that: a frame tells what was synced before it, and nobody what was with it.
 */
export function reachOf(bytes: Buffer, limit: Lsn | undefined): Lsn | undefined {
  const ends = findFrames(bytes).map((frame) => frame.end);
  if (ends.length === 0) return undefined;
  const reach = ends.reduce(lsnMaxOf);
  return limit === undefined ? reach : lsnMin(reach, limit);
}

/** Every good frame header in `bytes`, whatever became of its payload. */
export function findHeaders(bytes: Buffer): FrameHeader[] {
  const found: FrameHeader[] = [];
  for (let at = bytes.indexOf(magicText); at >= 0; at = bytes.indexOf(magicText, at + 1)) {
    const parsed = parseFrameHeader(bytes, at);
    if (parsed.kind === "good") found.push(parsed.header);
  }
  return found;
}

/** What lies behind the first bad frame of a file. */
export interface Debris {
  /** All of it is zero. */
  readonly isBlank: boolean;
  /** Highest SCL that a valid frame in it was written at. */
  readonly sclSeen: Lsn | undefined;
}

/**
 * Looks for valid frames anywhere in `bytes`: a rotten frame does not say where the next one begins. A frame whose
 * header is good counts even if its payload is not: what its header says was written.
 */
export function searchDebris(bytes: Buffer): Debris {
  let sclSeen: Lsn | undefined;
  for (let at = bytes.indexOf(magicText); at >= 0; at = bytes.indexOf(magicText, at + 1)) {
    const parsed = parseFrameHeader(bytes, at);
    if (parsed.kind !== "good") continue;
    const { sclAtWrite } = parsed.header;
    if (sclSeen === undefined || sclAtWrite > sclSeen) sclSeen = sclAtWrite;
  }
  return { isBlank: isBlank(bytes), sclSeen };
}

function isBlank(bytes: Buffer): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== 0) return false;
  return true;
}

const magicText = Buffer.from("BFRM", "latin1");

/** What the first bad frame of a log means (section 15). */
export type TailVerdict =
  | { readonly kind: "clean" }
  /** The last write was torn; nothing of it was ever acknowledged. */
  | { readonly kind: "torn" }
  /** What was synced once has rotted; the log reached at least `knownEnd`. */
  | { readonly kind: "rot"; readonly knownEnd: Lsn };

/**
 * The scan stopped at `end`. Bytes there were synced once if anything written later knew of them: the sync mark, a
 * frame behind, or a file begun later (`laterStart`).
 */
export function judgeTail(
  end: Lsn,
  seen: { readonly debris: Debris; readonly syncMark: Lsn; readonly laterStart: Lsn | undefined },
  rules: Pick<Rules, "isRot"> = trueRules,
): TailVerdict {
  const proofs = [seen.debris.sclSeen, seen.syncMark, seen.laterStart];
  const knownEnd = proofs.reduce<Lsn>(
    (best, proof) => (proof !== undefined && proof > best ? proof : best),
    end,
  );
  if (rules.isRot({ end, knownEnd })) return { kind: "rot", knownEnd };
  return seen.debris.isBlank ? { kind: "clean" } : { kind: "torn" };
}
