import { BorealisError, sqlState } from "../base/errors.ts";
import { assert } from "../base/assert.ts";
import { epochNone } from "../base/ids.ts";
import { advance, bytesBetween, type Lsn, lsnMaxOf } from "../base/lsn.ts";
import { type Disk, type DiskFile, systemCodeOf } from "../io/index.ts";
import type { AcceptorState, PendingCut } from "../acceptor/index.ts";
import { type History, lastEpoch } from "../quorum/index.ts";
import type { NewFrame } from "./frame-batch.ts";
import type { CipherOptions } from "./log-cipher.ts";
import { DiskFailure, refuseFailed } from "./disk-failure-shell.ts";
import { KeptLog } from "./kept-log-shell.ts";
import { isShortage } from "./log-files-shell.ts";
import { LogStore } from "./log-store-shell.ts";
import { OwnLog } from "./own-log-shell.ts";
import { judgeRead } from "./read-failures.ts";
import { findRot, rotEndUnder } from "./rot-shell.ts";
import type { Health } from "./shared-log.ts";
import { folderOf, MarkFile, readAncestors, StateFile } from "./state-file-shell.ts";
import { findVanished } from "./vanished-shell.ts";

export interface NodeStorageOptions {
  readonly disk: Disk;
  readonly dir: string;
  readonly segmentBytes: number;
  readonly cipher: CipherOptions;
}

/** Frames that wait for the write under way go into the next one together; at most this much of them. */
const groupBytesMax = 1024 * 1024;

interface PendingWrite {
  readonly frame: NewFrame;
  readonly at: Lsn;
  readonly done: (scl: Lsn | undefined) => void;
}

/** All that a node keeps: its state, its log, and whether both are whole. */
export class NodeStorage {
  readonly log: LogStore;
  readonly kept: KeptLog;
  private readonly options: NodeStorageOptions;
  private readonly stateFile: StateFile;
  private readonly mark: MarkFile;
  private rotKnownEnd: Lsn | undefined;
  private readonly ownLog: OwnLog;
  private healedParts = 0;
  private writing: Promise<void> = Promise.resolve();
  private pending: PendingWrite[] = [];
  private appending: Promise<void> | undefined;
  private readonly failure: DiskFailure;
  private isFull = false;
  private waitingForSpace: (() => void)[] = [];
  private regainedHandler: ((scl: Lsn) => void) | undefined;
  private fullHandler: ((scl: Lsn) => void) | undefined;

  /** Raises BorealisError 55000 for a folder that failed or was never formatted, XX001 for one that cannot be read. */
  static async open(options: NodeStorageOptions): Promise<NodeStorage> {
    const { disk, dir, segmentBytes, cipher } = options;
    await refuseFailed(disk, dir);
    const stateFile = await StateFile.open(disk, dir);
    const mark = await MarkFile.open(disk, dir);
    const ancestors = await readAncestors(disk, dir);
    const early: { error?: unknown; storage?: NodeStorage } = {};
    const log = await LogStore.open({
      disk,
      folder: folderOf.log(dir),
      state: stateFile.state,
      mark: mark.found,
      segmentBytes,
      cipher,
      ancestors,
      onFailure: (error) => {
        if (early.storage) early.storage.fail(error);
        else early.error ??= error;
      },
    });
    const { volumeId, nodeId, pins } = stateFile.state.acceptor;
    const kept = await KeptLog.open(
      {
        disk,
        retiredDir: folderOf.retired(dir),
        pinsDir: folderOf.pins(dir),
        owner: { volumeId, nodeId },
        segmentBytes,
        cipher: log.files.cipher,
        ancestors,
        onRot: (part) => early.storage?.ownLog.noteKeptRot(part.to),
      },
      pins,
    );
    const storage = new NodeStorage(options, { stateFile, mark, log, kept });
    early.storage = storage;
    if (early.error !== undefined) storage.fail(early.error);
    // The cut at the rot, and the end to reach again, before anything is said or filled.
    if (log.rotKnownEnd !== undefined) await storage.rewriteState();
    await storage.regain();
    await storage.refreshHealth();
    return storage;
  }

