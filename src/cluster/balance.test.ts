import { describe, expect, it } from "vitest";
import { type Burden, leastBusy } from "./balance.ts";

const idle: Burden = { sessions: 0, lagMs: 0, isLagging: false, isSuspect: false };

function choose(burdens: Record<string, Partial<Burden>>, turn = 0): string | undefined {
  return leastBusy(Object.keys(burdens), (name) => ({ ...idle, ...burdens[name] }), turn);
}

/** How many sessions each has after `count` new ones. */
function spread(burdens: Record<string, Partial<Burden>>, count: number): Record<string, number> {
  const now = structuredClone(burdens);
  for (let turn = 0; turn < count; turn++) {
    const chosen = now[choose(now, turn) ?? ""];
    if (chosen)
      now[Object.keys(now).find((name) => now[name] === chosen) ?? ""] = {
        ...chosen,
        sessions: (chosen.sessions ?? 0) + 1,
      };
  }
  return Object.fromEntries(
    Object.entries(now).map(([name, { sessions = 0 }]) => [name, sessions]),
  );
}

describe("the least busy instance", () => {
  it("is none of none", () => {
    expect(choose({})).toBe(undefined);
  });

  it("has the fewest sessions", () => {
    expect(choose({ a: { sessions: 2 }, b: { sessions: 1 }, c: { sessions: 3 } })).toBe("b");
    expect(spread({ a: { sessions: 6 }, b: {}, c: {} }, 12)).toEqual({ a: 6, b: 6, c: 6 });
  });

  it("is another one each time among equals", () => {
    const three = { a: {}, b: {}, c: {} };
    expect([0, 1, 2, 3].map((turn) => choose(three, turn))).toEqual(["a", "b", "c", "a"]);
  });

  it("counts lag as load", () => {
    expect(choose({ a: { lagMs: 3_000 }, b: {} })).toBe("b");
    expect(choose({ a: { lagMs: 3_000 }, b: { sessions: 1 } })).toBe("a");
    expect(spread({ a: { lagMs: 5_000 }, b: {} }, 30)).toEqual({ a: 10, b: 20 });
  });

  it("does not lag beyond the bound, unless all do: then whichever lags least", () => {
    const far = { lagMs: 20_000, isLagging: true };
    expect(choose({ a: far, b: { sessions: 500 } })).toBe("b");
    expect(choose({ a: far, b: { lagMs: 12_000, isLagging: true, sessions: 500 } })).toBe("b");
  });

  it("has not let a session wait in vain, unless all have", () => {
    expect(choose({ a: { isSuspect: true }, b: { sessions: 500 } })).toBe("b");
    expect(choose({ a: { isSuspect: true }, b: { isSuspect: true, sessions: 1 } })).toBe("a");
  });
});
