/**
 * Archived log in an object store:
 *
 *     log/EPOCH/FROM-TO     raw bytes [FROM, TO) of the log of that epoch, at most 16 MiB; sealed as extents are
 *                           (extent-format.ts): compressed, encrypted, bound to its name
 *
 * Only what is durable is archived, so an object never changes its meaning; of which epochs the volume's log is made up,
 * the path says (volume-record.ts). Objects of one epoch may overlap, and then hold the same bytes there.
 */
import { assert } from "../base/assert.ts";
import { BorealisError, sqlState } from "../base/errors.ts";
import { advance, bytesBetween, formatLsn, type Lsn, lsnMin } from "../base/lsn.ts";
import { ArchiveIndex, archivedLogBytesMax } from "./archive-index.ts";
import { damagedObject } from "./extent-format.ts";
import type { ExtentSealer } from "./extent-sealer-shell.ts";
import { type LogPath, runsOf } from "./log-path.ts";
import { findLogRange, logObject, logPrefix, type LogRange } from "./object-names.ts";
import type { ObjectStore } from "./object-store-shell.ts";

/**
 * Archives the bytes of one epoch from `from` on: they are durable in the volume, and 1 to 16 MiB. Gives how many bytes the
 * object has. Raises what the store raises.
 */
export async function putArchivedLog(
  store: ObjectStore,
  sealer: ExtentSealer,
  range: LogRange,
  plain: Uint8Array,
): Promise<number> {
  assert(plain.length === bytesBetween(range.from, range.to), "a range has its bytes");
  assert(plain.length > 0 && plain.length <= archivedLogBytesMax, "an object has its bounds");
  const name = logObject(range.epoch, range.from, range.to);
  const sealed = await sealer.seal(name, plain);
  await store.put(name, sealed);
  return sealed.length;
}

/** The bytes of one object. Undefined: there is none. Raises XX001 unless it is what was put, and what the store raises. */
export async function openArchivedLog(
  store: ObjectStore,
  sealer: ExtentSealer,
  range: LogRange,
): Promise<Buffer | undefined> {
  const name = logObject(range.epoch, range.from, range.to);
  const sealed = await store.get(name);
  if (!sealed) return undefined;
  const { plain } = await sealer.open(name, sealed, archivedLogBytesMax);
  if (plain.length !== bytesBetween(range.from, range.to))
    throw damagedObject(name, "its length is not what its name says");
  return plain;
}

/** Which log a store has. */
export async function listArchivedLog(store: ObjectStore): Promise<ArchiveIndex> {
  const index = new ArchiveIndex();
  for await (const { name, sizeBytes, putAtMs } of store.list(logPrefix)) {
    const range = findLogRange(name);
    if (range) index.add({ ...range, sizeBytes, putAtMs });
  }
  return index;
}

/** Up to where all log of the path from `from` on lies in the store; `from` if nothing does. */
export async function archivedUpTo(store: ObjectStore, path: LogPath, from: Lsn): Promise<Lsn> {
  return (await listArchivedLog(store)).archivedUpTo(path, from);
}

/**
 * The log [from, to) of the path, in order, in pieces of at most 16 MiB that are the caller's own. A few objects are
 * fetched ahead. Raises as ArchivedLog.read does.
 */
export async function* readArchivedLog(
  store: ObjectStore,
  sealer: ExtentSealer,
  path: LogPath,
  from: Lsn,
  to: Lsn,
): AsyncGenerator<Buffer> {
  yield* new ArchivedLog(store, sealer, path).pieces(from, to);
}

/** How many objects a reader fetches ahead: a far store answers slowly, and many at once. */
const aheadObjects = 4;

/** The archived log of one path, for reading. */
export class ArchivedLog {
  private readonly store: ObjectStore;
  private readonly sealer: ExtentSealer;
  private readonly path: LogPath;
  private index: ArchiveIndex | undefined;
  /** What was opened last: readings are most often small ones in a row. */
  private last: OpenedRange | undefined;

  constructor(store: ObjectStore, sealer: ExtentSealer, path: LogPath) {
    this.store = store;
    this.sealer = sealer;
    this.path = path;
  }

  /** As the function of this name. */
  async archivedUpTo(from: Lsn): Promise<Lsn> {
    return (await this.known()).archivedUpTo(this.path, from);
  }

