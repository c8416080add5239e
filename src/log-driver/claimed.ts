import { epochNone } from "../base/ids.ts";
import type { Lsn } from "../base/lsn.ts";
import type { DriverAction } from "../ownership/index.ts";
import { epochAt, timelineSpans } from "../quorum/index.ts";
import type { Claimed, Opening, TimelineChoice } from "./driver-messages.ts";

export type Decision = Extract<DriverAction, { kind: "decideBranch" }>;

/** What the agent is told of a claim that was won; `end`: the best node's SCL. */
export function claimedOf(decision: Decision, end: Lsn): Claimed {
  const { epoch, path, b, node, low, floor, nextTimeline } = decision;
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
    floor,
  };
}

/** What the agent chose, spelled out. */
export function openingOf(decision: Decision, choice: TimelineChoice): Opening {
  if (typeof choice === "object" && "kind" in choice) return choice;
  const { b: start } = decision;
  if (typeof choice === "object") return { start, timeline: choice.born, kind: "branch" };
  // Nothing to keep where nothing was ever written: PostgreSQL's first timeline is 1, and so is the next.
  const isKept = choice === "keep" && decision.timeline > 0;
  return { start, timeline: isKept ? decision.timeline : decision.nextTimeline, kind: "branch" };
}
