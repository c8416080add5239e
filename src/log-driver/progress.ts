import { type Epoch, epoch } from "../base/ids.ts";
import { type Lsn, lsn } from "../base/lsn.ts";

/**
 * Where the driver's thread stands, in memory that it shares with the agent: u64 words, each written by one side only
 * and read by the other at any moment. Words do not belong together: vdl may be newer than vcl.
 *
 *     word
 *        0  VDL of this epoch; 0 before it opens
 *        1  VCL
 *        2  end of the WAL received from PostgreSQL
 *        3  epoch; 0 while none is held
 *        4  flags: 1 open, 2 attached to PostgreSQL, 4 a write quorum answers
 *        5  lowest LSN that the agent waits for; all ones: none (written by the agent)
 *        6  until when results of this epoch may be released, in microseconds of the host's monotonic clock; 0: no lease
 */
const word = { vdl: 0, vcl: 1, received: 2, epoch: 3, flags: 4, awaited: 5, lease: 6 } as const;
const wordCount = 7;
const flag = { open: 1n, attached: 2n, quorum: 4n } as const;
const nobodyWaits = 0xffff_ffff_ffff_ffffn;

export interface DriverProgress {
  readonly vdl: Lsn;
  readonly vcl: Lsn;
  readonly received: Lsn;
  readonly epoch: Epoch;
  readonly isOpen: boolean;
  readonly isAttached: boolean;
  readonly hasQuorum: boolean;
}

export class SharedProgress {
  readonly memory: SharedArrayBuffer;
  private readonly words: BigUint64Array;
  private flags = 0n;

  /** Without `memory`: makes it. */
  constructor(memory?: SharedArrayBuffer) {
    this.memory = memory ?? new SharedArrayBuffer(wordCount * 8);
    this.words = new BigUint64Array(this.memory);
    if (!memory) this.awaited = undefined;
  }

  get vdl(): Lsn {
    return lsn(Atomics.load(this.words, word.vdl));
  }
  set vdl(value: Lsn) {
    Atomics.store(this.words, word.vdl, value);
  }
  get vcl(): Lsn {
    return lsn(Atomics.load(this.words, word.vcl));
  }
  set vcl(value: Lsn) {
    Atomics.store(this.words, word.vcl, value);
  }
  set received(value: Lsn) {
    Atomics.store(this.words, word.received, value);
  }
  set epoch(value: Epoch) {
    Atomics.store(this.words, word.epoch, BigInt(value));
  }

  /** The lowest LSN that is waited for. */
  get awaited(): Lsn | undefined {
    const value = Atomics.load(this.words, word.awaited);
    return value === nobodyWaits ? undefined : lsn(value);
  }
  set awaited(value: Lsn | undefined) {
    Atomics.store(this.words, word.awaited, value ?? nobodyWaits);
  }

  /** Milliseconds of a clock that both threads share. */
  get leaseUntilMs(): number {
    return Number(Atomics.load(this.words, word.lease)) / 1000;
  }
  set leaseUntilMs(value: number) {
    Atomics.store(this.words, word.lease, BigInt(Math.max(0, Math.floor(value * 1000))));
  }

  /** The driver's thread alone sets flags. */
  /** An epoch opens: everything up to `start` is durable, and nothing beyond has been received. */
  open(epoch: Epoch, start: Lsn): void {
    this.received = start;
    this.vcl = start;
    this.vdl = start;
    this.epoch = epoch;
    this.setFlag("open", true);
    this.setFlag("quorum", true);
  }

  setFlag(name: keyof typeof flag, isSet: boolean): void {
    this.flags = isSet ? this.flags | flag[name] : this.flags & ~flag[name];
    Atomics.store(this.words, word.flags, this.flags);
  }

  /** A copy of all words, read one after the other. */
  read(): DriverProgress {
    const flags = Atomics.load(this.words, word.flags);
    return {
      vdl: this.vdl,
      vcl: this.vcl,
      received: lsn(Atomics.load(this.words, word.received)),
      epoch: epoch(Number(Atomics.load(this.words, word.epoch))),
      isOpen: (flags & flag.open) !== 0n,
      isAttached: (flags & flag.attached) !== 0n,
      hasQuorum: (flags & flag.quorum) !== 0n,
    };
  }
}
