import type { Lsn } from "../base/lsn.ts";

interface Sighting {
  readonly vdl: Lsn;
  readonly atMs: number;
}

/** How many are remembered; when there are more, every other one is forgotten. */
const sightingsMax = 512;

/**
 * When the volume was durable up to where: from it follows up to which moment everything that was committed is in the
 * archive. VDL v seen at t means that all commits acknowledged before t lie below v; so when the archive has passed v, it
 * has them.
 */
export class MomentsSeen {
  private sightings: Sighting[] = [];
  private lastMs: number | undefined;

  /** The latest moment that was ever reached, in milliseconds since 1970; undefined: none was yet. */
  get latestMs(): number | undefined {
    return this.lastMs;
  }

  /** VDL was `vdl` at `atMs`, on the clock that commits are stamped with. */
  see(vdl: Lsn, atMs: number): void {
    const last = this.sightings.at(-1);
    if (last && atMs <= last.atMs) return;
    // What was seen before at the same place, or beyond it on a path that was left, says no more than this one.
    while ((this.sightings.at(-1)?.vdl ?? -1n) >= vdl) this.sightings.pop();
    this.sightings.push({ vdl, atMs });
    if (this.sightings.length > sightingsMax)
      this.sightings = this.sightings.filter(
        (_, i) => i % 2 === 1 || i === this.sightings.length - 1,
      );
  }

  /** All log below `archived` is in the archive. */
  reach(archived: Lsn): void {
    const next = this.sightings.findIndex(({ vdl }) => vdl > archived);
    const count = next < 0 ? this.sightings.length : next;
    const reached = this.sightings[count - 1];
    if (!reached) return;
    this.lastMs = Math.max(this.lastMs ?? reached.atMs, reached.atMs);
    this.sightings.splice(0, count);
  }
}