  private constructor(
    options: NodeStorageOptions,
    parts: {
      readonly stateFile: StateFile;
      readonly mark: MarkFile;
      readonly log: LogStore;
      readonly kept: KeptLog;
    },
  ) {
    this.options = options;
    this.stateFile = parts.stateFile;
    this.mark = parts.mark;
    this.log = parts.log;
    this.kept = parts.kept;
    this.failure = new DiskFailure(options.disk, options.dir);
    this.ownLog = new OwnLog(parts.log, parts.kept);
    const known = [parts.log.rotKnownEnd, parts.stateFile.state.rotKnownEnd];
    for (const end of known) {
      if (end !== undefined && (this.rotKnownEnd ?? end) <= end) this.rotKnownEnd = end;
    }
  }

  get acceptorState(): AcceptorState {
    return this.stateFile.state.acceptor;
  }
  /** How far the log of each pin is kept. */
  get pinsKept(): Map<string, Lsn> {
    const { pins } = this.acceptorState;
    return new Map(pins.map((pin) => [pin.pinId, this.kept.keptTo(pin)]));
  }
  get markFd(): number {
    return this.mark.file.fd;
  }
  get health(): Health {
    if (this.failure.hasFailed) return "failed";
    if (this.rotKnownEnd !== undefined) return "damaged";
    return this.isFull || this.log.shared.spareState === "noSpace" ? "full" : "ok";
  }

  /** Resolves when the state, and with it every cut so far, is on the disk. */
  persist(acceptor: AcceptorState): Promise<void> {
    this.writing = this.writing.then(() => this.writeState(acceptor));
    return this.writing;
  }

  /** Writes what this class itself knows beside the acceptor's newest state. */
  private rewriteState(): Promise<void> {
    this.writing = this.writing.then(() => this.writeState(this.acceptorState));
    return this.writing;
  }

  private async writeState(acceptor: AcceptorState): Promise<void> {
    this.rotKnownEnd = rotEndUnder(this.rotKnownEnd, this.acceptorState, acceptor);
    const { rotKnownEnd } = this;
    try {
      await this.stateFile.write({ acceptor, cut: this.log.cutClaim, rotKnownEnd });
    } catch (error) {
      this.fail(error);
      throw error;
    }
    if (rotKnownEnd === undefined) this.log.releaseHeld();
  }

  /**
   * Writes and syncs at `at`, where the log and all that was written before end, in groups. Gives the SCL; undefined: the
   * log was cut instead, or there was no space.
   */
  write(frame: NewFrame, at: Lsn): Promise<Lsn | undefined> {
    return new Promise((done) => {
      this.pending.push({ frame, at, done });
      this.startAppending();
    });
  }

  /**
   * There was no space for what was to be written beyond `scl`; all of that is dropped. Called at that moment, so that
   * nothing is written behind what was dropped.
   */
  onFull(handler: (scl: Lsn) => void): void {
    this.fullHandler = handler;
  }

  private startAppending(): void {
    this.appending ??= this.appendPending()
      .catch((error: unknown) => this.fail(error))
      .finally(() => {
        this.appending = undefined;
        // What came between the last look at `pending` and now has found an append under way.
        if (this.pending.length > 0 && !this.failure.hasFailed) this.startAppending();
      });
  }

