import { describe, expect, it } from "vitest";
import { instanceId } from "../base/ids.ts";
import { LoadBook } from "./load-book.ts";
import type { Target } from "./topology.ts";

const a = instanceId("a");
const b = instanceId("b");

function targetOf(incarnation: string, role: Target["role"] = "reader"): Target {
  return { instanceId: a, role, address: { socketDir: "/s", port: 1, major: 18 }, incarnation };
}

describe("the sessions of an instance", () => {
  it("are counted from the moment at which its place is chosen, each in one place", () => {
    const book = new LoadBook();
    const load = (): number[] => [a, b].map((id) => book.choiceAt(0, undefined).loadOf(id));
    const [one, two] = [book.newSeat(), book.newSeat()];
    one.take(a);
    two.take(a);
    expect(load()).toEqual([2, 0]);
    one.take(b);
    expect(load()).toEqual([1, 1]);
    one.leave();
    one.leave();
    expect(load()).toEqual([1, 0]);
    two.leave();
    expect(load()).toEqual([0, 0]);
  });
});

describe("an instance that let a session wait in vain", () => {
  it("is avoided for a while, or until it answers; its next life is another one", () => {
    const book = new LoadBook();
    const isAvoided = (nowMs: number, life = "a.1"): boolean =>
      book.choiceAt(nowMs, undefined).isSuspect(targetOf(life));
    expect(isAvoided(1_000)).toBe(false);
    book.suspect(targetOf("a.1"), 1_000);
    expect([isAvoided(1_000), isAvoided(10_999), isAvoided(11_000)]).toEqual([true, true, false]);
    expect(isAvoided(2_000, "a.2")).toBe(false);
    book.trust(targetOf("a.1"));
    expect(isAvoided(2_000)).toBe(false);
  });
});

describe("the server that a session has lost", () => {
  it("is not the same one after a restart, nor in another role", () => {
    const { isLost } = new LoadBook().choiceAt(0, targetOf("a.1"));
    expect(isLost(targetOf("a.1"))).toBe(true);
    expect(isLost(targetOf("a.2"))).toBe(false);
    expect(isLost(targetOf("a.1", "writer"))).toBe(false);
  });
});
