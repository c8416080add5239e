import { describe, expect, it } from "vitest";
import { HalfOpenBook, type Standing } from "./half-open-book.ts";

interface Visitor {
  readonly from: string;
  standing: Standing;
}

/** Visitors come from addresses like "a", or "network/address". */
class House {
  readonly book: HalfOpenBook<Visitor>;

  constructor(max: number, perAddressMax = max) {
    this.book = new HalfOpenBook({ max, perAddressMax }, ({ standing }) => standing);
  }

  arrive(visitor: Visitor): ReturnType<HalfOpenBook<Visitor>["arrive"]> {
    const { from: address } = visitor;
    return this.book.arrive(visitor, { address, network: address.split("/")[0] ?? "" });
  }

  come(from: string, count: number, standing: Standing = "silent"): string[] {
    return Array.from({ length: count }, () => {
      const arrival = this.arrive({ from, standing });
      if (arrival.kind === "refused") return arrival.by;
      return arrival.evicted ? `for ${arrival.evicted.standing} ${arrival.evicted.from}` : "in";
    });
  }
}

describe("connections that are not logged in", () => {
  it("are bounded for each address, where the oldest that has said nothing makes room", () => {
    const house = new House(10, 3);
    house.come("a", 1, "served");
    const oldest: Visitor = { from: "a", standing: "silent" };
    house.arrive(oldest);
    house.come("a", 1);
    expect(house.arrive({ from: "a", standing: "silent" })).toEqual({
      kind: "enters",
      evicted: oldest,
    });
    expect(house.book.count).toBe(3);
    expect(house.come("b", 1)).toEqual(["in"]);
  });

  it("make room for a newcomer of their own address, but for those who are served", () => {
    const house = new House(10, 3);
    house.come("a", 1, "slowed");
    house.come("a", 1, "owing");
    house.come("a", 1, "silent");
    expect(house.come("a", 4, "served")).toEqual([
      "for silent a",
      "for owing a",
      "for slowed a",
      "address",
    ]);
  });

  it("make room for whoever comes from where there are fewer, whatever they do", () => {
    const house = new House(4);
    house.come("a", 4, "served");
    expect(house.come("b", 3, "served")).toEqual(["for served a", "for served a", "all"]);
    expect(house.book.count).toBe(4);
  });

  it("make room for newcomers where each comes from an address of its own, and from a network of its own", () => {
    const house = new House(100);
    for (let address = 0; address < 100; address++) house.come(`crowd/${address}`, 1);
    expect(house.come("else/1", 60, "served")).toEqual(
      Array.from({ length: 60 }, (_, address) => `for silent crowd/${address}`),
    );
    const wide = new House(100);
    for (let network = 0; network < 100; network++) wide.come(`${network}/1`, 1);
    expect(wide.come("else/1", 1)).toEqual(["for silent 0/1"]);
  });

  it("keep out nobody who speaks, from wherever silent ones fill the house", () => {
    const house = new House(2_000, 1_000);
    for (const address of ["a", "b"]) house.come(address, 1_000);
    for (const address of ["a", "c"]) {
      const visitor: Visitor = { from: address, standing: "silent" };
      expect(house.arrive(visitor).kind).toBe("enters");
      // Until it has sent its packet, hundreds more may come.
      house.come("a", 400);
      expect([...house.book.all]).toContain(visitor);
      visitor.standing = "served";
      house.come("a", 5_000);
      expect([...house.book.all]).toContain(visitor);
    }
  });

  it("count no more once they have logged in or are gone", () => {
    const house = new House(2, 1);
    const first: Visitor = { from: "a", standing: "served" };
    house.arrive(first);
    house.book.leave(first);
    house.book.leave(first);
    expect(house.book.count).toBe(0);
    expect(house.come("a", 1)).toEqual(["in"]);
  });

  it("never are more than there may be, whoever comes and goes", () => {
    const house = new House(5, 3);
    const inside = new Set<Visitor>();
    const all: Standing[] = ["silent", "owing", "slowed", "served"];
    for (let step = 0; step < 2_000; step++) {
      const visitor: Visitor = {
        from: `${(step * 7919) % 11}`,
        standing: all[step % 4] ?? "served",
      };
      const arrival = house.arrive(visitor);
      if (arrival.kind === "enters") {
        inside.add(visitor);
        if (arrival.evicted) expect(inside.delete(arrival.evicted)).toBe(true);
      }
      const [first] = inside;
      if (step % 3 === 0 && first) {
        house.book.leave(first);
        inside.delete(first);
      }
      expect([...house.book.all]).toEqual([...inside]);
      expect(inside.size).toBeLessThanOrEqual(5);
    }
  });
});