  private async appendPending(): Promise<void> {
    if (this.pending.length === 0) await this.regain();
    while (this.pending.length > 0) {
      const group: PendingWrite[] = [];
      let bytes = 0;
      for (const one of this.pending) {
        assert(
          one.at === advance(this.log.scl, bytes),
          "frames are written where they were meant to",
        );
        bytes += one.frame.payload.length;
        if (group.length > 0 && bytes > groupBytesMax) break;
        group.push(one);
      }
      const before = this.log.scl;
      const isWritten = await this.log.append(group.map((one) => one.frame));
      this.isFull = !isWritten;
      let written = bytesBetween(before, this.log.scl);
      if (isWritten && group.length === this.pending.length) await this.regain();
      for (let next = this.pending[0]; next; next = this.pending[0]) {
        written -= next.frame.payload.length;
        if (written < 0) break;
        this.pending.shift();
        next.done(this.log.scl);
      }
      if (!isWritten) this.dropPending();
    }
  }

  /** No space. Nobody waits for some: a full node still promises, serves and is elected. */
  private dropPending(): void {
    for (const one of this.pending.splice(0)) one.done(undefined);
    this.fullHandler?.(this.log.scl);
  }

  /**
   * Cuts the log as the state says, keeps the tail aside or takes back what the new path contains. Durable with the next
   * state; after a crash before that it is done again, and finds what it kept.
   */
  async cut(cut: PendingCut, history: History): Promise<void> {
    while (this.appending) await this.appending;
    const { log, kept } = this;
    const { scl } = log;
    if (cut.keepAside && cut.to < scl) {
      const range = { from: cut.to, to: scl };
      const sources = log.sourcesOf(cut.to, scl);
      await log.inOrder(() => kept.retire(lastEpoch(history), range, sources));
    }
    if (cut.isRebase) log.rebase(cut.to);
    else if (cut.to < scl) log.cut(cut.to);
    const missingTo = await this.ownLog.takeBack(history, cut.takeBackTo, () => this.untilSpace());
    // What it once had and cannot read is missing now, like any other rot.
    if (missingTo !== undefined)
      this.rotKnownEnd = lsnMaxOf(this.rotKnownEnd ?? missingTo, missingTo);
  }

  private untilSpace(): Promise<void> {
    this.isFull = true;
    return new Promise((resolve) => void this.waitingForSpace.push(resolve));
  }

  /** While damaged: takes up what the node itself has behind the hole, as far as the hole is filled. */
  private async regain(): Promise<void> {
    const { rotKnownEnd, acceptorState } = this;
    if (rotKnownEnd === undefined || this.log.scl >= rotKnownEnd) return;
    if ((await this.ownLog.regain(acceptorState.history, rotKnownEnd)) === "full")
      this.isFull = true;
  }

  get disk(): Disk {
    return this.options.disk;
  }

  /** State and mark are as they were written, or are now. */
  async scrubFacts(): Promise<void> {
    this.writing = this.writing.then(async () => void (await this.stateFile.scrub()));
    await this.writing;
    const { sequence } = this.log.shared.place;
    await this.mark.scrub({ sequence, lsn: this.log.scl });
  }

  /** How many holes, headers, slots, marks and kept files were healed since this process began. */
  get healed(): number {
    const { stateFile, mark, log, kept } = this;
    const headers = [log, ...kept.all].reduce((sum, one) => sum + one.files.healedHeaders, 0);
    return this.healedParts + stateFile.healed + mark.healed + headers;
  }
  noteHealed(): void {
    this.healedParts++;
  }

  /** Nothing needs log below `base` any more. */
  trim(base: Lsn): void {
    this.log.trim(base);
    this.keep(() => this.kept.dropRetired(base));
  }

  /** A change of what is kept beside the log, in order with what removes its files. */
  keep(change: () => Promise<void>): void {
    this.log.inOrder(change).catch((error: unknown) => {
      if (!isShortage(error)) this.fail(error);
    });
  }

  /**
   * A read of the log failed. Gives true if the node has to start anew: its log has rotted, which is written down now, or
   * it lacks a key, or a law of ours is broken. Log that has just gone, or a want of file handles, is nothing to us. `stop` takes the append
   * path from everybody else.
   */
  async judgeRead(error: unknown, stop: () => void): Promise<boolean> {
    const verdict = judgeRead(error, systemCodeOf(error));
    if (verdict.kind === "rot") return this.recordRot(verdict.at, stop);
    if (verdict.kind === "disk") this.fail(error);
    return verdict.kind === "bug" || verdict.kind === "key";
  }

