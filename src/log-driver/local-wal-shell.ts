import type { Timeline } from "../base/ids.ts";
import {
  advance,
  bytesBetween,
  type Lsn,
  lsn,
  lsnMaxOf,
  lsnMin,
  segmentStart,
} from "../base/lsn.ts";
import { type Disk, realDisk } from "../io/index.ts";
import { segmentBytes, segmentName, WalWalker } from "../wal/index.ts";

/**
 * What an instance's own WAL is, compared with the volume's up to the recovery LSN. Only `equal` may go on with its
 * timeline; anything else is a cache to be rebuilt (decisions.md D2).
 */
export type LocalWal =
  /** Every byte compared is the volume's. The local log's last record ends at `end`, at `to` or beyond it. */
  | { readonly kind: "equal"; readonly end: Lsn }
  /** The volume's bytes up to `end`, then nothing: it lost WAL. */
  | { readonly kind: "shorter"; readonly end: Lsn }
  /** Other bytes than the volume's at `at`. */
  | { readonly kind: "different"; readonly at: Lsn };

export interface LocalWalOptions {
  readonly pgWalDir: string;
  readonly timeline: Timeline;
  /** Compared from here on, or from an earlier segment: the one before that of `to` is always looked at. */
  readonly from: Lsn;
  /** The recovery LSN, a record end. */
  readonly to: Lsn;
  /** Where the volume's log begins. */
  readonly base: Lsn;
  /** Bytes of the volume from `from` on, at least one, at most up to `to`. */
  readonly readVolume: (from: Lsn, to: Lsn) => Promise<Buffer>;
  readonly disk?: Disk;
}

/** Segment files that are not there are taken for removed by a checkpoint, but for the last one. */
export async function compareLocalWal(options: LocalWalOptions): Promise<LocalWal> {
  const { to, base } = options;
  const last = segmentStart(to === base ? to : lsn(to - 1n));
  const before = last >= BigInt(segmentBytes) ? advance(last, -segmentBytes) : last;
  let at = lsnMaxOf(base, lsnMin(segmentStart(options.from), before));
  while (at < to) {
    const end = lsnMin(to, advance(segmentStart(at), segmentBytes));
    const local = await readSegment(options, at);
    if (local) {
      const found = await compareSegment(options, { at, end, local });
      if (found) return found;
    } else if (segmentStart(at) === last) return { kind: "shorter", end: at };
    at = end;
  }
  return { kind: "equal", end: await findLocalEnd(options) };
}

async function readSegment(options: LocalWalOptions, at: Lsn): Promise<Buffer | undefined> {
  const disk = options.disk ?? realDisk;
  return disk.readWhole(`${options.pgWalDir}/${segmentName(options.timeline, at)}`);
}

/** Undefined: equal. `local` is the whole segment that contains [at, end). */
async function compareSegment(
  options: LocalWalOptions,
  part: { readonly at: Lsn; readonly end: Lsn; readonly local: Buffer },
): Promise<LocalWal | undefined> {
  const start = segmentStart(part.at);
  let { at } = part;
  while (at < part.end) {
    const volume = await options.readVolume(at, part.end);
    const offset = bytesBetween(start, at);
    const local = part.local.subarray(offset, offset + volume.length);
    const same = commonBytes(volume, local);
    if (same < volume.length) {
      const wrong = advance(at, same);
      const rest = part.local.subarray(offset + same, bytesBetween(start, part.end));
      const isEmpty = rest.every((byte) => byte === 0);
      return isEmpty ? { kind: "shorter", end: wrong } : { kind: "different", at: wrong };
    }
    at = advance(at, volume.length);
  }
  return undefined;
}

function commonBytes(a: Buffer, b: Buffer): number {
  if (a.equals(b)) return a.length;
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return i;
  return length;
}

/** End of the last record of the local log, from the recovery LSN on. */
async function findLocalEnd(options: LocalWalOptions): Promise<Lsn> {
  const walker = new WalWalker({ at: options.to, kind: "recordEnd" });
  let { to: at } = options;
  while (!walker.failure && !walker.isPastEnd) {
    const local = await readSegment(options, at);
    if (!local) break;
    walker.push(local.subarray(bytesBetween(segmentStart(at), at)));
    at = advance(segmentStart(at), segmentBytes);
  }
  return walker.recordEnd;
}
