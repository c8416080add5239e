import { epochNone, type Timeline } from "../base/ids.ts";
import type { Lsn } from "../base/lsn.ts";
import type { DriverAction } from "../ownership/index.ts";
import { epochAt, timelineSpans } from "../quorum/index.ts";
import type { Claimed, TimelineChoice } from "./driver-messages.ts";

export type Decision = Extract<DriverAction, { kind: "decideBranch" }>;

/** What the agent is told of a claim that was won; `end`: the best node's SCL. */
export function claimedOf(decision: Decision, end: Lsn): Claimed {
  const { epoch, path, b, node, low, nextTimeline } = decision;
  return {
    epoch,
    start: b,
    end,
    bestNode: node,
    history: path,
    timeline: epochAt(path, b) === epochNone ? undefined : decision.timeline,
    nextTimeline,
    spans: timelineSpans(path),
    low,
  };
}

/** The timeline that the epoch is registered with. */
export function timelineOf(decision: Decision, choice: TimelineChoice): Timeline {
  if (typeof choice === "object") return choice.born;
  // Nothing to keep where nothing was ever written: PostgreSQL's first timeline is 1, and so is the next.
  return choice === "keep" && decision.timeline > 0 ? decision.timeline : decision.nextTimeline;
}
