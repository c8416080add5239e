import { expect, it } from "vitest";
import { describeLost, ScrubTally } from "./index.ts";

it("counts each store for itself, and tells the worst of it", () => {
  const tally = new ScrubTally<string>();
  tally.noteChecked("a", 100);
  tally.noteChecked("a", 0);
  tally.noteHealed("a");
  tally.noteUnread("b", "away");
  tally.noteUnread("b", "away still");
  const none = { checked: 0, checkedBytes: 0, healed: 0, unhealed: 0 };
  expect(tally.figuresOf("a")).toEqual({
    ...none,
    checked: 2,
    checkedBytes: 100,
    healed: 1,
    problem: null,
  });
  expect(tally.figuresOf("b")).toEqual({
    ...none,
    problem: "2 objects were not read: away",
  });
  tally.noteUnhealed("b", "full");
  expect(tally.figuresOf("b")).toEqual({ ...none, unhealed: 1, problem: "full" });
  expect(tally.stores).toEqual(["a", "b"]);
});

it("knows how much has been read of what there is, in all stores together", () => {
  const tally = new ScrubTally<string>();
  tally.noteChecked("a", 100);
  expect(tally.progress).toEqual({ doneBytes: 100, totalBytes: null });
  tally.noteToCome(300);
  tally.noteToCome(50);
  tally.noteChecked("b", 200);
  expect(tally.progress).toEqual({ doneBytes: 300, totalBytes: 350 });
  tally.noteChecked("a", 100);
  expect(tally.progress).toEqual({ doneBytes: 400, totalBytes: 400 });
});

it("what is lost is told once, with the snapshots that it hurts", () => {
  const tally = new ScrubTally<string>();
  expect(describeLost(tally.lost)).toBeUndefined();
  const x = { name: "extents/x", snapshots: ["b", "a"] };
  expect([tally.noteLost(x), tally.noteLost(x)]).toEqual([true, false]);
  expect(describeLost(tally.lost)).toBe(
    "no store has a good copy of extents/x: snapshots a, b are hurt",
  );
  tally.noteLost({ name: "extents/y", snapshots: ["a", "c", "d", "e", "f", "g"] });
  expect(describeLost(tally.lost)).toBe(
    "no store has a good copy of extents/x (nor of 1 more): snapshots a, b, c, d, e and 2 more are hurt",
  );
  expect(describeLost([{ name: "extents/z", snapshots: ["a"] }])).toBe(
    "no store has a good copy of extents/z: snapshot a is hurt",
  );
});
