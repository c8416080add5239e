import { describe, expect, it } from "vitest";
import { LateCancel } from "./late-cancel.ts";

type Runner = Parameters<LateCancel["settle"]>[0];
type Line = Parameters<LateCancel["settle"]>[1];

const [first, second] = [{}, {}] as [Line, Line];
const [asked, next] = [{ isOwn: false }, { isOwn: false }];
const ours = { isOwn: true };

/** A session with these cycles under way. */
function running(cycles: readonly object[], { hasServer = true, isParked = false } = {}): Runner {
  const exchange = { cycles: { length: cycles.length, at: (index: number) => cycles[index] } };
  return { hasServer, isParked, conversation: { exchange } } as unknown as Runner;
}

function make(survivor = running([ours, asked])) {
  const late = new LateCancel();
  let again = 0;
  late.note(survivor, first, () => again++);
  return { late, again: () => again };
}

describe("a cancel request that its server does not act on", () => {
  it("comes to the next server as soon as the statement runs there, once", () => {
    const { late, again } = make();
    late.settle(running([ours, asked]), first);
    late.settle(running([asked], { hasServer: false }), second);
    expect(again()).toBe(0);
    late.settle(running([next]), second);
    late.settle(running([next]), second);
    expect(again()).toBe(1);
  });

  it("is over with its statement, and does not meet the next one", () => {
    const { late, again } = make();
    late.settle(running([next]), first);
    late.settle(running([next]), second);
    expect(again()).toBe(0);
  });

  it.each(["refused", "answered", "unknown", "rerun"] as const)(
    "goes on after a loss only where that has it run again: %s",
    (outcome) => {
      const { late, again } = make();
      late.settle(running([asked], { hasServer: false }), first);
      late.cameTo(outcome);
      // What the client sends then.
      late.settle(running([next]), second);
      expect(again()).toBe(outcome === "rerun" ? 1 : 0);
    },
  );

  it("is over where nothing is run again, and where nothing was under way", () => {
    for (const survivor of [running([asked]), running([ours]), running([], { isParked: true })]) {
      const { late, again } = make(survivor);
      late.settle(running([ours]), second);
      late.settle(running([next]), second);
      expect(again()).toBe(0);
    }
  });
});
