import { BorealisError, sqlState } from "../base/errors.ts";
import { type Epoch, epochNone, type Timeline } from "../base/ids.ts";
import { formatLsn, type Lsn, lsnMaxOf, lsnMin, lsnZero } from "../base/lsn.ts";
import {
  commonPrefix,
  type History,
  isOnPath,
  isSameHistory,
  lastEpoch,
  newestBacktrack,
  type TimelineSpan,
  timelineAt,
  timelineSpans,
} from "../quorum/index.ts";

/** What a standby that asks for a timeline from an LSN on gets. */
export type StreamPlan =
  /** Bytes, up to the end of the timeline if it has one. */
  | { readonly kind: "stream" }
  /** Nothing: the timeline ended just here. */
  | { readonly kind: "over"; readonly next: TimelineSpan }
  | { readonly kind: "refuse"; readonly error: BorealisError };

/** What a reader has before a feed gives it anything. */
export interface OwnLog {
  /** Where it is from. */
  readonly path: History;
  /** There is none from here on; undefined: nobody knows how far it goes. */
  readonly end: Lsn | undefined;
}

/**
 * What a reader may know of the volume, gathered from what nodes say. Two things are kept from it: an epoch that has
 * not opened (it may be abandoned, and its timeline number used again elsewhere), and, below a cap, everything from
 * the cap on, timelines that begin there included: an instance about to be promoted must not follow its own branch.
 */
export class FeedView {
  private path: History;
  private openEpoch: Epoch;
  private vdlLsn: Lsn = lsnZero;
  private capLsn: Lsn | undefined;
  private own: OwnLog | undefined;

  /** `path`: that of the reader's own log, if it is known. */
  constructor(path: History = []) {
    this.path = path;
    this.openEpoch = lastEpoch(path);
  }

  /** Highest VDL heard of. */
  get vdl(): Lsn {
    return this.vdlLsn;
  }
  get cap(): Lsn | undefined {
    return this.capLsn;
  }
  set cap(cap: Lsn | undefined) {
    this.capLsn = cap;
  }

  /** The reader begins with log of its own, which no feed has seen. */
  follow(own: OwnLog): void {
    this.own = own;
  }

  /** False until a node has told how far readers may read. */
  get isKnown(): boolean {
    return this.vdlLsn > lsnZero && this.path.length > 0;
  }

  /** No byte from here on may be sent. */
  get limit(): Lsn {
    return this.capLsn === undefined ? this.vdlLsn : lsnMin(this.vdlLsn, this.capLsn);
  }

  /** Newest epoch that is known to be open. */
  get epoch(): Epoch {
    return this.openEpoch;
  }

  /** The timeline of the last byte that may be sent. */
  get timeline(): Timeline {
    return timelineAt(this.visiblePath(), this.limit);
  }

  /** Takes in what a node said. False: the node is older than what is known, and nothing was learnt. */
  learn(said: { readonly history: History; readonly vdl: Lsn; readonly vdlEpoch: Epoch }): boolean {
    if (lastEpoch(said.history) < this.openEpoch) return false;
    this.forgetRemoved(said.history);
    this.path = said.history;
    // Whoever accepts an epoch lowers its VDL to what the paths share: one of an older epoch holds here, too.
    this.vdlLsn = lsnMaxOf(this.vdlLsn, said.vdl);
    if (said.vdlEpoch < this.openEpoch) return true;
    // While electing, a driver sends a VDL below its start: only from its start on is its epoch open.
    const entry = said.history.find(({ epoch }) => epoch === said.vdlEpoch);
    if (entry && said.vdl >= entry.start) this.openEpoch = said.vdlEpoch;
    return true;
  }

  /** A VDL of what a backtrack has removed says nothing of the path in its place. */
  private forgetRemoved(history: History): void {
    const from = this.path[0]?.start;
    if (from === undefined || isSameHistory(this.path, history)) return;
    if (backtrackOf(history) <= backtrackOf(this.path)) return;
    this.vdlLsn = commonPrefix(this.path, history, { from, limit: this.vdlLsn });
  }

  /**
   * Whether the node is on another path than the known one below `at`, where the reader's log ends: a backtrack has
   * removed some of it. A node that is older than what is known says nothing of it.
   */
  hasLeft({ history }: { readonly history: History }, at: Lsn): boolean {
    if (lastEpoch(history) < this.openEpoch) return false;
    if (this.hasLeftOwn(history)) return true;
    const from = this.path[0]?.start;
    return from !== undefined && at > from && !isOnPath(this.path, history, { from, at });
  }

  /**
   * Whether a node that is like this has log from `at` on that may go out; the reader may have log up to `sentTo`. By what the
   * node itself says, which is believed when it serves: nothing is learnt from it, nor is the known path given up for it.
   */
  couldGive(
    state: {
      readonly history: History;
      readonly vdl: Lsn;
      readonly scl: Lsn;
      readonly base: Lsn;
    },
    at: Lsn,
    sentTo: Lsn,
  ): boolean {
    if (lastEpoch(state.history) < this.openEpoch || state.base > at) return false;
    if (this.hasLeft(state, lsnMaxOf(at, sentTo))) return false;
    const end = lsnMin(state.vdl, state.scl);
    return lsnMin(end, this.capLsn ?? end) > at;
  }

  /** Only a backtrack removes log that a reader was given. */
  private hasLeftOwn(history: History): boolean {
    const { own } = this;
    if (!own) return false;
    const known = backtrackOf(own.path);
    return history.some(
      ({ kind, epoch, start }) =>
        kind === "backtrack" && epoch > known && (own.end === undefined || start < own.end),
    );
  }

  /** The path as far as it may be shown. */
  visiblePath(): History {
    const { capLsn, openEpoch } = this;
    return this.path.filter(
      ({ epoch, start }) =>
        (epoch <= openEpoch || openEpoch === epochNone) && (capLsn === undefined || start < capLsn),
    );
  }

  /** Timelines of the visible path, in order. */
  spans(): TimelineSpan[] {
    return timelineSpans(this.visiblePath());
  }

  /** The timeline after `timeline`, and where it begins; undefined while `timeline` is the last one. */
  findNext(timeline: Timeline): TimelineSpan | undefined {
    const spans = this.spans();
    const at = spans.findLastIndex((span) => span.timeline === timeline);
    return at < 0 ? undefined : spans[at + 1];
  }

  /** Whether the visible path still has this timeline: one whose epoch wrote nothing may have been left behind. */
  has(timeline: Timeline): boolean {
    return this.spans().some((span) => span.timeline === timeline);
  }

  plan(timeline: Timeline, from: Lsn): StreamPlan {
    const at = `${formatLsn(from)} on timeline ${timeline}`;
    if (!this.has(timeline)) {
      return refuse(`requested starting point ${at} is not in this volume's history`);
    }
    const next = this.findNext(timeline);
    if (next && from > next.start) {
      return refuse(
        `timeline ${timeline} was left at ${formatLsn(next.start)}, before ${formatLsn(from)}`,
      );
    }
    if (next && from === next.start) return { kind: "over", next };
    if (from > this.limit) {
      const limit = formatLsn(this.limit);
      return refuse(`requested starting point ${at} is ahead of what readers may have, ${limit}`);
    }
    return { kind: "stream" };
  }
}

function backtrackOf(path: History): Epoch {
  return newestBacktrack(path)?.epoch ?? epochNone;
}

function refuse(why: string): StreamPlan {
  return { kind: "refuse", error: new BorealisError(sqlState.notInPrerequisiteState, why) };
}
