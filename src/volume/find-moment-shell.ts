/**
 * Finds a moment in a log that may be long. Log is looked at from the front of one segment on; which one is found by
 * bisection over the times of the segments' first commits, so that a day of log costs a few reads.
 */
import { BorealisError, sqlState } from "../base/errors.ts";
import {
  advance,
  bytesBetween,
  formatLsn,
  type Lsn,
  lsnMaxOf,
  lsnMin,
  lsnZero,
  segmentStart,
} from "../base/lsn.ts";
import {
  type CommitSpan,
  type Moment,
  MomentFinder,
  type MomentTarget,
  segmentBytes,
  type WalCommit,
  type WalkStart,
  WalWalker,
  withCommit,
} from "../wal/index.ts";

/** Some log, from wherever it is kept: the storage nodes, an object store. */
export interface LogSource {
  /** Bytes from `from` on: at least one, at most up to `to`. Raises BorealisError if they are not to be had. */
  read(from: Lsn, to: Lsn): Promise<Buffer>;
  /** How many reads at the same time make it faster; 1 unless told. */
  readonly lanes?: number;
}

export interface MomentSearch {
  readonly log: LogSource;
  /** Where the log begins: a record end, or the start of a segment. */
  readonly from: Lsn;
  /** Where it ends: a record end, as VDL is. */
  readonly to: Lsn;
  readonly target: MomentTarget;
  readonly signal?: AbortSignal;
  /** Told how far the reading has come: bytes of `totalBytes`, which are known when the last stretch begins. */
  readonly onProgress?: (readBytes: number, totalBytes: number) => void;
}

/**
 * A backend takes the time of its commit and then writes the record, and may be held up in between. No commit that is
 * earlier than a moment by this much is followed by one that was written before it and is later than the moment.
 */
const disorderUs = 10_000_000n;
/** A first commit is most often near the front. */
const probeBytes = 64 * 1024;
/** As much as a node gives at once. */
const stretchBytes = 1024 * 1024;

/**
 * The moment, of the whole log. Its end is `to`, and it is not settled, if nothing in the log is later than the time, or
 * the LSN is not below `to`. Undefined: the log begins behind it (no record ends between `from` and the LSN).
 * Raises XX001 if the log is damaged, and what the source raises.
 */
export async function findMoment(search: MomentSearch): Promise<Moment | undefined> {
  const segments = new SegmentTimes(search);
  const { target } = search;
  if (target.kind === "time") {
    const at = await segments.lastBefore(target.timeUs - disorderUs);
    return walk(search, segments.startOf(at));
  }
  // More segments, if need be: a record may be longer than one, and it is worth something to know the last commit.
  const wanted = segments.numberAt(target.at);
  for (let back = 0; ; back = back * 2 + 1) {
    const from = segments.startOf(Math.max(0, wanted - back));
    const found = await walk(search, from);
    if (from === search.from || (found && (found.lastCommit || back > 4))) return found;
  }
}

/**
 * The first commit in the log [from, to) that was made at `sinceUs` or later, and ends behind `behind`. Undefined: it has none.
 * Raises as findMoment does.
 */
export async function findFirstCommit(
  search: Omit<MomentSearch, "target"> & { readonly sinceUs?: bigint; readonly behind?: Lsn },
): Promise<WalCommit | undefined> {
  const { from, to, sinceUs, behind = lsnZero } = search;
  let first: WalCommit | undefined;
  const onCommit = (commit: WalCommit): void => {
    const isMeant = commit.end > behind && (sinceUs === undefined || commit.timeUs >= sinceUs);
    if (isMeant) first ??= commit;
  };
  const walker = new WalWalker(startAt(from), { onCommit });
  await readOn(search, walker, () => first === undefined && walker.position < to);
  return first;
}

/**
 * All commits of the log [from, to), both record ends; undefined: it has none. Takes reading all of it, several stretches at
 * the same time where the source has lanes; the source's own checks are relied upon. Raises as findMoment does.
 */
export async function countCommits(
  search: Omit<MomentSearch, "target">,
): Promise<CommitSpan | undefined> {
  const { log, from, to, signal, onProgress } = search;
  let span: CommitSpan | undefined;
  const onCommit = ({ timeUs }: WalCommit): void => void (span = withCommit(span, timeUs));
  const walker = new WalWalker({ at: from, kind: "recordEnd" }, { onCommit, isTrusted: true });
  const totalBytes = bytesBetween(from, to);
  for await (const bytes of readAhead(log, { from, to })) {
    signal?.throwIfAborted();
    walker.push(bytes);
    requireWhole(walker);
    onProgress?.(bytesBetween(from, walker.position), totalBytes);
  }
  return span;
}

/** The log [from, to) in order, as many stretches on their way as the source has lanes. */
async function* readAhead(
  log: LogSource,
  { from, to }: { readonly from: Lsn; readonly to: Lsn },
): AsyncGenerator<Buffer> {
  const lanes = log.lanes ?? 1;
  const onTheirWay: Promise<Buffer[]>[] = [];
  let next = from;
  while (next < to || onTheirWay.length > 0) {
    while (next < to && onTheirWay.length < lanes) {
      const end = lsnMin(advance(next, stretchBytes), to);
      const stretch = readWhole(log, next, end);
      // Whoever stops before it comes does not hear that it failed.
      stretch.catch(() => {});
      onTheirWay.push(stretch);
      next = end;
    }
    yield* (await onTheirWay.shift()) ?? [];
  }
}

