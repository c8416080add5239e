import { describe, expect, it } from "vitest";
import { FailureBook, type Ticket } from "./failure-book.ts";

const limits = { failuresMax: 3, delayMs: 1_000 };
const places = 16;

class World {
  readonly book = new FailureBook(limits);
  nowMs = 0;

  /** Undefined: it has to wait. */
  ask(address = "a"): { ticket: Ticket; mayGo: boolean } {
    const ticket = { address };
    return { ticket, mayGo: this.book.ask(ticket, this.nowMs) };
  }

  /** After how long each of so many failures is told, one after the other; "waits" where one has no turn. */
  fail(count: number, address = "a"): (number | "waits")[] {
    return Array.from({ length: count }, () => {
      const { ticket, mayGo } = this.ask(address);
      if (mayGo) return this.book.end(ticket, "wrong", this.nowMs);
      this.book.end(ticket, "left", this.nowMs);
      return "waits";
    });
  }

  succeed(address = "a"): boolean {
    const { ticket, mayGo } = this.ask(address);
    this.book.end(ticket, mayGo ? "right" : "left", this.nowMs);
    return mayGo;
  }
}

describe("wrong passwords of one address", () => {
  it("are told at once, then after a delay, then have to wait for a turn", () => {
    const world = new World();
    const told = world.fail(3 + places + 2);
    expect(told.slice(0, 3)).toEqual([0, 0, 0]);
    expect(new Set(told.slice(3, 3 + places))).toEqual(new Set([1_000]));
    expect(told.slice(3 + places)).toEqual(["waits", "waits"]);
  });

  it("are no concern of other addresses", () => {
    const world = new World();
    world.fail(1_000);
    expect(world.succeed("b")).toBe(true);
    expect(world.fail(1, "b")).toEqual([0]);
  });

  it("leave right ones of the same address alone while there is a place", () => {
    const world = new World();
    world.fail(3 + places - 1);
    expect(world.succeed()).toBe(true);
    world.fail(1);
    expect(world.succeed()).toBe(false);
  });

  it("count for as long as their delay, whoever has waited for the answer", () => {
    const world = new World();
    world.fail(3 + places);
    world.nowMs = 999;
    expect(world.fail(1)).toEqual(["waits"]);
    world.nowMs = 1_001;
    expect(world.succeed()).toBe(true);
  });

  it("are bounded however many are begun at once", () => {
    const world = new World();
    // A thousand passwords have come before the first of them has been found wrong.
    const all = Array.from({ length: 1_000 }, () => world.ask());
    expect(all.filter(({ mayGo }) => mayGo)).toHaveLength(3 + places);
  });

  it("are so many in a minute at most, however fast they come", () => {
    const world = new World();
    let guesses = 0;
    for (; world.nowMs < 60_000; world.nowMs += 10)
      guesses += world.fail(20).filter((told) => told !== "waits").length;
    expect(guesses).toBe(3 + 60 * places);
  });

  it("are so many in a minute at most, however large the crowd that waits for a turn", () => {
    const world = new World();
    const { book } = world;
    let going = Array.from({ length: 1_000 }, () => world.ask()).flatMap(({ ticket, mayGo }) =>
      mayGo ? [ticket] : [],
    );
    let guesses = 0;
    for (; world.nowMs < 60_000; world.nowMs += 10) {
      guesses += going.length;
      for (const ticket of going) {
        book.end(ticket, "wrong", world.nowMs);
        // Who was wrong comes again at once.
        world.ask();
      }
      going = book.settle(world.nowMs).go;
    }
    expect(guesses).toBe(3 + 60 * places);
    expect(book.waitingCount).toBeGreaterThan(900);
  });

  it("are forgiven with time, and then nothing of the address is remembered", () => {
    const world = new World();
    world.fail(5);
    expect(world.book.addressCount).toBe(1);
    world.nowMs = 10_000;
    expect(world.succeed()).toBe(true);
    expect(world.book.addressCount).toBe(0);
    expect(world.fail(4)).toEqual([0, 0, 0, 1_000]);
  });
});

describe("right passwords", () => {
  it("cost nothing, however many come at once", () => {
    const world = new World();
    const { book } = world;
    const all = Array.from({ length: 5_000 }, () => world.ask());
    let going = all.flatMap(({ ticket, mayGo }) => (mayGo ? [ticket] : []));
    let right = 0;
    // Each that is found right makes room for another: no time passes.
    while (going.length > 0) {
      right += going.length;
      for (const ticket of going) expect(book.end(ticket, "right", 0)).toBe(0);
      going = book.settle(0).go;
    }
    expect(right).toBe(5_000);
    expect(book.addressCount).toBe(0);
  });
});

describe("who waits", () => {
  it("goes on in order as places become free, and those who left are passed over", () => {
    const world = new World();
    const { book } = world;
    world.fail(3 + places);
    const [first, second, third] = [world.ask().ticket, world.ask().ticket, world.ask().ticket];
    expect(book.waitingCount).toBe(3);
    const { go, wakeAtMs } = book.settle(0);
    expect(go).toEqual([]);
    expect(wakeAtMs).toBe(1_000);
    if (second) book.end(second, "left", 0);
    expect(book.settle(1_000)).toEqual({ go: [first, third], wakeAtMs: undefined });
    expect(book.waitingCount).toBe(0);
  });

  it("goes on when a check in progress ends, too", () => {
    const world = new World();
    const { book } = world;
    world.fail(3 + places - 2);
    const going = [world.ask().ticket, world.ask().ticket];
    const waiting = world.ask();
    expect(waiting.mayGo).toBe(false);
    if (going[0]) book.end(going[0], "right", 0);
    expect(book.settle(0).go).toEqual([waiting.ticket]);
  });
});

describe("without a delay", () => {
  it("nobody is slowed down", () => {
    const book = new FailureBook({ failuresMax: 0, delayMs: 0 });
    for (let count = 0; count < 1_000; count++) {
      const ticket = { address: "a" };
      expect(book.ask(ticket, 0)).toBe(true);
      expect(book.end(ticket, "wrong", 0)).toBe(0);
    }
    expect(book.settle(0)).toEqual({ go: [], wakeAtMs: undefined });
  });
});

it("remembers a bounded number of addresses, and forgets those of whom it has not heard for longest", () => {
  const world = new World();
  world.fail(3 + places, "first");
  for (let count = 0; count < 12_000; count++) world.fail(1, `${count}`);
  expect(world.book.addressCount).toBe(10_000);
  expect(world.fail(1, "first")).toEqual([0]);
});
