import { describe, expect, it } from "vitest";
import type { Clock, Timer } from "../io/index.ts";
import { LeaseGate } from "./gate.ts";
import { HeldOutput, type ReadGate } from "./read-gate-shell.ts";

/** Time that moves when a test says so; timers fire as late as a blocked event loop lets them. */
class HandClock implements Clock {
  now = 1_000;
  private timers: { atMs: number; fn: () => void }[] = [];
  nowMs(): number {
    return this.now;
  }
  awakeOrAsleepMs(): number {
    return this.now;
  }
  wallMs(): number {
    return 0;
  }
  after(delayMs: number, fn: () => void): Timer {
    const timer = { atMs: this.now + delayMs, fn };
    this.timers.push(timer);
    return { cancel: () => (this.timers = this.timers.filter((other) => other !== timer)) };
  }
  /** Everything that was due meanwhile comes at once, at the end. */
  block(ms: number): void {
    this.now += ms;
    const due = this.timers.filter(({ atMs }) => atMs <= this.now);
    this.timers = this.timers.filter((timer) => !due.includes(timer));
    for (const { fn } of due) fn();
  }
}

class TestGate implements ReadGate {
  readonly lease: LeaseGate;
  private readonly clock: HandClock;
  private watchers: (() => void)[] = [];
  tickets = 0;
  openTo = Number.POSITIVE_INFINITY;

  constructor(clock: HandClock) {
    this.clock = clock;
    this.lease = new LeaseGate(clock.now, clock.now);
  }
  arrive(): number {
    return ++this.tickets;
  }
  isOpen(ticket: number): boolean {
    return ticket <= this.openTo && this.lease.isOpen(this.clock.now);
  }
  onceMoved(fn: () => void): () => void {
    this.watchers.push(fn);
    return () => (this.watchers = this.watchers.filter((other) => other !== fn));
  }
  move(): void {
    for (const fn of this.watchers.splice(0)) fn();
  }
  get isWatched(): boolean {
    return this.watchers.length > 0;
  }
}

function makeOutput() {
  const clock = new HandClock();
  const gate = new TestGate(clock);
  const told: string[] = [];
  const output = new HeldOutput({
    gate,
    clock,
    holdTimeoutMs: 5_000,
    onOpen: (chunk) => told.push(chunk.toString()),
    onExpired: () => told.push("expired"),
  });
  const arrive = (text: string): void => {
    if (output.admits(Buffer.from(text))) told.push(text);
  };
  return { clock, gate, told, output, arrive };
}

describe("what a writer says", () => {
  it("is told at once under a lease", () => {
    const { gate, told, arrive, clock } = makeOutput();
    gate.lease.extend(clock.now, 1_900);
    arrive("a");
    expect(told).toEqual(["a"]);
  });

  it("is not told when the event loop was blocked beyond the lease", () => {
    const { clock, gate, told, output, arrive } = makeOutput();
    gate.lease.extend(clock.now, 1_900);
    // The result lay in the socket's buffer all the time, and a timer that would have closed the gate is late, too.
    clock.block(2_300);
    arrive("a");
    expect(told).toEqual([]);
    expect(output.isHolding).toBe(true);
  });

  it("is held in order until there is a lease, and then nothing is watched any more", () => {
    const { clock, gate, told, output, arrive } = makeOutput();
    arrive("a");
    arrive("b");
    gate.move();
    expect(told).toEqual([]);
    gate.lease.extend(clock.now, 1_900);
    arrive("c");
    expect(told).toEqual([]);
    gate.move();
    expect(told).toEqual(["a", "b", "c"]);
    expect(output.isHolding).toBe(false);
    expect(gate.isWatched).toBe(false);
    clock.block(10_000);
    expect(told).toEqual(["a", "b", "c"]);
  });

  it("is given up when it was held too long, whatever comes then", () => {
    const { clock, gate, told, output, arrive } = makeOutput();
    arrive("a");
    clock.block(5_000);
    expect(told).toEqual(["expired"]);
    expect(output.isHolding).toBe(false);
    gate.lease.extend(clock.now, 1_900);
    gate.move();
    expect(told).toEqual(["expired"]);
  });

  it("waits for a round of its own statement, not for those of later ones", () => {
    const { clock, gate, told, output, arrive } = makeOutput();
    gate.lease.extend(clock.now, 100_000);
    gate.openTo = 0;
    output.noteStatement();
    arrive("a");
    output.noteStatement();
    gate.openTo = 1;
    gate.move();
    expect(told).toEqual(["a"]);
    arrive("b");
    expect(told).toEqual(["a"]);
    gate.openTo = 2;
    gate.move();
    expect(told).toEqual(["a", "b"]);
  });
});
