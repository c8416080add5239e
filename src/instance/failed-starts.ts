import type { EndedAtStart } from "../engine/index.ts";

/** Of the machine, not of the cache: on another cache PostgreSQL would end so, too. Signal 9 is what a want of memory ends with. */
const surroundings = new RegExp(
  [
    "No space left on device|Disk quota exceeded|Cannot allocate memory|out of memory|Too many open files",
    "could not create (?:any TCP/IP sockets|shared memory)|Address already in use|could not fork",
    "insufficient file descriptors|pre-existing shared memory|terminated by signal (?:9|15)\\b",
  ].join("|"),
);
/** The first may have been cut short by what is over at the second. */
const enough = 2;

/**
 * Starts of PostgreSQL that it has ended by itself, one after the other. On this cache it would do so for ever (a file is damaged or
 * gone), and the volume has all that is in it. Pure.
 */
export class FailedStarts {
  private count = 0;

  /** True, once between two starts that come right: the cache is to be built anew. If that does not help, it is something else. */
  note({ detail = "" }: Pick<EndedAtStart, "detail">): boolean {
    if (surroundings.test(detail)) return false;
    this.count++;
    return this.count === enough;
  }

  clear(): void {
    this.count = 0;
  }
}
