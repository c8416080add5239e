import { type Lsn, lsnMaxOf, lsnMin } from "../base/lsn.ts";
import type { NodeId, VolumeId } from "../base/ids.ts";
import {
  encodeFileHeader,
  fileHeaderBytes,
  findFrames,
  FrameBatch,
  frameEnd,
  frameHeaderBytes,
  judgeTail,
  type NewFrame,
  type NodeState,
  parseFrameHeader,
  plainSealer,
  reachOf,
  scanFrame,
  searchDebris,
  type SyncMark,
} from "../storage-node/index.ts";
import type { Dice } from "./dice.ts";
import { SimFile } from "./disk.ts";
import { KeptTails } from "./kept-tails.ts";
import type { SimRules } from "./shell-rules.ts";
import { ByteLog } from "./spans.ts";

/** So small that runs have many of them. */
const fileBytes = 16 * 1024;

interface LogFile {
  readonly sequence: number;
  readonly firstLsn: Lsn;
  readonly file: SimFile;
  readonly sizeBytes: number;
  /** Where the next frame goes. */
  at: number;
}

interface FramePlace {
  readonly file: SimFile;
  readonly at: number;
  readonly from: Lsn;
  readonly to: Lsn;
}

export interface RecoveredLog {
  readonly scl: Lsn;
  readonly suspectTail: boolean;
  readonly rotKnownEnd: Lsn | undefined;
}

interface Claims {
  readonly base: Lsn;
  readonly cut: NodeState["cut"];
  readonly mark: SyncMark | undefined;
}

/**
 * One node's log as frames in files on the simulated disk, by the rules of storage-node's LogStore: a cut is never made
 * inside a file; the next one begins at the cut, and what earlier files have from there on is dead.
 */
export class SimLog {
  /** What is believed to be log, synced or not. */
  readonly log: ByteLog;
  cutClaim: NodeState["cut"];
  private readonly ids: { readonly volumeId: VolumeId; readonly nodeId: NodeId };
  private files: LogFile[] = [];
  private frames: FramePlace[] = [];
  private current: LogFile | undefined;
  private sequence = 0;

  constructor(ids: { readonly volumeId: VolumeId; readonly nodeId: NodeId }, base: Lsn) {
    this.ids = ids;
    this.log = new ByteLog(base);
  }

  get end(): Lsn {
    return this.log.end;
  }
  /** Of the newest file; a sync mark names it. */
  get lastSequence(): number {
    return this.sequence;
  }

  /** Frames in one write at the log's end, which is synced: one write at a time, as storage-node does it. */
  write(frames: readonly NewFrame[]): void {
    const neededBytes = frames.reduce(
      (sum, { payload }) => sum + frameHeaderBytes + payload.length,
      0,
    );
    let file = this.current;
    if (!file || file.at + neededBytes > file.sizeBytes) file = this.beginFile(neededBytes);
    const batch = new FrameBatch(Buffer.allocUnsafe(neededBytes), this.end, plainSealer);
    for (const frame of frames) {
      const from = batch.endLsn;
      const at = file.at + batch.sizeBytes;
      batch.add(frame);
      this.frames.push({ file: file.file, at, from, to: batch.endLsn });
      this.log.append({ ...frame, bytes: frame.payload });
    }
    file.file.write(file.at, batch.bytes);
    file.at += batch.sizeBytes;
  }

  private beginFile(neededBytes: number): LogFile {
    this.sequence++;
    const sizeBytes = Math.max(fileBytes, fileHeaderBytes + neededBytes);
    const file = new SimFile(sizeBytes);
    const header = encodeFileHeader({
      ...this.ids,
      sequence: this.sequence,
      firstLsn: this.end,
    });
    file.write(0, header);
    // Synced before its first frame is written.
    file.syncNow();
    const begun = {
      sequence: this.sequence,
      firstLsn: this.end,
      file,
      sizeBytes,
      at: fileHeaderBytes,
    };
    this.files.push(begun);
    this.current = begun;
    return begun;
  }

