export interface RateLimits {
  /** Of one address, in the long run; 0: as many as there are. */
  readonly perSecond: number;
  /** So many at once, of an address that has been quiet. */
  readonly burst: number;
}

/** Addresses that are remembered; then the one that was heard of least lately is forgotten. */
const addressesMax = 10_000;

interface Bucket {
  /** Connections that it may have yet, as of `atMs`. */
  readonly credit: number;
  readonly atMs: number;
}

/** How often somebody comes, by address, pure: a token bucket each. Times are of one clock, in milliseconds. */
export class RateBook {
  private readonly limits: RateLimits;
  private readonly buckets = new Map<string, Bucket>();

  constructor(limits: RateLimits) {
    this.limits = limits;
  }

  /** Addresses that are remembered at this moment. */
  get addressCount(): number {
    return this.buckets.size;
  }

  /** Whether one more may come from there now; one that may not costs nothing, so that trying again does not keep anybody out. */
  take(address: string, nowMs: number): boolean {
    if (this.limits.perSecond === 0) return true;
    const credit = this.creditOf(this.buckets.get(address), nowMs);
    // Back in at the end: the first one is who was heard of least lately.
    this.buckets.delete(address);
    const isFree = credit >= 1;
    this.buckets.set(address, { credit: isFree ? credit - 1 : credit, atMs: nowMs });
    this.forget(nowMs);
    return isFree;
  }

  private creditOf(bucket: Bucket | undefined, nowMs: number): number {
    const { perSecond, burst } = this.limits;
    if (!bucket) return burst;
    return Math.min(burst, bucket.credit + ((nowMs - bucket.atMs) * perSecond) / 1_000);
  }

  /** Two at most for the one that came: what is full again says nothing, and so the book shrinks by itself. */
  private forget(nowMs: number): void {
    for (let n = 0; n < 2; n++) {
      const [oldest] = this.buckets;
      if (!oldest) return;
      const [address, bucket] = oldest;
      const isFull = this.creditOf(bucket, nowMs) >= this.limits.burst;
      if (!isFull && this.buckets.size <= addressesMax) return;
      this.buckets.delete(address);
    }
  }
}
