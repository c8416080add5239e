import { beforeEach, describe, expect, it } from "vitest";
import { epoch, type NodeId } from "../base/ids.ts";
import { lsn } from "../base/lsn.ts";
import { type FakeDriver, id, World } from "../../test/helpers/quorum-world.ts";
import { memberSet } from "../quorum/index.ts";
import { FanOut } from "./fan-out.ts";
import { NodeBook } from "./node-book.ts";

describe("log for a quorum first", () => {
  let world: World;
  let driver: FakeDriver;
  beforeEach(() => {
    world = new World(6);
    driver = world.newDriver({ fanOut: "quorumFirst" }).claim();
    // Every node has accepted, and the quorum is chosen.
    world.pass(100, 50);
    driver.seen.length = 0;
  });

  const appends = (): string[] =>
    driver.seen.flatMap((one) =>
      one.kind === "sendAppend" ? [`n${one.node.at(-1)} ${one.from}-${one.to}`] : [],
    );
  const sentTo = (): string =>
    appends()
      .map((one) => one.slice(0, 2))
      .join(" ");
  const wakesAsked = (): number => driver.seen.filter((one) => one.kind === "wakeAt").length;

  it("goes to four at once, and to the others in one frame 5 ms later", () => {
    driver.write(10);
    world.settle();
    expect(driver.durable.at(-1)).toBe("1010/1010");
    expect(sentTo()).toBe("n1 n2 n3 n4");
    world.pass(3, 1);
    driver.write(10);
    world.settle();
    expect(sentTo()).toBe("n1 n2 n3 n4 n1 n2 n3 n4");
    world.pass(2, 1);
    expect(appends().slice(8)).toEqual(["n5 1000-1020", "n6 1000-1020"]);
    expect([...driver.driver.acknowledged.values()]).toEqual(Array(6).fill(1020n));
  });

  it("asks to be woken only while something is pending", () => {
    driver.write(10);
    world.settle();
    expect(wakesAsked()).toBeGreaterThan(0);
    world.pass(20, 1);
    const before = wakesAsked();
    world.pass(2_000, 50);
    expect(wakesAsked()).toBe(before);
  });

  it("goes to the four together, once all of them have answered", () => {
    world.held = /n1>d1 appendAck/;
    driver.write(10);
    world.settle();
    driver.write(10).write(10);
    world.settle();
    expect(sentTo()).toBe("n1 n2 n3 n4");
    world.unhold();
    expect(appends().slice(4)).toEqual(["n1", "n2", "n3", "n4"].map((name) => `${name} 1010-1030`));
  });

  it("goes to everybody when one of the four does not answer, and then to four others", () => {
    world.lost = /n1>d1 appendAck/;
    driver.write(10);
    world.settle();
    world.pass(2, 1);
    expect(driver.durable).toEqual(["1000/1000"]);
    world.pass(1, 1);
    expect(driver.durable.at(-1)).toBe("1010/1010");
    driver.write(10);
    world.settle();
    expect(driver.durable.at(-1)).toBe("1020/1020");
  });

  it("goes to the four that are left at once when two are lost", () => {
    driver.write(10);
    world.settle();
    for (const n of [1, 2]) {
      world.down(n);
      driver.step({ kind: "nodeDisconnected", node: id(n) });
    }
    world.settle();
    driver.write(10);
    world.settle();
    expect(driver.durable.at(-1)).toBe("1020/1020");
  });

  it("brings readers their log and VDL at once, wherever they wait", () => {
    const { acceptor } = world.node(6);
    acceptor.step({ kind: "subscribersChanged", count: 1 });
    // The next heartbeat's answer tells the driver.
    world.pass(600);
    driver.write(10);
    world.settle();
    expect([acceptor.vdl, acceptor.feedLimit]).toEqual([1010n, 1010n]);
    driver.write(10);
    world.settle();
    expect([acceptor.vdl, acceptor.feedLimit]).toEqual([1020n, 1020n]);
  });
});

describe("the choice of the quorum", () => {
  const zones = ["a", "a", "b", "b", "c", "c"];
  const members = zones.map((az, index) => ({ nodeId: id(index + 1), az, kind: "full" as const }));
  const configuration = { id: { epoch: epoch(1), version: 1 }, sets: [memberSet(members)] };
  const log = { vcl: lsn(1000n), end: lsn(1000n) };
  let books: Map<NodeId, NodeBook>;

  /** Who is waited for, by number. */
  function chosen(fanOut: FanOut, nowMs = 0): number[] {
    fanOut.turn(nowMs, log);
    return [...books.values()].flatMap((book, index) => (book.isEager ? [index + 1] : []));
  }
  function book(n: number): NodeBook {
    const found = books.get(id(n));
    if (!found) throw new Error(`no node ${n}`);
    return found;
  }
  beforeEach(() => {
    books = new Map(members.map(({ nodeId }) => [nodeId, new NodeBook(nodeId)]));
    for (const one of books.values()) {
      one.noteConnection(true);
      one.isAccepted = true;
      one.noteScl(lsn(1000n));
      one.latencyMs = 1;
    }
  });

  it("spreads over zones, with the quicker one of each", () => {
    for (const n of [1, 3, 5]) book(n).latencyMs = 1.5;
    expect(chosen(new FanOut("quorumFirst", configuration, books))).toEqual([1, 2, 4, 6]);
  });

  it("takes nodes with readers first, and no slow node for its zone's sake", () => {
    book(5).hasSubscribers = true;
    book(1).latencyMs = 40;
    book(2).latencyMs = 40;
    expect(chosen(new FanOut("quorumFirst", configuration, books))).toEqual([3, 4, 5, 6]);
  });

  it("drops one that became slow at the next choice", () => {
    const fanOut = new FanOut("quorumFirst", configuration, books);
    expect(chosen(fanOut)).toEqual([1, 2, 3, 5]);
    book(3).latencyMs = 20;
    expect(chosen(fanOut, 499)).toContain(3);
    expect(chosen(fanOut, 500)).toEqual([1, 2, 4, 5]);
  });

  it("is nobody when fewer than a quorum can be waited for: all are sent to", () => {
    const fanOut = new FanOut("quorumFirst", configuration, books);
    for (const n of [1, 2, 3]) book(n).noteConnection(false);
    expect(fanOut.turn(0, log)).toBe("everybody");
    expect(fanOut.turn(1, log)).toBe("everybody");
    expect(fanOut.wakeAtMs()).toBeUndefined();
  });

  it("lets the others wait for 256 KiB at most", () => {
    const fanOut = new FanOut("quorumFirst", configuration, books);
    chosen(fanOut);
    const grown = (bytes: bigint) => ({ vcl: log.vcl, end: lsn(log.end + bytes) });
    expect(fanOut.isDue(book(6), "eager", 0, grown(1000n))).toBe(false);
    expect(fanOut.wakeAtMs()).toBe(5);
    expect(fanOut.isDue(book(6), "eager", 0, grown(262_144n))).toBe(true);
  });
});
