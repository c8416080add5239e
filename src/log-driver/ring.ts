import { assert } from "../base/assert.ts";
import { crc32c } from "../base/crc32c.ts";
import { advance, bytesBetween, type Lsn } from "../base/lsn.ts";

const slabBytes = 1024 * 1024;

/** A stretch of WAL and its crc32c; a view of the ring's memory, which is never written again. */
export interface RingView {
  readonly bytes: Buffer;
  readonly crc: number;
}

/**
 * The newest WAL, by LSN, in slabs of 1 MiB. Each byte is copied here once; from then on it is a view for all six
 * nodes. When the limit is passed the oldest slabs go: who still needs them asks its peers. Slabs are not used again,
 * so a view that a socket still holds stays true.
 */
export class LogRing {
  private readonly origin: Lsn;
  private readonly limitBytes: number;
  private slabs: Buffer[] = [];
  /** Of the first slab, relative to `origin`. Slabs are aligned to it. */
  private firstSlab = 0;
  private startAt = 0;
  private endAt = 0;
  // Nodes that keep up get the same frame: its CRC is computed for the first of them.
  private readonly crcs: { from: number; to: number; crc: number }[] = [];

  /** Empty, at `origin`. */
  constructor(origin: Lsn, limitBytes: number) {
    assert(limitBytes >= slabBytes, "a ring holds at least one slab");
    this.origin = origin;
    this.limitBytes = limitBytes;
  }

  /** First LSN still here. */
  get start(): Lsn {
    return advance(this.origin, this.startAt);
  }
  get end(): Lsn {
    return advance(this.origin, this.endAt);
  }
  get sizeBytes(): number {
    return this.endAt - this.startAt;
  }

  /** Copies `bytes` to the end. */
  append(bytes: Uint8Array): void {
    let done = 0;
    while (done < bytes.length) {
      const inSlab = this.endAt % slabBytes;
      const slab = this.slabAt(this.endAt);
      const count = Math.min(bytes.length - done, slabBytes - inSlab);
      slab.set(
        done === 0 && count === bytes.length ? bytes : bytes.subarray(done, done + count),
        inSlab,
      );
      done += count;
      this.endAt += count;
    }
    if (this.endAt - this.startAt > this.limitBytes) this.forgetTo(this.endAt - this.limitBytes);
  }

  /** Log below `to` is needed no more. Memory goes slab by slab. */
  trim(to: Lsn): void {
    this.forgetTo(Math.min(bytesBetween(this.origin, to), this.endAt));
  }

  /** WAL from `from` on, up to `to`, as far as it lies in one piece. Undefined if `from` is not here. */
  view(from: Lsn, to: Lsn): RingView | undefined {
    const start = bytesBetween(this.origin, from);
    if (start < this.startAt || start > this.endAt) return undefined;
    const slabEnd = start - (start % slabBytes) + slabBytes;
    const end = Math.min(bytesBetween(this.origin, to), this.endAt, slabEnd);
    if (end <= start) return { bytes: nothing, crc: 0 };
    const slab = this.slabs[Math.floor(start / slabBytes) - this.firstSlab];
    assert(slab !== undefined, "the ring has a slab for each of its bytes");
    const inSlab = start % slabBytes;
    return {
      bytes: slab.subarray(inSlab, inSlab + (end - start)),
      crc: this.crcOf(slab, start, end),
    };
  }

  private crcOf(slab: Buffer, from: number, to: number): number {
    for (const known of this.crcs) if (known.from === from && known.to === to) return known.crc;
    const inSlab = from % slabBytes;
    const crc = crc32c(slab, 0, inSlab, inSlab + (to - from));
    if (this.crcs.length >= crcsMax) this.crcs.shift();
    this.crcs.push({ from, to, crc });
    return crc;
  }

  private slabAt(at: number): Buffer {
    const index = Math.floor(at / slabBytes) - this.firstSlab;
    const slab = this.slabs[index] ?? Buffer.allocUnsafeSlow(slabBytes);
    if (index === this.slabs.length) this.slabs.push(slab);
    return slab;
  }

  private forgetTo(at: number): void {
    if (at <= this.startAt) return;
    this.startAt = at;
    const gone = Math.floor(at / slabBytes) - this.firstSlab;
    if (gone <= 0) return;
    this.slabs = this.slabs.slice(gone);
    this.firstSlab += gone;
  }
}

const crcsMax = 8;
const nothing = Buffer.alloc(0);
