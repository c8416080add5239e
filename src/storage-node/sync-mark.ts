import { crc32c } from "../base/crc32c.ts";
import { type Lsn, lsn } from "../base/lsn.ts";

/**
 * The sync mark (section 15): the log of file `sequence` was synced up to `lsn`. It is written behind each
 * acknowledgement and synced once a second, so it is a lower bound; a torn or lost one only says less.
 *
 *     offset size
 *          0    4  magic "BMRK"
 *          4    8  file sequence
 *         12    8  LSN
 *         20    4  CRC-32C of [0, 20)
 */
export interface SyncMark {
  readonly sequence: number;
  readonly lsn: Lsn;
}

export const syncMarkBytes = 24;
const magic = 0x424d524b;

export function encodeSyncMark(
  mark: SyncMark,
  into: Buffer = Buffer.allocUnsafe(syncMarkBytes),
): Buffer {
  into.writeUInt32BE(magic, 0);
  into.writeBigUInt64BE(BigInt(mark.sequence), 4);
  into.writeBigUInt64BE(mark.lsn, 12);
  into.writeUInt32BE(crc32c(into, 0, 0, 20), 20);
  return into;
}

/** Undefined: no mark that was written whole. */
export function parseSyncMark(bytes: Buffer): SyncMark | undefined {
  if (bytes.length < syncMarkBytes || bytes.readUInt32BE(0) !== magic) return undefined;
  if (bytes.readUInt32BE(20) !== crc32c(bytes, 0, 0, 20)) return undefined;
  return { sequence: Number(bytes.readBigUInt64BE(4)), lsn: lsn(bytes.readBigUInt64BE(12)) };
}
