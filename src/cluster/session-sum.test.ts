import { describe, expect, it } from "vitest";
import type { RpcPeer } from "../io/index.ts";
import { SessionCounters, type SessionFigures } from "../session/index.ts";
import { sumOfFigures } from "./session-sum.ts";
import { SessionWatch } from "./session-watch.ts";

function aProxy(outcomes: "replayed" | "unknown", idle: number): SessionFigures {
  const counters = new SessionCounters();
  counters.outcomes.count(outcomes);
  counters.told("08007");
  counters.connected("writer");
  counters.holdBegun();
  counters.holdEnded(20);
  counters.poolWaited(5);
  return counters.figures({
    sessions: [
      { endpoint: "writer", state: "idle", count: idle },
      { endpoint: "reader", state: "active", count: 1 },
    ],
    unauthenticated: 1,
    loginsSlowed: 0,
    auditLost: 0,
    instances: [{ instance: "instance-1", open: 3, free: 1, waiting: 0 }],
    reasons: new Map([["it listens", 1]]),
  });
}

describe("figures of several proxies", () => {
  it("are none where no proxy has spoken", () => {
    expect(sumOfFigures([])).toBeUndefined();
  });

  it("are added, row by row", () => {
    const sum = sumOfFigures([aProxy("replayed", 4), aProxy("unknown", 2)]);
    expect(sum).toMatchObject({
      sessions: [
        { endpoint: "writer", state: "idle", count: 6 },
        { endpoint: "reader", state: "active", count: 2 },
      ],
      unauthenticated: 2,
      loginsSlowed: 0,
      auditLost: 0,
      outcomes: { replayed: 1, unknown: 1, refused: 0 },
      errors: { "08007": 2 },
      connections: { writer: 2 },
      held: 0,
      holds: { sumMs: 40 },
      pool: {
        instances: [{ instance: "instance-1", open: 6, free: 2, waiting: 0 }],
        waits: { sumMs: 10 },
        kept: { listen: 2 },
      },
    });
  });
});

describe("what a proxy says", () => {
  const peer = (): { proxy: RpcPeer; leave: () => void } => {
    const gone = new AbortController();
    return { proxy: { tell: () => undefined, signal: gone.signal }, leave: () => gone.abort() };
  };

  it("counts as long as its line, and replaces what it said before", () => {
    const watch = new SessionWatch();
    const { proxy, leave } = peer();
    watch.handlers["sessions"]?.(aProxy("replayed", 1), proxy);
    watch.handlers["sessions"]?.(JSON.parse(JSON.stringify(aProxy("unknown", 9))), proxy);
    expect(watch.figures).toMatchObject({ outcomes: { replayed: 0, unknown: 1 } });
    leave();
    expect(watch.figures).toBeUndefined();
  });

  it("is refused if it is something else", () => {
    const figures = aProxy("replayed", 1);
    const odd = [
      { ...figures, held: -1 },
      { ...figures, holds: { counts: [1], sumMs: 1 } },
      { ...figures, outcomes: { replayed: 1 } },
      { ...figures, sessions: [{ endpoint: "writer", state: "asleep", count: 1 }] },
      {},
    ];
    for (const one of odd) {
      const watch = new SessionWatch();
      expect(() => watch.handlers["sessions"]?.(one, peer().proxy)).toThrow();
      expect(watch.figures).toBeUndefined();
    }
  });
});
