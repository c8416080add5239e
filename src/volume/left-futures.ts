/**
 * Moments that the volume's present path does not have, since a backtrack left them: decisions only. A time names what the
 * cluster was at that time:
 *
 *     a path    ─────────────┬──── 11:55 ────▶ end     left at 12:00, by a backtrack to 11:50
 *                          fork
 *     present path           └── 12:02 ──▶
 *
 * So 11:55 is no moment of the present path, though that has a last commit before 11:55, too: the one at the fork.
 */
import { advance, type Lsn, lsnMaxOf, lsnMin, lsnZero } from "../base/lsn.ts";

/** What a backtrack left, as far as it is remembered. */
export interface LeftFuture {
  /** Where the path that came next leaves this one. */
  readonly fork: Lsn;
  readonly end: Lsn;
  /** When it was left, milliseconds since 1970: names it. */
  readonly leftAtMs: number;
  /** When its first commit behind the fork was made, microseconds since 1970; undefined: not known. */
  readonly firstUs: bigint | undefined;
  /** The path that came next goes on with the log of another future, up to `to`: it was returned to. */
  readonly returned: Return | undefined;
  /** Until when it could be returned to, milliseconds since 1970; undefined: it still can. */
  readonly untilMs: number | undefined;
  /**
   * It stands for so many, the oldest ones, which are too many to remember each: `fork` is their lowest, the others are their
   * highest. Whatever lies between may have been a moment of one of them. Undefined: it is one.
   */
  readonly merged?: number;
  /** A cluster that this one descends from left it before this one was cloned: only that one could return to it. */
  readonly isParents?: true;
}

export interface Return {
  /** When that future was left. */
  readonly leftAtMs: number;
  readonly to: Lsn;
  /** A time before which that future has no commit behind `to`, microseconds since 1970; undefined: not known. */
  readonly nextUs: bigint | undefined;
}

/** A path that whoever archives it saw being left, which is all that is known of it. */
export interface SeenLeft {
  /** Log from here on is on the path no more. */
  readonly from: Lsn;
  /** As far as its log is archived; `from` if that is gone. */
  readonly end: Lsn;
  readonly leftAtMs: number;
}

/**
 * Those that none of the futures is: an earlier version remembered none, and whoever tells them may have died before he could. A
 * path is seen being left after it was, and before the next one is: of the futures at its place it is the last one before that.
 */
export function unnamedFutures<Seen extends Pick<SeenLeft, "from" | "leftAtMs">>(
  futures: readonly Pick<LeftFuture, "fork" | "leftAtMs">[],
  seen: readonly Seen[],
): Seen[] {
  const named = new Set<unknown>();
  return seen
    .toSorted((a, b) => a.leftAtMs - b.leftAtMs)
    .filter(({ from, leftAtMs }) => {
      const before = futures.filter((one) => one.fork === from && one.leftAtMs <= leftAtMs);
      const [last] = before.toSorted((a, b) => b.leftAtMs - a.leftAtMs);
      if (!last || named.has(last)) return true;
      named.add(last);
      return false;
    });
}

/** Nobody knows what came back of it, so nothing did. */
export function futureOfSeen({ from: fork, end, leftAtMs }: SeenLeft): LeftFuture {
  return {
    fork,
    // It has been there, and its times are what is asked for most often.
    end: lsnMaxOf(end, advance(fork, 1)),
    leftAtMs,
    firstUs: undefined,
    returned: undefined,
    untilMs: undefined,
  };
}

/**
 * The future that was the cluster's at a time, unless the moment of that time on the path where it was looked for, which ends at
 * `found`, is the same one: it lies in log that both have, or nothing was committed by then behind it. `on`: when that path was
 * left; undefined: it is the present one.
 */
