import { describe, expect, it } from "vitest";
import { Deque } from "../base/deque.ts";
import { CommitStopwatch } from "./commit-stopwatch.ts";
import { type Cycle, newCycle } from "./cycle.ts";

function aSession() {
  let nowMs = 0;
  const told: unknown[] = [];
  const watch = new CommitStopwatch({ nowMs: () => nowMs });
  return {
    watch,
    told,
    at(ms: number): CommitStopwatch {
      nowMs = ms;
      return watch;
    },
    tell: (ms: number): void => {
      nowMs = ms;
      watch.told({ committed: (at) => void told.push(at) });
    },
  };
}

const owing = (...cycles: Cycle[]) => {
  const all = new Deque<Cycle>();
  for (const cycle of cycles) all.pushBack(cycle);
  const last = all.back();
  return { cycles: all, openBatch: last?.isOpen === true ? last : undefined };
};

describe("a commit at an endpoint", () => {
  it("is measured from its sending to its answer, and from there until it is told", () => {
    const { at, told, tell } = aSession();
    at(1).arrived(owing());
    at(2).sent();
    at(5).heard();
    tell(9);
    expect(told).toEqual([{ sentMs: 2, heardMs: 5, nowMs: 9 }]);
  });

  it("begins with the last piece of what the client sends before it waits", () => {
    const { at, told, tell } = aSession();
    at(1).arrived(owing());
    at(2).sent();
    at(3).arrived(owing(newCycle("batch")));
    at(4).sent();
    at(6).heard();
    tell(6);
    expect(told).toEqual([{ sentMs: 4, heardMs: 6, nowMs: 6 }]);
  });

  it("is not measured behind what the server owes, nor is what it follows on", () => {
    const { at, told, tell } = aSession();
    at(1).arrived(owing());
    at(1).sent();
    at(2).arrived(owing(newCycle("query")));
    at(2).sent();
    at(3).heard();
    tell(3);
    at(4).heard();
    tell(4);
    expect(told).toEqual([]);
    at(5).arrived(owing());
    at(5).sent();
    at(6).heard();
    tell(6);
    expect(told).toHaveLength(1);
  });
});
