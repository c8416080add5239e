import { ByteReader, ByteWriter } from "../base/bytes.ts";
import { BorealisError, sqlState } from "../base/errors.ts";
import { crc32c } from "../base/crc32c.ts";
import { type Lsn } from "../base/lsn.ts";
import { type AcceptorState, decodeAcceptorState, encodeAcceptorState } from "../acceptor/index.ts";

/**
 * What a node must not forget: two slots written in turn, so that a torn write leaves the other one whole; and each of
 * them twice, so that rot of the newest does not look like a write that was torn: a node would forget a promise that it
 * has made. The file is preallocated: both slots, then the copies of both. Big-endian.
 *
 *     offset size
 *          0    4  magic "BSTA"
 *          4    4  length of the body, at most slotBytes - 20
 *          8    8  sequence; the higher one of two valid slots counts
 *         16       body: u8 has cut, [lsn to, u64 file sequence], u8 has rot, [lsn known end], acceptor's state
 *         16+n  4  CRC-32C of everything before it
 */
export const slotBytes = 256 * 1024;
/** An acceptor's state may be so long when it is elected; what is promised or cut afterwards takes up the rest. */
export const acceptorBytesMax = slotBytes - 1024;
const magic = 0x42535441;
const headBytes = 16;

export interface NodeState {
  readonly acceptor: AcceptorState;
  /** Log of files up to this sequence ends at `to`, whatever they hold beyond it. */
  readonly cut: { readonly to: Lsn; readonly sequence: number } | undefined;
  /** Rot was found: the node is damaged until its log reaches this again. */
  readonly rotKnownEnd: Lsn | undefined;
}

/** Raises BorealisError 54000 if the state has outgrown its slot (some 11,000 epochs that wrote something). */
export function encodeSlot(sequence: bigint, state: NodeState): Buffer {
  const acceptor = encodeAcceptorState(state.acceptor);
  const w = new ByteWriter(headBytes + acceptor.length + 64);
  w.u32(magic).u32(0).u64(sequence);
  w.u8(state.cut ? 1 : 0);
  if (state.cut) w.u64(state.cut.to).u64(BigInt(state.cut.sequence));
  w.u8(state.rotKnownEnd === undefined ? 0 : 1);
  if (state.rotKnownEnd !== undefined) w.u64(state.rotKnownEnd);
  w.raw(acceptor);
  const bodyBytes = w.lengthBytes - headBytes;
  if (w.lengthBytes + 4 > slotBytes) {
    throw new BorealisError(sqlState.limitExceeded, `node state of ${bodyBytes} bytes is too long`);
  }
  w.patchU32(4, bodyBytes).u32(0);
  const bytes = w.finish();
  const crcAt = bytes.length - 4;
  bytes.writeUInt32BE(crc32c(bytes, 0, 0, crcAt), crcAt);
  return bytes;
}

export interface Slot {
  readonly sequence: bigint;
  readonly state: NodeState;
}

/** The slot at the beginning of `bytes`; undefined: none that was written whole. */
export function parseSlot(bytes: Buffer): Slot | undefined {
  if (bytes.length < headBytes + 4 || bytes.readUInt32BE(0) !== magic) return undefined;
  const crcAt = headBytes + bytes.readUInt32BE(4);
  if (crcAt + 4 > Math.min(bytes.length, slotBytes)) return undefined;
  if (crc32c(bytes, 0, 0, crcAt) !== bytes.readUInt32BE(crcAt)) return undefined;
  const r = new ByteReader(bytes.subarray(headBytes, crcAt));
  const cut = r.u8() === 1 ? { to: r.lsn(), sequence: Number(r.u64()) } : undefined;
  const rotKnownEnd = r.u8() === 1 ? r.lsn() : undefined;
  const acceptor = decodeAcceptorState(r.rest());
  return {
    sequence: bytes.readBigUInt64BE(8),
    state: { acceptor, cut, rotKnownEnd },
  };
}

/** Copies of each slot. */
const copies = 2;
export const stateFileBytes = 2 * copies * slotBytes;

/** The newest whole slot of a state file, and whether everything in it that was ever written is whole. */
export function newestSlot(
  file: Buffer,
): { readonly newest: Slot; readonly isWhole: boolean } | undefined {
  let newest: Slot | undefined;
  const found: (Slot | undefined)[] = [];
  for (let at = 0; at < stateFileBytes; at += slotBytes) {
    const slot = parseSlot(file.subarray(at, at + slotBytes));
    found.push(slot);
    newest = newerSlot(newest, slot);
  }
  if (!newest) return undefined;
  const [a, b, aCopy, bCopy] = found.map((slot) => slot?.sequence);
  return { newest, isWhole: a === aCopy && b === bCopy && (a ?? b) !== undefined };
}

/** Of two slots, the one that counts. */
export function newerSlot(first: Slot | undefined, second: Slot | undefined): Slot | undefined {
  if (first === undefined || second === undefined) return first ?? second;
  return first.sequence > second.sequence ? first : second;
}

/** Where the slot of this sequence, and its copy, lie in the file. */
export function slotOffsets(sequence: bigint): number[] {
  return Array.from({ length: copies }, (_, copy) => {
    return Number(sequence % 2n) * slotBytes + copy * 2 * slotBytes;
  });
}
