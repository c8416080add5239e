import type { Entropy } from "../io/index.ts";

/**
 * Faults that somebody has asked for, to see what a cluster makes of them, as the threads of a storage node know them: of so
 * many requests in a hundred some are refused, others wait. The main thread sets them and takes them back; who serves a request
 * judges it before anything of it is done.
 */
export type Fate =
  | { readonly kind: "served" }
  | { readonly kind: "refused" }
  | { readonly kind: "delayed"; readonly ms: number };

/** What is to happen to requests. Percent from 0 to 100, milliseconds. */
export interface FaultRates {
  readonly refusedPercent: number;
  readonly delayedPercent: number;
  readonly delayMinMs: number;
  readonly delayMaxMs: number;
}

export const noFaults: FaultRates = {
  refusedPercent: 0,
  delayedPercent: 0,
  delayMinMs: 0,
  delayMaxMs: 0,
};

const word = {
  /** Counts changes: who waits is woken by it. */
  changes: 0,
  refusedPpm: 1,
  delayedPpm: 2,
  delayMinUs: 3,
  delayMaxUs: 4,
  refused: 5,
  delayed: 6,
} as const;
const wordCount = 8;
const ppmPerPercent = 10_000;
const ppmOfAll = 1_000_000;

const served: Fate = { kind: "served" };
const refused: Fate = { kind: "refused" };

export class SharedFaults {
  readonly memory: SharedArrayBuffer;
  private readonly words: Int32Array;

  /** Over memory made by another thread, or over new memory. */
  constructor(memory = new SharedArrayBuffer(wordCount * 4)) {
    this.memory = memory;
    this.words = new Int32Array(memory);
  }

  set(rates: FaultRates): void {
    const { refusedPercent, delayedPercent, delayMinMs, delayMaxMs } = rates;
    this.store(word.refusedPpm, refusedPercent * ppmPerPercent);
    this.store(word.delayedPpm, delayedPercent * ppmPerPercent);
    this.store(word.delayMinUs, delayMinMs * 1000);
    this.store(word.delayMaxUs, delayMaxMs * 1000);
    Atomics.add(this.words, word.changes, 1);
    Atomics.notify(this.words, word.changes);
  }

  /** Whether any request may be refused or delayed. */
  get isActive(): boolean {
    const { words } = this;
    return Atomics.load(words, word.refusedPpm) + Atomics.load(words, word.delayedPpm) > 0;
  }

  /** What becomes of the next request, and counts it. `random` in [0, 1) is asked only while there are faults. */
  judge(random: () => number): Fate {
    if (!this.isActive) return served;
    if (random() * ppmOfAll < Atomics.load(this.words, word.refusedPpm)) {
      Atomics.add(this.words, word.refused, 1);
      return refused;
    }
    if (random() * ppmOfAll >= Atomics.load(this.words, word.delayedPpm)) return served;
    Atomics.add(this.words, word.delayed, 1);
    const minUs = Atomics.load(this.words, word.delayMinUs);
    const maxUs = Atomics.load(this.words, word.delayMaxUs);
    return { kind: "delayed", ms: (minUs + random() * (maxUs - minUs)) / 1000 };
  }

  /** Blocks a worker, which must not hold the grant, for so long, or until the faults are others. */
  wait(ms: number): void {
    const seen = Atomics.load(this.words, word.changes);
    Atomics.wait(this.words, word.changes, seen, ms);
  }

  /** Requests since the process began. */
  get counts(): { readonly refused: number; readonly delayed: number } {
    return {
      refused: Atomics.load(this.words, word.refused) >>> 0,
      delayed: Atomics.load(this.words, word.delayed) >>> 0,
    };
  }

  private store(at: number, value: number): void {
    Atomics.store(this.words, at, Math.round(value));
  }
}

/** In [0, 1). */
export function randomOf(entropy: Pick<Entropy, "bytes">): number {
  return entropy.bytes(4).readUInt32BE() / 2 ** 32;
}
