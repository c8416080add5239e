import { BorealisError, sqlState } from "../base/errors.ts";
import { type Epoch, epochNone, type Timeline } from "../base/ids.ts";
import { formatLsn, type Lsn, lsnMaxOf, lsnMin, lsnZero } from "../base/lsn.ts";
import {
  type History,
  isOnPath,
  lastEpoch,
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
    this.path = said.history;
    if (said.vdlEpoch < this.openEpoch) return true;
    this.vdlLsn = lsnMaxOf(this.vdlLsn, said.vdl);
    // While electing, a driver sends a VDL below its start: only from its start on is its epoch open.
    const entry = said.history.find(({ epoch }) => epoch === said.vdlEpoch);
    if (entry && said.vdl >= entry.start) this.openEpoch = said.vdlEpoch;
    return true;
  }

  /**
   * Whether the node is on another path than the known one below `at`, where the reader's log ends: a backtrack has
   * removed some of it. A node that is older than what is known says nothing of it.
   */
  hasLeft({ history }: { readonly history: History }, at: Lsn): boolean {
    const from = this.path[0]?.start;
    if (from === undefined || at <= from || lastEpoch(history) < this.openEpoch) return false;
    return !isOnPath(this.path, history, { from, at });
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

function refuse(why: string): StreamPlan {
  return { kind: "refuse", error: new BorealisError(sqlState.notInPrerequisiteState, why) };
}
