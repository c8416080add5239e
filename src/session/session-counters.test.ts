import { describe, expect, it } from "vitest";
import { SessionCounters } from "./session-counters.ts";

const nothing = {
  sessions: [],
  unauthenticated: 0,
  loginsSlowed: 0,
  auditLost: 0,
  instances: [],
  reasons: new Map<string, number>(),
};

describe("what the endpoints count", () => {
  it("is nothing at first, but for the outcomes, which are all there", () => {
    const { outcomes, errors, held, holds, pool, connections } = new SessionCounters().figures(
      nothing,
    );
    expect(new Set(Object.values(outcomes))).toEqual(new Set([0]));
    expect(outcomes).toHaveProperty("replayed");
    expect({ errors, held, connections, kept: pool.kept }).toEqual({
      errors: {},
      held: 0,
      connections: {},
      kept: {},
    });
    expect(holds.sumMs + pool.waits.sumMs).toBe(0);
  });

  it("moves by exactly what happened", () => {
    const counters = new SessionCounters();
    counters.outcomes.count("replayed");
    counters.told("40001");
    counters.told("40001");
    counters.told("08007");
    counters.holdBegun();
    counters.holdBegun();
    counters.holdEnded(200);
    counters.poolWaited(3);
    counters.poolTimedOut();
    counters.poolOpened();
    counters.connected("writer");
    counters.loginRefused();
    const figures = counters.figures({ ...nothing, unauthenticated: 4 });
    expect(figures.outcomes).toMatchObject({ replayed: 1, rerun: 0 });
    expect(figures.errors).toEqual({ "40001": 2, "08007": 1 });
    expect(figures.held).toBe(1);
    expect(figures.holds.sumMs).toBe(200);
    expect(figures.holds.counts.reduce((sum, one) => sum + one)).toBe(1);
    expect(figures.pool).toMatchObject({ timeouts: 1, opened: 1 });
    expect(figures.pool.waits.sumMs).toBe(3);
    expect(figures.connections).toEqual({ writer: 1 });
    expect(figures).toMatchObject({ loginsRefused: 1, unauthenticated: 4 });
  });

  it("has no more kinds of errors than there can be of ours", () => {
    const counters = new SessionCounters();
    for (let code = 0; code < 1_000; code++) counters.told(String(code));
    const { errors } = counters.figures(nothing);
    expect(Object.keys(errors)).toHaveLength(65);
    expect(errors["other"]).toBe(1_000 - 64);
  });

  it("says what keeps server connections without anybody's words", () => {
    const reasons = new Map([
      ["a transaction is open", 3],
      ["a statement is under way", 1],
      ["an answer is under way", 1],
      ['where its prepared statement "it listens, and my secret" comes from is not known', 2],
      ["its prepared statements are too long", 1],
      ["it may have settings whose names are not known", 1],
      ["it has settings that it may not make again", 1],
      ["it has too many settings of its own", 1],
      ["it has a seed, a base backup, a replication slot or the like", 1],
      ["functions in this database may keep something in its connection", 1],
      ["borealis.pool is off", 1],
      ["something that nobody has thought of", 1],
    ]);
    expect(new SessionCounters().figures({ ...nothing, reasons }).pool.kept).toEqual({
      transaction: 3,
      statement: 2,
      prepared: 3,
      settings: 3,
      code: 2,
      wish: 1,
      other: 1,
    });
  });

  it("forgets the connections of an endpoint that is no more", () => {
    const counters = new SessionCounters();
    counters.connected("writer");
    counters.connected("mine");
    counters.forgetEndpoint("mine");
    expect(counters.figures(nothing).connections).toEqual({ writer: 1 });
  });
});
