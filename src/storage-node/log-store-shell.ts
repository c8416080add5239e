import { assert } from "../base/assert.ts";
import { BorealisError, sqlState } from "../base/errors.ts";
import { advance, bytesBetween, formatLsn, type Lsn, lsn, lsnMin, lsnZero } from "../base/lsn.ts";
import type { Disk, DiskFile } from "../io/index.ts";
import type { Run } from "../quorum/index.ts";
import type { Ancestors } from "./ancestors.ts";
import { FrameBatch, type NewFrame } from "./frame-batch.ts";
import type { FrameSealer } from "./frame-cipher.ts";
import { encodeFileHeader, fileHeaderBytes, frameHeaderBytes } from "./frame.ts";
import { type CipherOptions, LogCipher, UnknownDataKey } from "./log-cipher.ts";
import type { SourceFile } from "./kept-log-shell.ts";
import { isShortage, LogFiles } from "./log-files-shell.ts";
import { readLog } from "./log-reader-shell.ts";
import { RecentLog } from "./recent-log.ts";
import { type LogClaims, recoverLog } from "./log-recovery-shell.ts";
import { type FramePlace, type Segment, SegmentTable } from "./segment-table.ts";
import { SharedLog } from "./shared-log.ts";
import type { NodeState } from "./state-slots.ts";

export interface LogStoreOptions {
  readonly disk: Disk;
  readonly folder: string;
  readonly state: NodeState;
  readonly mark: LogClaims["mark"];
  readonly segmentBytes: number;
  readonly cipher: CipherOptions;
  /** A clone's: whose files lie beside the node's own. */
  readonly ancestors?: Ancestors;
  /** A write, a sync or an allocation failed for good: the node ends (section 15). */
  readonly onFailure: (error: unknown) => void;
}

/**
 * The log of one node in segment files. Whoever holds the grant of `shared` appends: this class, or an append worker
 * by itself through `shared`; then this class follows what the worker did. Reading needs no grant and sees synced log
 * only.
 */
export class LogStore {
  readonly shared: SharedLog;
  readonly files: LogFiles;
  readonly recent: RecentLog;
  /** What was found at start. */
  readonly suspectTail: boolean;
  readonly rotKnownEnd: Lsn | undefined;
  private readonly options: LogStoreOptions;
  private readonly table: SegmentTable;
  private readonly sealer: FrameSealer;
  private claimedCut: NodeState["cut"];
  private baseLsn: Lsn;
  private current: DiskFile | undefined;
  private spare: DiskFile | undefined;
  private spareUnderWay: Promise<void> | undefined;
  /** Files without live log that go once a cut is durable, and not while the node is damaged. */
  private heldDead: number[];
  private removing: Promise<void> = Promise.resolve();

  private constructor(
    options: LogStoreOptions,
    files: LogFiles,
    found: Awaited<ReturnType<typeof recoverLog>>,
  ) {
    this.options = options;
    this.files = files;
    this.table = found.table;
    this.suspectTail = found.suspectTail;
    this.rotKnownEnd = found.rotKnownEnd;
    this.claimedCut = options.state.cut;
    this.baseLsn = options.state.acceptor.base;
    this.shared = new SharedLog();
    this.recent = new RecentLog(this.shared);
    this.shared.scl = found.scl;
    this.sealer = files.cipher.sealerFor(() => this.shared.place);
    this.heldDead = found.dead;
  }