  get isDirty(): boolean {
    return this.files.some(({ file }) => file.isDirty);
  }
  beginSync(): void {
    for (const { file } of this.files) file.beginSync();
  }
  finishSync(): void {
    for (const { file } of this.files) file.finishSync();
  }
  failSync(): void {
    for (const { file } of this.files) file.failSync();
  }
  abandonSync(): void {
    for (const { file } of this.files) file.abandonSync();
  }
  powerOff(dice: Dice): void {
    for (const { file } of this.files) file.powerOff(dice);
  }

  /** Everything from `to` on is no log any more; durable with the next state that is written. */
  cut(to: Lsn): void {
    this.log.cut(to);
    this.frames = this.frames.filter((frame) => frame.from < to);
    this.current = undefined;
    this.cutClaim = { to, sequence: this.sequence };
  }
  rebase(base: Lsn): void {
    this.log.rebase(base);
    this.current = undefined;
    this.cutClaim = { to: base, sequence: this.sequence };
    this.files = [];
    this.frames = [];
  }
  trim(base: Lsn): void {
    this.log.trim(base);
    const kept = this.files.filter((_, index) => {
      const next = this.files[index + 1];
      return next === undefined || next.firstLsn > base;
    });
    this.files = kept;
    this.frames = this.frames.filter((frame) => frame.to > base);
  }

  /** Flips a bit of a frame that lies below `below`; gives the LSN, or undefined if there is none. */
  rot(dice: Dice, below: Lsn): Lsn | undefined {
    const synced = this.frames.filter((frame) => frame.to <= below);
    const frame = dice.pick(synced);
    if (!frame) return undefined;
    const sizeBytes = frameHeaderBytes + Number(frame.to - frame.from);
    frame.file.rot(frame.at + dice.below(sizeBytes), dice.below(8));
    return frame.from;
  }

  /** True if every frame of [from, to) reads back as it was written. */
  isReadable(from: Lsn, to: Lsn): boolean {
    for (const frame of this.frames) {
      if (frame.to <= from || frame.from >= to) continue;
      if (scanFrame(frame.file.cache, frame.at, frame.from).kind !== "frame") return false;
    }
    return true;
  }

  /** Finds out at start what the log is, as log-recovery-shell.ts does. */
  recover(claims: Claims, rules: SimRules): RecoveredLog {
    const live = this.sortOut(claims);
    const markLsn = believedMark(claims);
    this.log.rebase(claims.base);
    this.frames = [];
    this.current = undefined;
    this.cutClaim = claims.cut;
    let found: RecoveredLog = { scl: claims.base, suspectTail: false, rotKnownEnd: undefined };
    const pieces: { readonly frame: NewFrame; readonly from: Lsn }[] = [];
    for (const [index, { file, limit }] of live.entries()) {
      const isLast = index === live.length - 1;
      const seen = this.scan(file, limit, markLsn, pieces);
      const scanned = rules.tellsRot() ? seen : { ...seen, rotKnownEnd: undefined };
      if (!rules.tellsTornFrame() && seen.suspectTail && isLast) this.believeTorn(file, pieces);
      file.file.syncNow();
      found = scanned;
      if (scanned.rotKnownEnd !== undefined) {
        const behind = live.slice(index + 1).map((one) => reachOf(one.file.file.cache, one.limit));
        const ends = behind.filter((reach) => reach !== undefined);
        found = { ...found, rotKnownEnd: ends.reduce(lsnMaxOf, scanned.rotKnownEnd) };
        break;
      }
      if (isLast && limit === undefined && !scanned.suspectTail) this.current = file;
    }
    this.load(pieces, claims.base);
    if (!rules.tellsTornFrame() && this.log.end > found.scl)
      found = { ...found, scl: this.log.end };
    if (found.scl < claims.base) {
      this.files = [];
      this.current = undefined;
      found = { ...found, scl: claims.base };
    }
    if (found.rotKnownEnd !== undefined) this.cut(found.scl);
    else this.log.cut(found.scl);
    return found;
  }

