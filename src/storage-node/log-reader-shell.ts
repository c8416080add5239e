import { unreachable } from "../base/assert.ts";
import type { Epoch, Timeline } from "../base/ids.ts";
import { bytesBetween, type Lsn, lsnMin } from "../base/lsn.ts";
import { systemCodeOf } from "../io/index.ts";
import type { Run } from "../quorum/index.ts";
import { frameEnd, type FrameHeader, frameHeaderBytes, storedBytes } from "./frame.ts";
import { scanFrame } from "./frame-scan.ts";
import type { LogFiles } from "./log-files-shell.ts";
import { RottenLog } from "./read-failures.ts";
import { type FramePlace, learn, seek, type Segment, type SegmentTable } from "./segment-table.ts";

const windowBytesMin = 4 * 1024;
const windowBytesMax = 256 * 1024;

/** What this needs of a node's files. */
export interface ReadableFiles extends Pick<LogFiles, "read" | "ownerOf"> {
  readonly cipher: Pick<LogFiles["cipher"], "open" | "acceptsPlain">;
}

/** Log read so far, as runs of one epoch each. */
class RunCollector {
  readonly runs: Run[] = [];
  private pieces: Buffer[] = [];
  private key: { readonly epoch: Epoch; readonly timeline: Timeline } | undefined;
  bytes = 0;

  add(epoch: Epoch, timeline: Timeline, piece: Buffer): void {
    if (this.key?.epoch !== epoch || this.key.timeline !== timeline) this.finishRun();
    this.key ??= { epoch, timeline };
    this.pieces.push(piece);
    this.bytes += piece.length;
  }

  finishRun(): Run[] {
    const [first] = this.pieces;
    if (this.key && first) {
      const bytes = this.pieces.length === 1 ? first : Buffer.concat(this.pieces);
      this.runs.push({ ...this.key, bytes });
    }
    this.pieces = [];
    this.key = undefined;
    return this.runs;
  }
}

/**
 * Reads log [from, to) from the files, at most `limitBytes` of it, in runs contiguous from `from`. The caller has seen
 * to it that the log is there and synced. Raises RottenLog.
 */
export async function readLog(
  files: ReadableFiles,
  table: SegmentTable,
  range: { readonly from: Lsn; readonly to: Lsn; readonly limitBytes: number },
): Promise<Run[]> {
  const collected = new RunCollector();
  let at = range.from;
  while (at < range.to && collected.bytes < range.limitBytes) {
    const found = table.find(at, range.to);
    if (!found) break;
    const to = lsnMin(found.end, range.to);
    const limitBytes = range.limitBytes - collected.bytes;
    at = await readSegment(files, found.segment, { from: at, to, limitBytes, collected });
  }
  return collected.finishRun();
}

async function readSegment(
  files: ReadableFiles,
  segment: Segment,
  range: { from: Lsn; to: Lsn; limitBytes: number; collected: RunCollector },
): Promise<Lsn> {
  const { from, to, collected } = range;
  const wantedBytes = Math.min(bytesBetween(from, to), range.limitBytes);
  const cursor = new FrameCursor(files, segment, { from, wantedBytes });
  let takenBytes = 0;
  while (cursor.lsn < to && takenBytes < range.limitBytes) {
    const { header, payloadOf } = await cursor.next();
    const skip = header.lsn < from ? bytesBetween(header.lsn, from) : 0;
    const until = bytesBetween(header.lsn, lsnMin(frameEnd(header), to));
    if (until <= skip) continue;
    const piece = payloadOf().subarray(skip, Math.min(until, skip + range.limitBytes - takenBytes));
    collected.add(header.epoch, header.timeline, piece);
    takenBytes += piece.length;
  }
  if (cursor.lsn <= to) segment.hint = cursor.place;
  return lsnMin(cursor.lsn, to);
}

/** Walks the frames of one file through a window of its bytes. */
class FrameCursor {
  private readonly files: ReadableFiles;
  private readonly segment: Segment;
  private readonly windowBytes: number;
  private window: Buffer = Buffer.alloc(0);
  private inWindow = 0;
  /** The next frame's. */
  place: FramePlace;

  constructor(
    files: ReadableFiles,
    segment: Segment,
    wanted: { readonly from: Lsn; readonly wantedBytes: number },
  ) {
    this.files = files;
    this.segment = segment;
    this.place = seek(segment, wanted.from);
    // Small frames are mostly header: twice the log is usually enough for one read of the file. The way to it counts, too.
    const wayBytes = bytesBetween(this.place.lsn, wanted.from) + wanted.wantedBytes;
    this.windowBytes = Math.min(windowBytesMax, Math.max(windowBytesMin, wayBytes * 2));
  }

  get lsn(): Lsn {
    return this.place.lsn;
  }

  /**
   * The frame at `place`. Its payload, if it is wanted at all, is a view that nobody writes to; ask before the next
   * frame. Asking raises RottenLog, UnknownDataKey.
   */
  async next(): Promise<{ readonly header: FrameHeader; readonly payloadOf: () => Buffer }> {
    for (;;) {
      const step = scanFrame(this.window, this.inWindow, this.lsn);
      switch (step.kind) {
        case "more":
          await this.fill(step.neededBytes);
          break;
        case "blank":
          throw new RottenLog(this.lsn, "never written");
        case "bad":
          throw new RottenLog(this.lsn, step.reason);
        case "frame": {
          const { header } = step;
          const { window, lsn } = this;
          const payloadOf = (): Buffer => this.open(header, { window, lsn, at: step.at });
          learn(this.segment, this.place);
          this.place = { lsn: frameEnd(header), at: this.place.at + storedBytes(header) };
          this.inWindow = step.nextAt;
          return { header, payloadOf };
        }
        default:
          unreachable(step);
      }
    }
  }

  private open(header: FrameHeader, frame: { window: Buffer; lsn: Lsn; at: number }): Buffer {
    const { cipher } = this.files;
    const { window: bytes, lsn, at } = frame;
    if (header.keyId !== 0) {
      const { sequence, firstLsn } = this.segment;
      const file = { sequence, firstLsn, owner: this.files.ownerOf(sequence) };
      const payload = cipher.open(file, { header, bytes, at });
      if (payload === undefined) throw new RottenLog(lsn, "it was not written here");
      return payload;
    }
    // Else whoever can write files could put log of their own into an encrypted volume.
    if (!cipher.acceptsPlain) throw new RottenLog(lsn, "it is not encrypted");
    if (header.isZeros) return Buffer.alloc(header.lengthBytes);
    const payloadAt = at + frameHeaderBytes;
    return bytes.subarray(payloadAt, payloadAt + header.lengthBytes);
  }

  private async fill(neededBytes: number): Promise<void> {
    const window = Buffer.allocUnsafe(Math.max(this.windowBytes, neededBytes));
    const count = await this.readFile(window);
    if (count < neededBytes) throw new RottenLog(this.lsn, "the file ends inside a frame");
    this.window = window.subarray(0, count);
    this.inWindow = 0;
  }

  private async readFile(window: Buffer): Promise<number> {
    try {
      return await this.files.read(this.segment.sequence, window, this.place.at);
    } catch (error) {
      // Unless this node has removed it, which the caller knows, log of ours is missing.
      if (systemCodeOf(error) === "ENOENT") throw new RottenLog(this.lsn, "its file is gone");
      throw error;
    }
  }
}