async function readWhole(log: LogSource, from: Lsn, to: Lsn): Promise<Buffer[]> {
  const pieces: Buffer[] = [];
  for (let at = from; at < to;) {
    const bytes = await log.read(at, to);
    pieces.push(bytes);
    at = advance(at, bytes.length);
  }
  return pieces;
}

/**
 * The commits of the log from `from`, a record end, on, and where its last whole record ends. For a log whose end nobody
 * knows, as one that was kept aside: it ends where the source has no more.
 */
export async function walkToEnd(
  log: LogSource,
  from: Lsn,
  signal?: AbortSignal,
): Promise<{ readonly endLsn: Lsn; readonly commits: CommitSpan | undefined }> {
  const finder = new MomentFinder({ at: from, kind: "recordEnd" }, { kind: "lsn", at: from });
  finder.push(Buffer.alloc(0));
  while (!signal?.aborted && !finder.failure) {
    const piece = advance(finder.position, segmentBytes);
    const bytes = await log.read(finder.position, piece).catch(() => undefined);
    if (!bytes) break;
    finder.push(bytes);
  }
  return { endLsn: finder.recordEnd, commits: finder.moment?.after };
}

async function walk(search: MomentSearch, from: Lsn): Promise<Moment | undefined> {
  const finder = new MomentFinder(startAt(from), search.target);
  const totalBytes = bytesBetween(from, search.to);
  await readOn(
    search,
    finder,
    () => {
      search.onProgress?.(bytesBetween(from, finder.position), totalBytes);
      return !finder.isSettled;
    },
    segmentBytes,
  );
  return finder.moment;
}

function startAt(at: Lsn): WalkStart {
  return { at, kind: at === segmentStart(at) ? "segmentStart" : "recordEnd" };
}

type Reading = Pick<MomentSearch, "log" | "to" | "signal">;

/** Hands log on from the walk's position, until there is no more or `isWanted` says so. */
async function readOn(
  { log, to, signal }: Reading,
  walk: Pick<MomentFinder, "push" | "position" | "failure">,
  isWanted: () => boolean,
  pieceBytes = probeBytes,
): Promise<void> {
  while (walk.position < to && isWanted()) {
    signal?.throwIfAborted();
    const piece = advance(walk.position, pieceBytes);
    walk.push(await log.read(walk.position, piece < to ? piece : to));
    requireWhole(walk);
  }
}

function requireWhole({ failure }: Pick<MomentFinder, "failure">): void {
  if (!failure) return;
  const where = `the log is damaged at ${formatLsn(failure.at)}`;
  throw new BorealisError(sqlState.dataCorrupted, `${where}: ${failure.reason}`);
}

/** The first commit at or behind each segment's start, looked up when asked for. */
class SegmentTimes {
  private readonly search: Reading & { readonly from: Lsn };
  private readonly first: Lsn;
  private readonly known = new Map<number, bigint | undefined>();

  constructor(search: Reading & { readonly from: Lsn }) {
    this.search = search;
    this.first = segmentStart(search.from);
  }

  /** Number of the segment with `at`, counted from the log's first; of its first or last one if `at` lies outside. */
  numberAt(at: Lsn): number {
    const { first, search } = this;
    const inside = at < search.to ? lsnMaxOf(at, search.from) : search.to;
    return Math.floor(bytesBetween(first, inside) / segmentBytes);
  }

  startOf(number: number): Lsn {
    return lsnMaxOf(this.search.from, advance(this.first, number * segmentBytes));
  }

  /**
   * The last segment whose first commit was made at or before `timeUs`; the log's first segment if there is none. Looks
   * near the end first: moments that are asked for are most often young.
   */
  async lastBefore(timeUs: bigint): Promise<number> {
    const isBefore = async (number: number): Promise<boolean> => {
      const firstUs = await this.firstCommitUs(number);
      return firstUs !== undefined && firstUs <= timeUs;
    };
    let high = this.numberAt(this.search.to) + 1;
    let low = high - 1;
    for (let step = 1; low > 0 && !(await isBefore(low)); step *= 2) {
      high = low;
      low = Math.max(0, low - step);
    }
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (await isBefore(middle)) low = middle;
      else high = middle;
    }
    return low;
  }

  /** Time of the first commit from this segment's start on, maybe in a later one. Undefined: there is none. */
  private async firstCommitUs(number: number): Promise<bigint | undefined> {
    if (this.known.has(number)) return this.known.get(number);
    let foundUs: bigint | undefined;
    const onCommit = ({ timeUs }: WalCommit): void => void (foundUs ??= timeUs);
    const walker = new WalWalker(startAt(this.startOf(number)), { onCommit });
    // Log without commits, as of one long transaction, is read once: a segment that is known already ends the search.
    const isAtKnown = (): number | undefined => {
      if (walker.firstBoundary === undefined) return undefined;
      const here = this.numberAt(walker.recordEnd);
      return here > number && this.known.has(here) ? here : undefined;
    };
    await readOn(this.search, walker, () => foundUs === undefined && isAtKnown() === undefined);
    const known = isAtKnown();
    if (foundUs === undefined && known !== undefined) foundUs = this.known.get(known);
    this.known.set(number, foundUs);
    return foundUs;
  }
}
