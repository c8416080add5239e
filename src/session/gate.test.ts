import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LeaseGate, RoundGate } from "./gate.ts";

describe("the lease gate", () => {
  it("is closed until a lease was given", () => {
    expect(new LeaseGate(0, 0).isOpen(0)).toBe(false);
  });

  it("counts from the request, not from the answer", () => {
    const gate = new LeaseGate(0, 0);
    gate.extend(1_000, 500);
    expect(gate.isOpen(1_499)).toBe(true);
    expect(gate.isOpen(1_500)).toBe(false);
  });

  it("takes a shorter lease for what it is", () => {
    const gate = new LeaseGate(0, 0);
    gate.extend(1_000, 1_900);
    gate.extend(1_100, 0);
    expect(gate.isOpen(1_100)).toBe(false);
  });

  it("is never open after its time, however late it is asked", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(5_000), fc.nat(2_000), fc.nat(5_000)), { maxLength: 20 }),
        fc.nat(10_000),
        (grants, lateMs) => {
          const gate = new LeaseGate(0, 0);
          let nowMs = 0;
          let untilMs = 0;
          for (const [waitMs, validMs, answerMs] of grants) {
            nowMs += waitMs;
            const askedAtMs = nowMs;
            nowMs += answerMs;
            gate.extend(askedAtMs, validMs);
            untilMs = askedAtMs + validMs;
          }
          expect(gate.isOpen(nowMs + lateMs)).toBe(nowMs + lateMs < untilMs);
        },
      ),
    );
  });

  it("is void after a sleep of the machine, with every lease asked for before", () => {
    const gate = new LeaseGate(0, 70_000);
    gate.extend(0, 1_900);
    expect(gate.mustLook(99)).toBe(false);
    expect(gate.mustLook(100)).toBe(true);
    gate.look(100, 70_100);
    expect(gate.isOpen(100)).toBe(true);
    gate.look(200, 71_200);
    expect(gate.isOpen(200)).toBe(false);
    // The answer to a request from before the sleep.
    gate.extend(150, 1_900);
    expect(gate.isOpen(210)).toBe(false);
    gate.extend(205, 1_900);
    expect(gate.isOpen(210)).toBe(true);
    gate.look(310, 71_310);
    expect(gate.isOpen(310)).toBe(true);
  });

  it("does not take a coarse clock for a sleep", () => {
    const gate = new LeaseGate(0, 0);
    gate.extend(0, 100_000);
    for (let nowMs = 100; nowMs < 10_000; nowMs += 103)
      gate.look(nowMs, Math.floor(nowMs / 10) * 10);
    expect(gate.isOpen(10_000)).toBe(true);
  });

  it("notices a drift in small steps", () => {
    const gate = new LeaseGate(0, 0);
    gate.extend(0, 100_000);
    for (let step = 1; step <= 10; step++) gate.look(step * 100, step * 110);
    expect(gate.isOpen(1_000)).toBe(false);
  });

  it("stays closed once the writer is no writer", () => {
    const gate = new LeaseGate(0, 0);
    gate.extend(0, 1_000);
    gate.close();
    expect(gate.isOpen(1)).toBe(false);
    gate.extend(10, 1_000);
    expect(gate.isOpen(11)).toBe(false);
  });
});

describe("the round gate", () => {
  it("lets nothing of a statement out before a round that was asked for after it", () => {
    const gate = new RoundGate();
    const first = gate.arrive();
    const asked = gate.ticketToAsk();
    const late = gate.arrive();
    expect(gate.isOpen(first)).toBe(false);
    if (asked !== undefined) gate.confirm(asked);
    expect(gate.isOpen(first)).toBe(true);
    // It came while the round was under way.
    expect(gate.isOpen(late)).toBe(false);
    expect(gate.ticketToAsk()).toBe(late);
  });

  it("serves all who wait with one round", () => {
    const gate = new RoundGate();
    const tickets = [gate.arrive(), gate.arrive(), gate.arrive()];
    const asked = gate.ticketToAsk();
    gate.confirm(asked ?? 0);
    expect(tickets.every((ticket) => gate.isOpen(ticket))).toBe(true);
    expect(gate.ticketToAsk()).toBe(undefined);
  });

  it("is not closed again by an older round", () => {
    const gate = new RoundGate();
    gate.arrive();
    const late = gate.arrive();
    gate.confirm(late);
    gate.confirm(1);
    expect(gate.isOpen(late)).toBe(true);
  });
});