  /** Scans and syncs the log; the main thread then holds the grant. */
  static async open(options: LogStoreOptions): Promise<LogStore> {
    const { disk, folder, state, segmentBytes } = options;
    const { volumeId, nodeId, base } = state.acceptor;
    const cipher = new LogCipher({ volumeId, nodeId }, options.cipher);
    const { ancestors = [] } = options;
    const owner = { volumeId, nodeId };
    const files = new LogFiles({ disk, folder, ...owner, segmentBytes, cipher, ancestors });
    const found = await recoverLog(disk, files, { base, cut: state.cut, mark: options.mark });
    const store = new LogStore(options, files, found);
    assert(store.shared.takeForMain(0), "nobody else has the grant at start");
    const last = found.table.last;
    if (last && found.writeAt !== undefined) {
      store.current = await files.openForAppend(last.sequence);
      store.shared.fileBytes = await files.sizeOf(last.sequence);
      store.shared.place = {
        fd: store.current.fd,
        at: found.writeAt,
        sequence: last.sequence,
        firstLsn: last.firstLsn,
      };
    } else {
      const kept = found.rotKnownEnd === undefined ? [] : found.headless;
      store.closeFile(Math.max(found.sequenceMax, ...kept));
    }
    if (found.rotKnownEnd !== undefined) {
      store.cut(found.scl);
      // A file that lost its header may hold what is missing: kept like the others, under its own number.
      store.heldDead.push(...found.headless);
    } else {
      if (state.rotKnownEnd === undefined) store.releaseHeld();
      await files.remove(found.headless);
    }
    await store.requireKey();
    void store.prepareSpare();
    return store;
  }

  /** The newest frame can be read. Raises UnknownDataKey: better now than to the first reader. */
  private async requireKey(): Promise<void> {
    const { baseLsn: base, scl } = this;
    if (scl === base) return;
    try {
      await this.read({ from: lsn(scl - 1n), to: scl, limitBytes: 1 });
    } catch (error) {
      if (error instanceof UnknownDataKey) throw error;
      // Whatever else it is: a reader will meet it, and knows what to do about it.
    }
  }

  get scl(): Lsn {
    return this.shared.scl;
  }
  get base(): Lsn {
    return this.baseLsn;
  }
  /** Goes into the next state that is written: makes a cut durable. */
  get cutClaim(): NodeState["cut"] {
    return this.claimedCut;
  }
  /** The files that hold synced log [from, to). */
  sourcesOf(from: Lsn, to: Lsn): SourceFile[] {
    this.follow();
    return this.table.within(from, to).map(({ sequence }) => {
      return { sequence, path: this.files.pathOf(sequence) };
    });
  }

  /** Looks at the header of every file that is in use, and writes those anew that have rotted. */
  async checkHeaders(): Promise<void> {
    this.follow();
    for (const { sequence, firstLsn } of this.table.all) {
      const isStill = (): boolean => this.table.all.some((one) => one.sequence === sequence);
      try {
        if (isStill()) await this.files.checkHeader(sequence, firstLsn);
      } catch (error) {
        if (isStill()) throw error;
      }
    }
  }

  /** Peers say that what is here in [from, to) was never theirs, whatever its CRC says: spoils it, so that it is rot. */
  async condemn(from: Lsn, to: Lsn): Promise<void> {
    for (const { sequence } of this.table.within(from, to)) {
      await this.files.spoil(sequence, (lsn, end) => lsn < to && end > from);
    }
  }

  /** Files in which there may be log from the end on that counts no more: behind a hole, cut off with it. */
  get shelved(): number[] {
    const cutSequence = this.claimedCut?.sequence ?? 0;
    const cutFile = this.table.all.findLast((segment) => segment.sequence <= cutSequence);
    return [...this.heldDead, ...(cutFile ? [cutFile.sequence] : [])].toSorted((a, b) => a - b);
  }

  /** Runs while no file is removed. */
  inOrder<T>(task: () => Promise<T>): Promise<T> {
    const done = this.removing.then(task);
    this.removing = done.then(
      () => undefined,
      () => undefined, // its caller is told
    );
    return done;
  }

  /** The newest file and the one being prepared: what must not vanish. */
  get openFiles(): readonly DiskFile[] {
    return [this.current, this.spare].filter((file) => file !== undefined);
  }
  get logBytes(): number {
    return bytesBetween(this.baseLsn, this.scl);
  }