  /**
   * Bytes from `from` on: at least one, at most up to `to`. Raises BorealisError 58030 if the archive does not have them,
   * XX001 if it has them damaged only, and what the store raises.
   */
  async read(from: Lsn, to: Lsn): Promise<Buffer> {
    const run = this.runAt(from, to);
    const { last } = this;
    const isAtHand = last?.range.epoch === run.epoch && isWithin(last.range, from);
    const opened = isAtHand && last ? last : await this.openAt(run);
    this.last = opened;
    return bytesIn(opened, run);
  }

  /** As readArchivedLog. */
  async *pieces(from: Lsn, to: Lsn): AsyncGenerator<Buffer> {
    const ahead: Promise<Buffer>[] = [];
    let at = from;
    try {
      while (at < to || ahead.length > 0) {
        while (at < to && ahead.length < aheadObjects) {
          const piece = await this.pieceAt(this.runAt(at, to));
          const bytes = this.readPiece(piece);
          // Whoever waits for it sees the error; until then nobody does.
          bytes.catch(() => undefined);
          ahead.push(bytes);
          at = piece.to;
        }
        const next = ahead.shift();
        if (next) yield await next;
      }
    } finally {
      await Promise.allSettled(ahead);
    }
  }

  /** What [from, to) begins with: log of one epoch. */
  private runAt(from: Lsn, to: Lsn): LogRange {
    const [run] = runsOf(this.path, from, to);
    assert(run !== undefined, "some log is asked for");
    return { epoch: run.epoch, from, to: advance(from, run.lengthBytes) };
  }

  /** The part of a run that the object at its front has; the whole run, if none has its front. */
  private async pieceAt(run: LogRange): Promise<LogRange> {
    for (const isAnew of [false, true]) {
      const [range] = (await this.known(isAnew)).covering(run.epoch, run.from);
      if (range) return { ...run, to: lsnMin(range.to, run.to) };
    }
    return run;
  }

  private async readPiece(piece: LogRange): Promise<Buffer> {
    const bytes: Buffer[] = [];
    // In one go, unless the object is damaged, and others have its bytes too.
    for (let at = piece.from; at < piece.to;) {
      const rest = { ...piece, from: at };
      const part = bytesIn(await this.openAt(rest), rest);
      bytes.push(part);
      at = advance(at, part.length);
    }
    return bytes.length === 1 && bytes[0] ? bytes[0] : Buffer.concat(bytes);
  }

  /** The first good object that has the front of a run. */
  private async openAt(run: LogRange): Promise<OpenedRange> {
    let damage: BorealisError | undefined;
    for (const isAnew of [false, true]) {
      // The archiver may have merged what a listing showed a moment ago.
      const index = await this.known(isAnew);
      for (const range of index.covering(run.epoch, run.from)) {
        try {
          const plain = await openArchivedLog(this.store, this.sealer, range);
          if (plain) return { range, plain };
        } catch (error) {
          if (!(error instanceof BorealisError) || error.code !== sqlState.dataCorrupted)
            throw error;
          damage ??= error;
        }
      }
      if (damage) throw damage;
    }
    throw missingLog(this.store, run);
  }

  private async known(isAnew = false): Promise<ArchiveIndex> {
    if (!this.index || isAnew) this.index = await listArchivedLog(this.store);
    return this.index;
  }
}

interface OpenedRange {
  readonly range: LogRange;
  readonly plain: Buffer;
}

/** The part of an object from a run's front on, copied only if it is not all of it. */
function bytesIn({ range, plain }: OpenedRange, run: LogRange): Buffer {
  const from = bytesBetween(range.from, run.from);
  const to = bytesBetween(range.from, lsnMin(range.to, run.to));
  return from === 0 && to === plain.length ? plain : Buffer.from(plain.subarray(from, to));
}

function isWithin({ from, to }: LogRange, at: Lsn): boolean {
  return from <= at && at < to;
}

function missingLog({ label }: ObjectStore, { epoch, from }: LogRange): BorealisError {
  const what = `log of epoch ${epoch} at ${formatLsn(from)}`;
  return new BorealisError(sqlState.ioError, `${label} has no ${what}`, {
    hint: "restore to a moment before it, or from a snapshot that was taken behind it",
  });
}
