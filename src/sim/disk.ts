import type { Dice } from "./dice.ts";

const sectorBytes = 512;

interface Range {
  readonly from: number;
  readonly to: number;
}

/**
 * One preallocated file: what was written lies in the page cache, and only a sync makes it durable. A killed process
 * leaves the cache as it is; when the power goes, each sector that was not synced is old or new by chance, in any order.
 */
export class SimFile {
  /** What reads see. */
  cache: Buffer;
  private durable: Buffer;
  private dirty: Range[] = [];
  private syncing: Range[] = [];

  constructor(sizeBytes: number) {
    this.cache = Buffer.alloc(sizeBytes);
    this.durable = Buffer.alloc(sizeBytes);
  }

  get isDirty(): boolean {
    return this.dirty.length > 0;
  }

  write(at: number, bytes: Buffer): void {
    this.cache.set(bytes, at);
    this.dirty.push({ from: at, to: at + bytes.length });
  }

  /** What is written so far will be durable when `finishSync` is called; what is written meanwhile will not. */
  beginSync(): void {
    this.syncing.push(...this.dirty);
    this.dirty = [];
  }
  finishSync(): void {
    for (const { from, to } of this.syncing) this.cache.copy(this.durable, from, from, to);
    this.syncing = [];
  }
  /** As kernels do it: the dirty pages are called clean, and the next sync succeeds without them. */
  failSync(): void {
    this.syncing = [];
  }
  syncNow(): void {
    this.beginSync();
    this.finishSync();
  }

  /** The process died while a sync was under way: its pages are still dirty. */
  abandonSync(): void {
    this.dirty.push(...this.syncing);
    this.syncing = [];
  }

  powerOff(dice: Dice): void {
    for (const { from, to } of [...this.syncing, ...this.dirty]) {
      for (let at = from - (from % sectorBytes); at < to; at += sectorBytes) {
        if (dice.oneIn(2)) continue;
        this.cache.copy(
          this.durable,
          Math.max(at, from),
          Math.max(at, from),
          Math.min(at + sectorBytes, to),
        );
      }
    }
    this.syncing = [];
    this.dirty = [];
    this.durable.copy(this.cache);
  }

  rot(at: number, bit: number): void {
    for (const bytes of [this.cache, this.durable]) bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
  }
}
