import type { Lsn } from "../base/lsn.ts";
import type { ReachedMoment } from "../volume/index.ts";

/** How many are remembered; when there are more, every other one is forgotten. */
const sightingsMax = 512;

/**
 * When the volume was durable up to where: from it follows up to which moment everything that was committed is in the
 * archive. VDL v seen at t means that all commits acknowledged before t lie below v; so when the archive has passed v, it
 * has them.
 */
export class MomentsSeen {
  private sightings: ReachedMoment[] = [];
  private last: ReachedMoment | undefined;

  /** The latest moment that was ever reached; undefined: none was yet. */
  get latest(): ReachedMoment | undefined {
    return this.last;
  }

  /** VDL was `lsn` in that epoch at `atMs`, on the clock that commits are stamped with. */
  see(sighting: ReachedMoment): void {
    const { lsn: vdl, atMs } = sighting;
    const last = this.sightings.at(-1);
    if (last && atMs <= last.atMs) return;
    // What was seen before at the same place, or beyond it on a path that was left, says no more than this one.
    while ((this.sightings.at(-1)?.lsn ?? -1n) >= vdl) this.sightings.pop();
    this.sightings.push(sighting);
    if (this.sightings.length > sightingsMax)
      this.sightings = this.sightings.filter(
        (_, i) => i % 2 === 1 || i === this.sightings.length - 1,
      );
  }

  /** All log below `archived` is in the archive. */
  reach(archived: Lsn): void {
    const next = this.sightings.findIndex(({ lsn }) => lsn > archived);
    const count = next < 0 ? this.sightings.length : next;
    const reached = this.sightings[count - 1];
    if (!reached) return;
    if (!this.last || reached.atMs > this.last.atMs) this.last = reached;
    this.sightings.splice(0, count);
  }
}