  /** Every whole frame on the disk, for a damaged node: what lies behind a hole is its own still. */
  shelf(): KeptTails {
    const shelf = new KeptTails();
    for (const { file } of this.files) {
      for (const { header, at } of findFrames(file.cache)) {
        const from = at + frameHeaderBytes;
        const { epoch, timeline, lengthBytes } = header;
        const bytes = header.isZeros
          ? Buffer.alloc(lengthBytes)
          : Buffer.from(file.cache.subarray(from, from + lengthBytes));
        shelf.keep(header.lsn, [{ epoch, timeline, bytes }]);
      }
    }
    return shelf;
  }

  private sortOut(claims: Claims) {
    const live: LiveFile[] = [];
    let limit: Lsn | undefined;
    for (const file of this.files.toReversed()) {
      const { cut, base } = claims;
      if (cut !== undefined && file.sequence <= cut.sequence)
        limit = limit === undefined ? cut.to : lsnMin(limit, cut.to);
      const isDead = limit !== undefined && (file.firstLsn >= limit || limit <= base);
      if (!isDead) live.unshift({ file, limit });
      limit = limit === undefined ? file.firstLsn : lsnMin(limit, file.firstLsn);
    }
    return live;
  }

  private scan(
    file: LogFile,
    limit: Lsn | undefined,
    markLsn: Lsn,
    pieces: { readonly frame: NewFrame; readonly from: Lsn }[],
  ): RecoveredLog {
    const bytes = file.file.cache;
    let end = file.firstLsn;
    let at = fileHeaderBytes;
    while (limit === undefined || end < limit) {
      const step = scanFrame(bytes, at, end);
      if (step.kind !== "frame") break;
      const { header } = step;
      const payload = header.isZeros
        ? Buffer.alloc(header.lengthBytes)
        : bytes.subarray(at + frameHeaderBytes, step.nextAt);
      pieces.push({
        frame: { epoch: header.epoch, timeline: header.timeline, payload },
        from: end,
      });
      this.frames.push({ file: file.file, at, from: end, to: frameEnd(header) });
      end = frameEnd(header);
      at = step.nextAt;
    }
    file.at = at;
    if (limit !== undefined && end >= limit)
      return { scl: limit, suspectTail: false, rotKnownEnd: undefined };
    const debris = searchDebris(bytes.subarray(at));
    const verdict = judgeTail(end, { debris, syncMark: markLsn, laterStart: limit });
    return {
      scl: end,
      suspectTail: verdict.kind === "torn",
      rotKnownEnd:
        verdict.kind === "rot"
          ? lsnMaxOf(verdict.knownEnd, reachOf(bytes.subarray(at), limit) ?? end)
          : undefined,
    };
  }

  /** By the true rules never: half a frame is taken for a whole one (M27). */
  private believeTorn(
    file: LogFile,
    pieces: { readonly frame: NewFrame; readonly from: Lsn }[],
  ): void {
    const parsed = parseFrameHeader(file.file.cache, file.at);
    if (parsed.kind !== "good") return;
    const { header } = parsed;
    const at = file.at + frameHeaderBytes;
    const payload = file.file.cache.subarray(at, at + header.lengthBytes);
    const { epoch, timeline, lsn: from } = header;
    pieces.push({ frame: { epoch, timeline, payload }, from });
  }

  /** Later files overlay what earlier ones have beyond their limit. */
  private load(
    pieces: readonly { readonly frame: NewFrame; readonly from: Lsn }[],
    base: Lsn,
  ): void {
    for (const { frame, from } of pieces) {
      if (from < this.log.end) this.log.cut(lsnMaxOf(from, base));
      const skip = from < base ? Math.min(Number(base - from), frame.payload.length) : 0;
      this.log.append({ ...frame, bytes: frame.payload.subarray(skip) });
    }
  }
}

interface LiveFile {
  readonly file: LogFile;
  readonly limit: Lsn | undefined;
}

function believedMark(claims: Claims): Lsn {
  const { mark, cut, base } = claims;
  if (mark === undefined) return base;
  const isBeforeCut = cut !== undefined && mark.sequence <= cut.sequence;
  return lsnMaxOf(base, isBeforeCut ? lsnMin(mark.lsn, cut.to) : mark.lsn);
}
