import { assert } from "../base/assert.ts";
import { type Epoch, epoch } from "../base/ids.ts";
import { type Lsn, lsn } from "../base/lsn.ts";

/**
 * What the main thread and the append workers share: where the log ends, what was promised, and the grant, which is
 * the right to look at these together and to change them (decisions.md D7, D41).
 *
 *     main (acceptor)  ── take ──▶ grant ◀── take ── worker (one link's appends)
 *
 * A worker holds the grant from before its check of the epoch until after its acknowledgement has left; the main
 * thread holds it while it handles a Claim, an Elect, a fill or a cut, so that no acknowledgement of an older epoch
 * can leave after a promise was made (M10). `wanted` makes workers stand back for the main thread.
 */
export type Health = "ok" | "full" | "damaged" | "failed";
const healths: readonly Health[] = ["ok", "full", "damaged", "failed"];

/** Whether the main thread has a zero-filled segment file ready. */
export type SpareState = "none" | "ready" | "noSpace";
const spareStates: readonly SpareState[] = ["none", "ready", "noSpace"];

const word = {
  owner: 0,
  wanted: 1,
  subscribers: 2,
  wakePending: 3,
  health: 4,
  fileFd: 5,
  spareFd: 6,
  spareState: 7,
  cuts: 8,
  recentBytes: 9,
} as const;
const wordCount = 16;
const cell = {
  scl: 0,
  vdl: 1,
  promised: 2,
  accepted: 3,
  start: 4,
  fileAt: 5,
  fileSequence: 6,
  fileFirstLsn: 7,
  fileBytes: 8,
  spareBytes: 9,
} as const;
const cellCount = 16;

/** Where the next frame goes. */
export interface FilePlace {
  readonly fd: number;
  /** Byte offset in the file. */
  readonly at: number;
  readonly sequence: number;
  readonly firstLsn: Lsn;
}

export class SharedLog {
  readonly memory: SharedArrayBuffer;
  private readonly words: Int32Array;
  private readonly cells: BigInt64Array;

  /** Over memory made by another thread, or over new memory. */
  constructor(memory = new SharedArrayBuffer(wordCount * 4 + cellCount * 8)) {
    this.memory = memory;
    this.words = new Int32Array(memory, 0, wordCount);
    this.cells = new BigInt64Array(memory, wordCount * 4, cellCount);
  }

  /** Takes the grant for the main thread. False: a worker did not finish in time, its disk or peer hangs. */
  takeForMain(limitMs: number): boolean {
    Atomics.store(this.words, word.wanted, 1);
    return this.take(mainHolder, limitMs);
  }

  /**
   * Takes the grant for a worker; waits while the main thread has it or wants it. False: `mayStop` said so while it
   * waited.
   */
  takeForWorker(holder: number, mayStop: () => boolean): boolean {
    assert(holder !== mainHolder && holder !== 0, "a worker has a number of its own");
    for (;;) {
      while (Atomics.load(this.words, word.wanted) === 1) {
        if (mayStop()) return false;
        Atomics.wait(this.words, word.wanted, 1, pollMs);
      }
      if (this.take(holder, pollMs)) return true;
      if (mayStop()) return false;
    }
  }

  /** Lets waiting workers look at `promised` and `health` again. */
  wakeWorkers(): void {
    Atomics.notify(this.words, word.wanted);
  }

  release(holder: number): void {
    if (holder === mainHolder) {
      Atomics.store(this.words, word.wanted, 0);
      Atomics.notify(this.words, word.wanted);
    }
    const before = Atomics.compareExchange(this.words, word.owner, holder, 0);
    assert(before === holder, "only its holder gives the grant back");
    Atomics.notify(this.words, word.owner);
  }

  private take(holder: number, limitMs: number): boolean {
    for (;;) {
      const owner = Atomics.compareExchange(this.words, word.owner, 0, holder);
      if (owner === 0) return true;
      assert(owner !== holder, "the grant is not taken twice by one holder");
      if (Atomics.wait(this.words, word.owner, owner, limitMs) === "timed-out") return false;
    }
  }

  isHeldBy(holder: number): boolean {
    return Atomics.load(this.words, word.owner) === holder;
  }

  get scl(): Lsn {
    return lsn(Atomics.load(this.cells, cell.scl));
  }
  set scl(value: Lsn) {
    Atomics.store(this.cells, cell.scl, value);
  }
  get vdl(): Lsn {
    return lsn(Atomics.load(this.cells, cell.vdl));
  }
  /** The newest VDL that the accepted epoch's driver has told; holder of the grant only. */
  set vdl(value: Lsn) {
    Atomics.store(this.cells, cell.vdl, value);
  }