  /**
   * Writes and syncs frames at the log's end, as few writes as files allow; the caller holds the grant. False: there
   * was no space for all of them; `scl` tells how far it went.
   */
  async append(frames: readonly NewFrame[]): Promise<boolean> {
    const { shared } = this;
    const sizeBytes = frames.reduce((sum, frame) => sum + framedBytes(frame), 0);
    const batch = new FrameBatch(Buffer.allocUnsafe(sizeBytes), shared.scl, this.sealer);
    for (const frame of frames) {
      const room = shared.fileBytes - shared.place.at - batch.sizeBytes;
      if (room < framedBytes(frame)) {
        await this.writeBatch(batch);
        if (!(await this.beginFile())) return false;
      }
      batch.add(frame);
    }
    await this.writeBatch(batch);
    return true;
  }

  private async writeBatch(batch: FrameBatch): Promise<void> {
    const { shared, current } = this;
    if (batch.sizeBytes === 0) return;
    assert(current !== undefined, "a file is open before it is written");
    const { place } = shared;
    await this.writeOrFail(current, batch.bytes, place.at);
    shared.place = { ...place, at: place.at + batch.sizeBytes };
    shared.scl = batch.endLsn;
    batch.begin(shared.scl);
  }

  /** Begins the next file at the log's end. False: there is no space. */
  private async beginFile(): Promise<boolean> {
    if (this.shared.spareState !== "ready") await this.prepareSpare();
    if (this.shared.spareState !== "ready") return false;
    const fd = this.shared.takeSpare();
    const file = this.spare;
    assert(file?.fd === fd, "the spare that was offered is the one that is taken");
    const sequence = this.shared.place.sequence + 1;
    const firstLsn = this.shared.scl;
    const { volumeId, nodeId } = this.options.state.acceptor;
    const header = encodeFileHeader({ volumeId, nodeId, sequence, firstLsn });
    await this.writeOrFail(file, header, 0);
    this.shared.place = { fd, at: fileHeaderBytes, sequence, firstLsn };
    this.follow();
    return true;
  }

  private async writeOrFail(file: DiskFile, bytes: Buffer, at: number): Promise<void> {
    try {
      await file.write(bytes, at);
    } catch (cause) {
      const error = new BorealisError(sqlState.ioError, `cannot write ${file.path}`, { cause });
      this.options.onFailure(error);
      throw error;
    }
  }

  /** Takes note of a file that whoever had the grant has begun. Cheap when there is none. */
  follow(): void {
    const { place } = this.shared;
    const known = this.table.last?.sequence ?? 0;
    if (this.spare?.fd !== place.fd || place.sequence <= known) return;
    const before = this.current;
    this.current = this.spare;
    this.spare = undefined;
    this.drop(sequencesOf(this.table.push(place.sequence, place.firstLsn)), before);
    void this.prepareSpare();
  }

  /** A worker has begun a frame there. */
  learn(sequence: number, place: FramePlace): void {
    this.follow();
    this.table.learn(sequence, place);
  }

  /** Zero-fills the next file in the background, or tries again after there was no space. */
  prepareSpare(): Promise<void> {
    this.follow();
    if (this.spare !== undefined) return Promise.resolve();
    this.spareUnderWay ??= this.makeSpare()
      .catch((cause: unknown) => {
        const error = new BorealisError(sqlState.ioError, "cannot make a log file", { cause });
        this.options.onFailure(error);
      })
      .finally(() => {
        this.spareUnderWay = undefined;
      });
    return this.spareUnderWay;
  }

  private async makeSpare(): Promise<void> {
    const sequence = Math.max(this.shared.place.sequence, this.table.last?.sequence ?? 0) + 1;
    const made = await this.files.allocate(sequence);
    this.spare = made?.file;
    this.shared.offerSpare(
      made
        ? { state: "ready", fd: made.file.fd, sizeBytes: made.sizeBytes }
        : { state: "noSpace", fd: -1, sizeBytes: 0 },
    );
  }

