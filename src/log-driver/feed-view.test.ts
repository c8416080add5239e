import { describe, expect, it } from "vitest";
import { epoch, timeline } from "../base/ids.ts";
import { lsn, type Lsn } from "../base/lsn.ts";
import type { History, HistoryEntry } from "../quorum/index.ts";
import { parseHistoryFile } from "../wal/index.ts";
import { findHistoryFile } from "./feed-history.ts";
import { FeedView } from "./feed-view.ts";

const at = (n: number): Lsn => lsn(BigInt(n));

function entryOf(e: number, t: number, start: number): HistoryEntry {
  return { epoch: epoch(e), timeline: timeline(t), start: at(start), kind: "branch" };
}

/** [epoch, timeline, start] rows. */
function path(...rows: [number, number, number][]): History {
  return rows.map((row) => entryOf(...row));
}

const onePath = path([1, 1, 100]);
const twoPath = path([1, 1, 100], [2, 2, 500]);

function viewOf(history: History, vdl: number, vdlEpoch: number): FeedView {
  const view = new FeedView();
  view.learn({ history, vdl: at(vdl), vdlEpoch: epoch(vdlEpoch) });
  return view;
}

/** A backtrack to 300 in epoch 3, and the return from it: the log that was left, again, up to 500, then a branch. */
const back: History = [...path([1, 1, 100]), { ...entryOf(3, 2, 300), kind: "backtrack" }];
const returned: History = [
  ...back,
  { ...entryOf(4, 1, 300), kind: "backtrack" },
  entryOf(5, 2, 500),
];

describe("what a reader has before a feed gives it anything", () => {
  it("is removed by a backtrack that it has not followed, whatever the timelines are called", () => {
    const view = new FeedView();
    view.follow({ path: back, end: undefined });
    expect(view.hasLeft({ history: back }, at(0))).toBe(false);
    // Without the reader's own path, 420 of timeline 2 would look like a place of epoch 5.
    expect(view.hasLeft({ history: returned }, at(0))).toBe(true);
  });

  it("stays what it is if the backtrack is to above it, or another writer has just branched off", () => {
    const view = new FeedView();
    view.follow({ path: back, end: at(300) });
    expect(view.hasLeft({ history: returned }, at(0))).toBe(false);
    view.follow({ path: back, end: undefined });
    expect(view.hasLeft({ history: [...back, entryOf(4, 3, 450)] }, at(0))).toBe(false);
  });
});

describe("a node that has not heard of a return yet", () => {
  const behind = { history: back, vdl: at(420), vdlEpoch: epoch(3) };

  it("teaches nothing to whoever knows the path", () => {
    const view = new FeedView(returned.slice(0, -1));
    expect(view.learn(behind)).toBe(false);
    expect(view.isKnown).toBe(false);
    view.learn({ history: returned, vdl: at(500), vdlEpoch: epoch(5) });
    expect([view.limit, view.timeline]).toEqual([at(500), 2]);
  });

  it("does not make the others believe in its VDL", () => {
    const view = new FeedView();
    view.learn(behind);
    expect(view.limit).toBe(at(420));
    view.learn({ history: returned, vdl: at(310), vdlEpoch: epoch(4) });
    expect(view.limit).toBe(at(310));
  });

  it("is needed by nobody to know how far the shared log goes", () => {
    // Opened where the epoch before had been lowered to: no node has heard of a higher VDL in it.
    const view = new FeedView(back);
    view.learn({ history: back, vdl: at(300), vdlEpoch: epoch(1) });
    expect([view.isKnown, view.limit]).toEqual([true, at(300)]);
  });
});