  /**
   * Looks again, at what the log is now: if it is rotten, then from there on it does not count until it was filled again.
   * False: it is not.
   */
  private async recordRot(at: Lsn, stop: () => void): Promise<boolean> {
    const { log } = this;
    const { cutCount } = log;
    const found = await findRot(log, lsnMaxOf(at, log.base));
    if (found === undefined || cutCount !== log.cutCount) return false;
    stop();
    this.rotKnownEnd = lsnMaxOf(this.rotKnownEnd ?? log.scl, log.scl);
    log.cut(lsnMaxOf(found, log.base));
    await this.rewriteState();
    return true;
  }

  /** Health, after looking at what may have changed it: a repaired log, space that came or went. */
  async refreshHealth(): Promise<Health> {
    if (this.rotKnownEnd !== undefined && this.log.scl >= this.rotKnownEnd) {
      this.rotKnownEnd = undefined;
      this.noteHealed();
      this.ownLog.forgetShelf();
      await this.rewriteState();
    }
    return this.health;
  }

  private async goOnRegaining(): Promise<void> {
    const { scl } = this.log;
    this.startAppending();
    await this.appending;
    if (this.log.scl > scl) this.regainedHandler?.(this.log.scl);
  }

  /** The log has grown by what lay behind its hole, unasked. */
  onRegained(handler: (scl: Lsn) => void): void {
    this.regainedHandler = handler;
  }

  /** Once in a while: are the files still there, is there space again, how far is the log synced. */
  async tick(): Promise<void> {
    const watched = [this.stateFile.file, this.mark.file];
    const gone = await findVanished(this.options.disk, watched, () => this.log.openFiles);
    if (gone) this.fail(vanished(gone));
    if (this.log.shared.spareState === "noSpace" || this.isFull) {
      await this.log.prepareSpare();
      if (this.log.shared.spareState === "ready") this.isFull = false;
      for (const goOn of this.waitingForSpace.splice(0)) goOn();
      if (this.health === "damaged") await this.goOnRegaining();
    }
    const { sequence } = this.log.shared.place;
    try {
      await this.mark.sync({ sequence, lsn: this.log.scl });
    } catch (error) {
      this.fail(error);
    }
  }

  /** Raises BorealisError 58030, and fails, if the node's folder is no longer where it was (decisions.md D9). */
  async requireFolder(): Promise<void> {
    const gone = await findVanished(this.options.disk, [this.stateFile.file], () => []);
    if (!gone) return;
    this.fail(vanished(gone));
    throw vanished(gone);
  }

  /** Final. If it is the disk that failed, a marker keeps it from ever being served again. */
  fail(error: unknown): void {
    this.log.shared.health = "failed";
    this.failure.note(error);
  }

  /** Called once, when the failed-marker is written if it has to be; at once if that has happened. */
  onFailure(handler: (error: unknown) => void): void {
    this.failure.onFailure(handler);
  }

  /** Workers refuse by themselves what the state on disk refuses. */
  publish(): void {
    const { shared } = this.log;
    const { promised, accepted, sealed } = this.acceptorState;
    shared.promised = promised;
    shared.accepted = sealed === undefined ? accepted : epochNone;
    shared.health = this.health;
    shared.wakeWorkers();
  }

  async close(): Promise<void> {
    await this.writing;
    while (this.appending) await this.appending;
    await this.mark.sync({ sequence: this.log.shared.place.sequence, lsn: this.log.scl });
    // A look at the files that is under way must not take closed ones for lost ones.
    this.failure.hush();
    await this.log.close();
    await this.kept.close();
    await this.mark.file.close();
    await this.stateFile.file.close();
  }
}

function vanished({ path }: DiskFile): BorealisError {
  return new BorealisError(sqlState.ioError, `${path} has vanished`);
}