export function futureOfTime(
  futures: readonly LeftFuture[],
  timeUs: bigint,
  found: Lsn,
  on?: number,
): LeftFuture | undefined {
  const oldestFirst = inOrder(futures);
  const at = oldestFirst.findIndex(({ leftAtMs }) => BigInt(leftAtMs) * 1000n > timeUs);
  const future = oldestFirst[at];
  if (!future || future.leftAtMs === on) return undefined;
  const { end, quietUs } = shared(oldestFirst, at, placeOf(oldestFirst, on));
  // What ends the moment begins at `found`: it is in what both have, whole.
  if (found < end || future.end <= end) return undefined;
  return quietUs !== undefined && timeUs < quietUs ? undefined : future;
}

/**
 * A future that has this LSN behind where the present path leaves it, the newest such one. The present path, which ends at
 * `presentEnd`, may have come to the same LSN: what was meant nobody knows while that future is kept. Later its end still means
 * that future, since it is what the backtrack printed; of many in one nobody knows the ends.
 */
export function futureOfLsn(
  futures: readonly LeftFuture[],
  at: Lsn,
  presentEnd: Lsn,
): LeftFuture | undefined {
  const oldestFirst = inOrder(futures);
  return oldestFirst.findLast(({ end, untilMs, merged }, index) => {
    if (at > end || at <= shared(oldestFirst, index, oldestFirst.length).end) return false;
    return untilMs === undefined || at === end || at > presentEnd || merged !== undefined;
  });
}

/** Up to where a future and another path, left at `on` or the present one, are one. */
export function sharedEnd(futures: readonly LeftFuture[], of: LeftFuture, on?: number): Lsn {
  const oldestFirst = inOrder(futures);
  return shared(oldestFirst, placeOf(oldestFirst, of.leftAtMs), placeOf(oldestFirst, on)).end;
}

function placeOf(oldestFirst: readonly LeftFuture[], on: number | undefined): number {
  const at = oldestFirst.findIndex(({ leftAtMs }) => leftAtMs === on);
  return at === -1 ? oldestFirst.length : at;
}

function inOrder(futures: readonly LeftFuture[]): readonly LeftFuture[] {
  return futures.toSorted((a, b) => a.leftAtMs - b.leftAtMs);
}

/** What another path has of a future. */
interface Shared {
  /** That of the future itself, if all of it came back. */
  readonly end: Lsn;
  /** A time before which the future has no commit behind `end`; undefined: not known. */
  readonly quietUs: bigint | undefined;
}

/** Of what has no end. */
const neverUs = 1n << 62n;

/** Of a future and a newer path, by their places in that order: the present path is the one that came after the newest. */
function shared(oldestFirst: readonly LeftFuture[], index: number, path: number): Shared {
  const future = oldestFirst[index];
  let found: Shared = { end: future?.end ?? lsnZero, quietUs: neverUs };
  // The newer one is what it has of the one that it came from, until they are one.
  let [one, other] = [index, path];
  while (one !== other) {
    const from = originOf(oldestFirst, Math.max(one, other));
    [one, other] = [Math.min(one, other), from.source];
    // Through one that is older than the future nothing is known of what that had for itself.
    const isKnown = from.source >= index && from.nextUs !== undefined;
    const { quietUs } = found;
    found = {
      end: lsnMin(found.end, from.end),
      quietUs: isKnown && quietUs !== undefined ? least(quietUs, from.nextUs) : undefined,
    };
  }
  return found;
}

/** Whose log a path began with, up to where, and when that path's next commit was made. */
interface Origin {
  readonly source: number;
  readonly end: Lsn;
  readonly nextUs: bigint | undefined;
}

function originOf(oldestFirst: readonly LeftFuture[], path: number): Origin {
  const before = oldestFirst[path - 1];
  const { fork = lsnZero, firstUs, returned } = before ?? {};
  const cut = { source: path - 1, end: fork, nextUs: firstUs };
  if (!returned) return cut;
  const source = oldestFirst.findIndex(({ leftAtMs }) => leftAtMs === returned.leftAtMs);
  const future = oldestFirst[source];
  // Where it is not remembered any more, or only among others, what is known without it is less, and never more.
  if (!future || future.merged !== undefined || source >= path) return cut;
  const { to, nextUs } = returned;
  return { source, end: to, nextUs: to >= future.end ? neverUs : nextUs };
}

function least(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