describe("what a reader may know of the volume", () => {
  it("is nothing until a node has told a VDL", () => {
    const view = new FeedView();
    view.learn({ history: onePath, vdl: at(0), vdlEpoch: epoch(0) });
    expect(view.isKnown).toBe(false);
    view.learn({ history: onePath, vdl: at(300), vdlEpoch: epoch(1) });
    expect(view.isKnown).toBe(true);
    expect(view.limit).toBe(at(300));
  });

  it("does not show the timeline of an epoch that is not open", () => {
    const view = viewOf(onePath, 500, 1);
    view.learn({ history: twoPath, vdl: at(500), vdlEpoch: epoch(1) });
    expect(view.findNext(timeline(1))).toBeUndefined();
    expect(view.timeline).toBe(1);
    view.learn({ history: twoPath, vdl: at(500), vdlEpoch: epoch(2) });
    expect(view.findNext(timeline(1))).toEqual({ timeline: 2, start: at(500) });
    expect(view.timeline).toBe(2);
  });

  it("takes a VDL below an epoch's start for a hint of one that is still electing", () => {
    const view = viewOf(onePath, 400, 1);
    view.learn({ history: twoPath, vdl: at(100), vdlEpoch: epoch(2) });
    expect(view.epoch).toBe(1);
    expect(view.limit).toBe(at(400));
  });

  it("is told by a node on a path that leaves the known one below where the reader is", () => {
    const view = viewOf(twoPath, 600, 2);
    const history = path([1, 1, 100], [2, 2, 500], [3, 3, 550]);
    expect(view.hasLeft({ history }, at(600))).toBe(true);
    expect(view.hasLeft({ history }, at(550))).toBe(false);
    expect(view.hasLeft({ history: twoPath }, at(600))).toBe(false);
    // A node that slept says nothing of where the path goes now; nor does any node while none is known.
    expect(view.hasLeft({ history: onePath }, at(600))).toBe(false);
    expect(new FeedView().hasLeft({ history }, at(600))).toBe(false);
  });

  it("learns nothing from a node that is older than what it knows", () => {
    const view = viewOf(twoPath, 600, 2);
    const learnt = view.learn({ history: onePath, vdl: at(900), vdlEpoch: epoch(1) });
    expect(learnt).toBe(false);
    expect(view.limit).toBe(at(600));
  });

  it("keeps the VDL when a node tells a lower one", () => {
    const view = viewOf(onePath, 400, 1);
    view.learn({ history: onePath, vdl: at(350), vdlEpoch: epoch(1) });
    expect(view.vdl).toBe(at(400));
  });

  it("hides what begins at the cap, so that a candidate does not follow its own branch", () => {
    const view = viewOf(twoPath, 500, 2);
    view.cap = at(500);
    expect(view.findNext(timeline(1))).toBeUndefined();
    expect(view.timeline).toBe(1);
    expect(view.limit).toBe(at(500));
    view.cap = undefined;
    expect(view.timeline).toBe(2);
  });

  it.each([
    { asked: [1, 100], answer: "stream" },
    { asked: [1, 499], answer: "stream" },
    { asked: [1, 500], answer: "over" },
    { asked: [1, 501], answer: "refuse" },
    // A standby asks from its segment's start: bytes of the old timeline under the new one's name.
    { asked: [2, 100], answer: "stream" },
    { asked: [2, 600], answer: "stream" },
    { asked: [2, 601], answer: "refuse" },
    { asked: [3, 100], answer: "refuse" },
  ])(
    "answers START_REPLICATION on $asked with $answer",
    ({ asked: [of = 0, from = 0], answer }) => {
      expect(viewOf(twoPath, 600, 2).plan(timeline(of), at(from)).kind).toBe(answer);
    },
  );

  it("merges epochs of one timeline, and writes history files as PostgreSQL does", () => {
    const view = viewOf(path([1, 1, 100], [2, 1, 300], [4, 2, 500], [5, 2, 700]), 800, 5);
    expect(view.spans()).toEqual([
      { timeline: 1, start: at(100) },
      { timeline: 2, start: at(500) },
    ]);
    expect(findHistoryFile(view.spans(), timeline(2))).toBe("1\t0/1F4\tborealis epoch\n");
    expect(findHistoryFile(view.spans(), timeline(1))).toBeUndefined();
  });

  it("has a history without lines for the timeline that a restored volume was born on", () => {
    const view = viewOf(path([1, 5, 100], [2, 6, 300]), 800, 2);
    const born = findHistoryFile(view.spans(), timeline(5)) ?? "none";
    expect(parseHistoryFile(born)).toEqual([]);
    expect(findHistoryFile(view.spans(), timeline(6))).toBe("5\t0/12C\tborealis epoch\n");
    expect(findHistoryFile(view.spans(), timeline(4))).toBeUndefined();
  });
});

describe("a timeline that the volume left behind", () => {
  it("is not on the path any more when its epoch wrote nothing and another one began at the same place", () => {
    const view = viewOf(twoPath, 500, 2);
    expect(view.has(timeline(2))).toBe(true);
    view.learn({
      history: path([1, 1, 100], [2, 2, 500], [3, 1, 500]),
      vdl: at(500),
      vdlEpoch: epoch(3),
    });
    expect(view.has(timeline(2))).toBe(false);
    expect(view.has(timeline(1))).toBe(true);
  });
});

describe("a node that may serve instead of another one", () => {
  const state = { history: twoPath, vdl: at(600), scl: at(620), base: at(100) };

  it("has log beyond the reader's, by its own VDL and its own log", () => {
    const view = viewOf(twoPath, 900, 2);
    expect(view.couldGive(state, at(599), at(599))).toBe(true);
    expect(view.couldGive(state, at(600), at(600))).toBe(false);
    expect(view.couldGive({ ...state, scl: at(590) }, at(590), at(590))).toBe(false);
    expect(view.couldGive({ ...state, base: at(550) }, at(540), at(540))).toBe(false);
    // Nothing was learnt from it.
    expect(Number(view.vdl)).toBe(900);
  });

  it("is none beyond a cap, none that is behind in epochs, and none on another path", () => {
    const view = viewOf(twoPath, 600, 2);
    expect(view.couldGive({ ...state, history: onePath }, at(510), at(510))).toBe(false);
    const elsewhere = path([1, 1, 100], [3, 3, 450]);
    expect(view.couldGive({ ...state, history: elsewhere }, at(510), at(510))).toBe(false);
    view.cap = at(510);
    expect(view.couldGive(state, at(509), at(509))).toBe(true);
    expect(view.couldGive(state, at(510), at(510))).toBe(false);
  });
});
