import { describe, expect, it } from "vitest";
import type { InstanceStatus } from "../instance/index.ts";
import { isRecorded, withLife } from "./lives.ts";
import type { LifeRecord } from "./state.ts";

function opened(
  id: string,
  opening: { epoch: number; previous: number | null; nextXid: string } | null,
): InstanceStatus {
  return {
    id,
    agentPid: 77,
    incarnation: 2,
    epoch: opening?.epoch ?? 0,
    opening: opening ? { ...opening, postmaster: `${id} 1` } : null,
  } as InstanceStatus; // what is read of a status
}

const a: LifeRecord = { incarnation: "a.1.1", epoch: 3, cutoff: "700", postmaster: "a 1" };
const forward = { isReturn: false };

describe("the lives of the writer", () => {
  it("grow by who opened, with its cutoff", () => {
    const next = withLife([a], opened("b", { epoch: 5, previous: 3, nextXid: "900" }), forward);
    expect(next).toEqual([
      a,
      { incarnation: "b.77.2", epoch: 5, cutoff: "900", postmaster: "b 1" },
    ]);
    expect(isRecorded(next, { epoch: 5 })).toBe(true);
    expect(isRecorded(next, { epoch: 4 })).toBe(false);
  });

  it("stay as they are where nothing is new, or an old writer is heard late", () => {
    const lives = [a];
    expect(withLife(lives, opened("b", null), forward)).toBe(lives);
    expect(withLife(lives, opened("a", { epoch: 3, previous: 1, nextXid: "5" }), forward)).toBe(
      lives,
    );
    expect(withLife(lives, opened("z", { epoch: 2, previous: 1, nextXid: "5" }), forward)).toBe(
      lives,
    );
  });

  it("begin anew behind a life that wrote and was never recorded", () => {
    const next = withLife([a], opened("b", { epoch: 6, previous: 5, nextXid: "900" }), forward);
    expect(next.map((life) => life.epoch)).toEqual([6]);
  });

  it("begin anew with the first life of a volume, and with the undo of a backtrack", () => {
    const first = opened("a", { epoch: 1, previous: null, nextXid: "700" });
    expect(withLife([], first, forward)).toHaveLength(1);
    const back = opened("b", { epoch: 6, previous: 3, nextXid: "900" });
    expect(withLife([a], back, { isReturn: true }).map((life) => life.epoch)).toEqual([6]);
  });

  it("are bounded", () => {
    let lives: readonly LifeRecord[] = [a];
    for (let epoch = 4; epoch < 200; epoch++) {
      const status = opened("b", { epoch, previous: epoch - 1, nextXid: "900" });
      lives = withLife(lives, status, forward);
    }
    expect(lives).toHaveLength(64);
    expect(lives.at(-1)?.epoch).toBe(199);
  });
});