  get promised(): Epoch {
    return epoch(Number(Atomics.load(this.cells, cell.promised)));
  }
  set promised(value: Epoch) {
    Atomics.store(this.cells, cell.promised, BigInt(value));
  }
  get accepted(): Epoch {
    return epoch(Number(Atomics.load(this.cells, cell.accepted)));
  }
  set accepted(value: Epoch) {
    Atomics.store(this.cells, cell.accepted, BigInt(value));
  }
  /** First LSN that the accepted epoch may write. */
  get start(): Lsn {
    return lsn(Atomics.load(this.cells, cell.start));
  }
  set start(value: Lsn) {
    Atomics.store(this.cells, cell.start, value);
  }
  /** The log has no bytes that are not synced, except inside one write: its end is its SCL. */
  get end(): Lsn {
    return this.scl;
  }
  get health(): Health {
    return healths[Atomics.load(this.words, word.health)] ?? "failed";
  }
  set health(value: Health) {
    Atomics.store(this.words, word.health, healths.indexOf(value));
  }

  /** Grows with each cut: a read that began before it may hold bytes that are no longer log. Set by the holder of the grant only. */
  get cuts(): number {
    return Atomics.load(this.words, word.cuts);
  }
  set cuts(value: number) {
    Atomics.store(this.words, word.cuts, value);
  }

  get place(): FilePlace {
    return {
      fd: Atomics.load(this.words, word.fileFd),
      at: Number(Atomics.load(this.cells, cell.fileAt)),
      sequence: Number(Atomics.load(this.cells, cell.fileSequence)),
      firstLsn: lsn(Atomics.load(this.cells, cell.fileFirstLsn)),
    };
  }
  set place(place: FilePlace) {
    Atomics.store(this.words, word.fileFd, place.fd);
    Atomics.store(this.cells, cell.fileAt, BigInt(place.at));
    Atomics.store(this.cells, cell.fileFirstLsn, place.firstLsn);
    Atomics.store(this.cells, cell.fileSequence, BigInt(place.sequence));
  }

  /** Room of the file that the log's end lies in: from its beginning. */
  get fileBytes(): number {
    return Number(Atomics.load(this.cells, cell.fileBytes));
  }
  set fileBytes(value: number) {
    Atomics.store(this.cells, cell.fileBytes, BigInt(value));
  }

  get spareState(): SpareState {
    return spareStates[Atomics.load(this.words, word.spareState)] ?? "none";
  }
  /** The main thread offers a zero-filled file of so many bytes, or says that there is no space for one. */
  offerSpare(spare: {
    readonly state: SpareState;
    readonly fd: number;
    readonly sizeBytes: number;
  }): void {
    Atomics.store(this.cells, cell.spareBytes, BigInt(spare.sizeBytes));
    Atomics.store(this.words, word.spareFd, spare.fd);
    Atomics.store(this.words, word.spareState, spareStates.indexOf(spare.state));
    Atomics.notify(this.words, word.spareState);
  }
  /** The offered file, whose room counts from now on; afterwards there is none. Holder of the grant only. */
  takeSpare(): number {
    assert(this.spareState === "ready", "a spare is taken only when it is there");
    this.fileBytes = Number(Atomics.load(this.cells, cell.spareBytes));
    const fd = Atomics.load(this.words, word.spareFd);
    Atomics.store(this.words, word.spareState, spareStates.indexOf("none"));
    return fd;
  }
  /** Blocks a worker, which must not hold the grant, until there is a spare or no space for one. */
  waitForSpare(): SpareState {
    const none = spareStates.indexOf("none");
    while (Atomics.load(this.words, word.spareState) === none) {
      Atomics.wait(this.words, word.spareState, none);
    }
    return this.spareState;
  }

  get hasSubscribers(): boolean {
    return Atomics.load(this.words, word.subscribers) > 0;
  }
  set subscriberCount(value: number) {
    Atomics.store(this.words, word.subscribers, value);
  }
  /** True if the caller has to wake the main thread: at most one wake-up is under way. */
  askForWake(): boolean {
    return this.hasSubscribers && Atomics.exchange(this.words, word.wakePending, 1) === 0;
  }
  wakeTaken(): void {
    Atomics.store(this.words, word.wakePending, 0);
  }

  /** Bytes of log that are under way to the main thread beside a wake-up. */
  get recentBytes(): number {
    return Atomics.load(this.words, word.recentBytes);
  }
  /** So many more, or less. */
  addRecent(bytes: number): void {
    Atomics.add(this.words, word.recentBytes, bytes);
  }
}

/** The main thread's name as a holder; workers count from 1. */
export const mainHolder = -1;
// A worker that waits for the grant looks again after this, in case a wake-up was meant for another.
const pollMs = 100;