  /** The log ends at `to` from now on. Durable with the next state that is written; the caller holds the grant. */
  cut(to: Lsn): void {
    assert(to <= this.scl, "a log is cut at or below its end");
    this.follow();
    this.recent.cut();
    this.closeFile(this.shared.place.sequence);
    this.claimedCut = { to, sequence: this.shared.place.sequence };
    this.shared.scl = to;
    this.heldDead.push(...sequencesOf(this.table.cut(to)));
    const before = this.current;
    this.current = undefined;
    this.drop([], before);
  }

  /** Nothing of the old log stays: base = SCL = `to`. As for `cut`. */
  rebase(to: Lsn): void {
    this.cut(lsnMin(this.baseLsn, this.scl));
    this.heldDead.push(...sequencesOf(this.table.cut(lsnZero)));
    this.claimedCut = { to, sequence: this.shared.place.sequence };
    this.shared.scl = to;
    this.baseLsn = to;
  }

  /** The state that holds `cutClaim` is on the disk: what was cut off may go. Not called while damaged. */
  releaseHeld(): void {
    this.drop(this.heldDead.splice(0));
  }

  /** The next frame begins a new file: what the last one holds behind its log's end is never written over. */
  private closeFile(sequence: number): void {
    const firstLsn = this.shared.scl;
    this.shared.fileBytes = 0;
    this.shared.place = { fd: -1, at: 0, sequence, firstLsn };
  }

  /** Log below `base` may go; whole files do, in the background. */
  trim(base: Lsn): void {
    this.baseLsn = base;
    this.follow();
    this.drop(sequencesOf(this.table.trim(base)));
  }

  private drop(dead: readonly number[], unused?: DiskFile): void {
    if (dead.length === 0 && unused === undefined) return;
    this.removing = this.removing
      .then(() => unused?.close())
      .then(() => this.files.remove(dead))
      .catch((cause: unknown) => {
        // What could not be opened to remove it goes another time.
        if (isShortage(cause)) return void this.heldDead.push(...dead);
        const error = new BorealisError(sqlState.ioError, "cannot remove log files", { cause });
        this.options.onFailure(error);
      });
  }

  /**
   * Synced log [from, to), at most `limitBytes` of it, as runs contiguous from `from`; none if the log was cut
   * meanwhile. Raises RottenLog, and BorealisError 22023 for log that is not here.
   */
  async read(range: { from: Lsn; to: Lsn; limitBytes: number }): Promise<Run[]> {
    // First the end, then the files: a worker begins a file before it moves the end into it.
    const { scl, cutCount: cuts } = this;
    this.follow();
    const { from } = range;
    const to = lsnMin(range.to, scl);
    if (from < this.baseLsn || from > scl) throw noLogAt(from);
    try {
      const runs = await readLog(this.files, this.table, { ...range, to });
      return cuts === this.cutCount ? runs : [];
    } catch (error) {
      // What was cut off or trimmed meanwhile is no log any more: it can neither rot nor be missing.
      if (cuts !== this.cutCount) return [];
      if (from < this.baseLsn) throw noLogAt(from);
      throw error;
    }
  }

  /** The log was never cut between two looks at this that find the same. */
  get cutCount(): number {
    return this.shared.cuts;
  }

  /** Ends background work and closes the files. */
  async close(): Promise<void> {
    await this.spareUnderWay;
    await this.removing;
    for (const file of this.openFiles) await file.close();
    await this.files.close();
  }
}

function noLogAt(at: Lsn): BorealisError {
  return new BorealisError(sqlState.invalidParameter, `no log at ${formatLsn(at)}`);
}

function framedBytes(frame: NewFrame): number {
  return frameHeaderBytes + frame.payload.length;
}

function sequencesOf(segments: readonly Segment[]): number[] {
  return segments.map((segment) => segment.sequence);
}

/** Where runs that begin at `from` end. */
export function runsEnd(from: Lsn, runs: readonly Run[]): Lsn {
  return runs.reduce((end, run) => advance(end, run.bytes.length), from);
}
