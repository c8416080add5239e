import { describe, expect, it } from "vitest";
import { objectStoreRow, withObjects } from "./scrub-rows.ts";

const log = {
  node: "az1-full",
  checkedBytes: 100,
  compared: 3,
  healed: 1,
  unhealed: 0,
  problem: null,
};
const objects = { checked: 7, checkedBytes: 50, healed: 2, unhealed: 1 };

describe("a line of a scrub", () => {
  it("of a full node has its log and its objects together, and what of it is objects", () => {
    const found = [
      { nodeId: "other", ...objects, healed: 99, problem: null },
      { nodeId: "own", ...objects, problem: "one is lost" },
    ];
    expect(withObjects(log, found, "own")).toEqual({
      node: "az1-full",
      checkedBytes: 150,
      compared: 3,
      healed: 3,
      unhealed: 1,
      problem: "one is lost",
      objects,
    });
  });

  it("says why objects were not looked at; what is wrong with the log comes first", () => {
    expect(withObjects(log, "the keeper does not run", "own")).toEqual({
      ...log,
      problem: "objects were not read: the keeper does not run",
      objects: null,
    });
    expect(withObjects(log, [], "own").problem).toContain("no member of the volume yet");
    const silent = { ...log, problem: "does not answer" };
    expect(withObjects(silent, "the keeper does not run", "own").problem).toBe("does not answer");
  });

  it("of the object store has nothing but objects", () => {
    const found = [{ nodeId: null, ...objects, problem: null }];
    expect(objectStoreRow(found)).toEqual({
      node: "object-store",
      checkedBytes: 50,
      compared: 0,
      healed: 2,
      unhealed: 1,
      problem: null,
      objects,
    });
    expect(objectStoreRow([]).problem).toContain("objects were not read");
  });
});
