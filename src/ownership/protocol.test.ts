import { beforeEach, describe, expect, it } from "vitest";
import { present } from "../base/assert.ts";
import { epoch } from "../base/ids.ts";
import { lsn } from "../base/lsn.ts";
import { type FakeDriver, id, origin, volume, World } from "../../test/helpers/quorum-world.ts";

let world: World;
beforeEach(() => {
  world = new World(6);
});

/** An owner of six quiet nodes. */
function anOpenDriver(options: { leaseMs?: number } = {}): FakeDriver {
  const driver = world.newDriver(options).claim();
  world.settle();
  expect(driver.driver.situation).toBe("open");
  return driver;
}

describe("one epoch in good times", () => {
  it("opens a new volume at its base, on timeline 1, as configuration (1, 1)", () => {
    const { driver } = anOpenDriver();
    expect([driver.epoch, driver.timeline, driver.start, driver.vdl]).toEqual([1, 1, 1000n, 1000n]);
    expect(driver.configuration.id).toEqual({ epoch: 1, version: 1 });
    expect(world.node(6).disk).toMatchObject({ promised: 1, accepted: 1, pendingCut: undefined });
  });

  it("a three-node claim reads as inspect, claim, elect, heartbeat", () => {
    world = new World(3);
    anOpenDriver();
    const first = world.transcript.filter((label) => / (n1|d1>n1)|n1|d1>n1/.test(label));
    expect(first).toEqual([
      "d1>n1 inspect",
      "n1>d1 state",
      "d1>n1 claim",
      "n1>d1 promise",
      "d1>n1 elect",
      "d1>n1 heartbeat",
      "n1>d1 electAck",
      "n1>d1 heartbeatAck",
      "d1>n1 heartbeat",
      "n1>d1 heartbeatAck",
    ]);
  });

  it("reports durable what four of six have synced: VCL by bytes, VDL by records", () => {
    const driver = anOpenDriver();
    world.down(5, 6);
    driver.write(25);
    world.settle();
    expect(driver.durable).toEqual(["1000/1000", "1020/1025"]);
    world.down(4);
    driver.write(10);
    world.settle();
    expect(driver.durable).toHaveLength(2);
  });

  it("tells a new VDL at once to nodes with readers, and to no others", () => {
    const driver = anOpenDriver();
    const { acceptor } = world.node(2);
    acceptor.step({ kind: "subscribersChanged", count: 1 });
    driver.write(10);
    world.settle();
    expect([acceptor.vdl, acceptor.feedLimit]).toEqual([1010n, 1010n]);
    expect(world.node(1).acceptor.vdl).toBe(1000n);
    world.pass(600);
    expect(world.node(1).acceptor.vdl).toBe(1010n);
  });

  it("sends at most one append at a time, and the next from what was acknowledged", () => {
    const driver = anOpenDriver();
    world.held = /n1>d1 appendAck/;
    driver.write(10).write(10).write(10);
    world.settle();
    const sent = (): string[] =>
      driver.seen.flatMap((one) =>
        one.kind === "sendAppend" && one.node === id(1) ? [`${one.from}-${one.to}`] : [],
      );
    expect(sent()).toEqual(["1000-1010"]);
    world.unhold();
    expect(sent()).toEqual(["1000-1010", "1010-1030"]);
  });

  it("a node that fell behind what the driver holds pulls from its peers, then is sent to again", () => {
    const driver = anOpenDriver();
    world.down(6);
    driver.step({ kind: "nodeDisconnected", node: id(6) });
    driver.write(50);
    world.settle();
    driver.step({ kind: "walDropped", heldFrom: lsn(1050n) });
    world.up(6);
    driver.step({ kind: "nodeConnected", node: id(6) });
    driver.write(10);
    world.pass(3_000);
    const kinds = driver.seen.filter((one) => /node/.test(one.kind)).map((one) => one.kind);
    expect(kinds).toEqual(["nodeLagging", "nodeCaughtUp"]);
    expect(world.node(6).log).toBe("1".repeat(60));
  });

  it("holds a lease while a blocking set answers, counted from the sending", () => {
    const driver = anOpenDriver({ leaseMs: 2_000 });
    expect(driver.driver.leaseUntilMs).toBe(10_000 + 1_900);
    world.pass(1_000);
    expect(driver.driver.leaseUntilMs).toBe(11_000 + 1_900);
    world.down(1, 2, 3, 4);
    world.pass(1_000);
    expect(driver.driver.leaseUntilMs).toBe(11_000 + 1_900);
  });

  it("confirms a round that three of six have answered, and no round that two have", () => {
    const driver = anOpenDriver();
    const before = driver.driver.round;
    world.down(1, 2, 3, 4);
    driver.step({ kind: "roundAsked" });
    world.settle();
    const rounds = (): number[] =>
      driver.seen.flatMap((one) => (one.kind === "roundConfirmed" ? [one.round] : []));
    expect(Math.max(...rounds())).toBe(before);
    world.up(4);
    driver.step({ kind: "roundAsked" });
    world.settle();
    expect(Math.max(...rounds())).toBe(before + 2);
  });
});

describe("a change of owner", () => {
  it("S1: a commit on four of six is found by two of them and the two others", () => {
    const old = anOpenDriver();
    world.down(5, 6);
    old.write(10);
    world.settle();
    expect(old.driver.vdl).toBe(1010n);
    world.down(1, 2);
    world.up(5, 6);
    const next = world.newDriver().claim();
    world.pass(3_000);
    expect(next.driver.situation).toBe("open");
    expect([next.driver.epoch, next.driver.start]).toEqual([2, 1010n]);
    expect(world.node(5).log).toBe("1".repeat(10));
  });

  it("S2: a shorter log of a newer epoch wins, and the long tail is cut", () => {
    const old = anOpenDriver();
    world.lost = /d1>n[2-6] append/;
    old.write(90);
    world.settle();
    world.lost = undefined;
    world.down(1);
    const next = world.newDriver().claim();
    world.settle();
    next.write(20);
    world.settle();
    world.down(6);
    world.up(1);
    const last = world.newDriver().claim();
    world.pass(3_000);
    expect([last.driver.epoch, last.driver.start]).toEqual([3, 1020n]);
    expect(world.node(1).log).toBe("2".repeat(20));
  });

  it("S3: a sync that ends after a promise is not acknowledged to the old owner", () => {
    const old = anOpenDriver();
    for (const node of world.nodes) node.holdsSync = true;
    old.write(10);
    world.settle();
    const next = world.newDriver().claim();
    world.settle();
    for (const node of world.nodes) {
      node.holdsSync = false;
      if (node.end > node.synced) node.sync();
    }
    world.transcript.length = 0;
    world.pass(1_000);
    expect(old.driver.vdl).toBe(1000n);
    expect(old.driver.situation).toBe("fenced");
    expect(world.transcript.filter((label) => /d1 appendAck/.test(label))).toEqual([]);
    expect(next.driver.situation).toBe("open");
  });

  it("S4: acknowledgements delayed past the next opening are true: the new log has the commit", () => {
    const old = anOpenDriver();
    world.held = /d1 appendAck/;
    old.write(10);
    world.settle();
    const next = world.newDriver().claim();
    world.settle();
    expect(next.driver.start).toBe(1010n);
    world.unhold();
    expect(old.durable.at(-1)).toBe("1010/1010");
    expect(world.nodes.map((node) => node.log)).toEqual(Array(6).fill("1".repeat(10)));
  });

  it("S5: a recovery inside a record branches at the record before, and the piece is cut", () => {
    const old = anOpenDriver();
    old.write(27);
    world.settle();
    expect(old.driver.vdl).toBe(1020n);
    const next = world.newDriver().claim();
    world.settle();
    expect([next.driver.start, next.driver.timeline]).toEqual([1020n, 2]);
    next.write(10);
    world.settle();
    expect(world.node(1).log).toBe("1".repeat(20) + "2".repeat(10));
    expect(next.durable.at(-1)).toBe("1030/1030");
  });

  it("S6: two claims of one epoch that split the nodes: nobody is elected, then one wins higher", () => {
    world.lost = /d1>n[4-6] claim|d2>n[1-3] claim/;
    const one = world.newDriver({ seed: 1 });
    const two = world.newDriver({ seed: 2 });
    one.claim();
    two.claim();
    world.settle();
    expect([one.driver.situation, two.driver.situation]).toEqual(["claiming", "claiming"]);
    world.lost = undefined;
    world.pass(8_000);
    const situations = [one.driver.situation, two.driver.situation].toSorted();
    expect(situations.filter((situation) => situation === "open")).toHaveLength(1);
    const epochs = new Set(world.nodes.map((node) => node.disk.promised));
    expect(epochs.size).toBe(1);
    expect(Math.max(...epochs)).toBeGreaterThan(1);
  });

  it("S7: while electing, nodes are told the low-water and not the recovered tail", () => {
    const old = anOpenDriver();
    world.lost = /d1>n[2-6] append/;
    old.write(30);
    world.settle();
    world.lost = /elect(Ack)?$|pull/;
    const next = world.newDriver().claim();
    world.settle();
    expect(next.driver.situation).toBe("electing");
    const hints = next.seen.flatMap((one) =>
      one.kind === "send" && one.message.kind === "heartbeat" ? [one.message.vdl] : [],
    );
    expect(new Set(hints)).toEqual(new Set([1000n]));
  });

  it("S8: an Elect that doubles after appends of its epoch cuts nothing", () => {
    const driver = anOpenDriver();
    driver.write(30);
    world.settle();
    const elect = present(world.node(1).disk.electRecord, "the node was elected");
    world.send(driver, id(1), 2n, elect);
    world.settle();
    expect(world.node(1).log).toBe("1".repeat(30));
    expect(driver.driver.situation).toBe("open");
  });

  it("the old owner stands down at the first refusal", () => {
    const old = anOpenDriver();
    world.newDriver().claim();
    world.settle();
    old.write(10);
    world.settle();
    expect(old.driver.situation).toBe("fenced");
    expect(old.seen.findLast((one) => one.kind === "standDown")).toMatchObject({ fencedBy: 2 });
  });

  it("recovered log that only the best node has is pulled by the others before the epoch opens", () => {
    const old = anOpenDriver();
    world.lost = /d1>n[2-6] append/;
    old.write(30);
    world.settle();
    world.lost = undefined;
    world.down(5, 6);
    const next = world.newDriver().claim();
    world.pass(2_000);
    expect([next.driver.situation, next.driver.start]).toEqual(["open", 1030n]);
    expect(world.nodes.slice(0, 4).map((node) => node.log)).toEqual(Array(4).fill("1".repeat(30)));
  });

  it("a node that was away heals from its peers: it gets the Elect relayed, cuts, and fills", () => {
    const old = anOpenDriver();
    world.lost = /d1>n[1-5] append/;
    old.write(30);
    world.settle();
    world.down(6);
    world.lost = undefined;
    const next = world.newDriver().claim();
    world.settle();
    next.write(20);
    world.settle();
    world.lost = /d\d>n6|n6>d\d/;
    world.up(6);
    world.pass(6_000);
    expect(world.node(6).disk.accepted).toBe(2);
    expect(world.node(6).log).toBe("2".repeat(20));
  });

  it("the guard: a claim whose nodes lost what a VDL speaks of alarms and elects nobody", () => {
    const old = anOpenDriver();
    old.write(30);
    world.pass(600);
    for (const node of world.nodes.slice(0, 5)) {
      node.bytes = [];
      node.synced = origin;
      node.restart();
    }
    const { acceptor } = world.node(6);
    expect(acceptor.vdl).toBe(1030n);
    world.down(5);
    world.lost = /n6>d2 promise/;
    const liar = world.node(1);
    liar.carry(
      liar.acceptor.step({
        kind: "received",
        link: 0,
        envelope: { volumeId: volume, sender: "d1", target: id(1), requestId: 2n },
        message: { kind: "heartbeat", epoch: epoch(1), round: 99, vdl: lsn(1030n), leaseMs: 0 },
        nowMs: world.nowMs,
      }),
    );
    const next = world.newDriver().claim();
    world.settle();
    expect(next.seen.filter((one) => one.kind === "alarm")).toHaveLength(1);
    expect(next.driver.situation).toBe("fenced");
  });
});

describe("the lease of an owner", () => {
  it("claims wait for it, and get no way around it by asking again", () => {
    anOpenDriver({ leaseMs: 2_000 });
    const next = world.newDriver().claim();
    world.lost = /d1>/;
    world.settle();
    expect(next.driver.situation).toBe("claiming");
    world.pass(1_500);
    expect(next.driver.situation).toBe("claiming");
    world.pass(1_500);
    expect(next.driver.situation).toBe("open");
  });

  it("an owner that lives on does not block a claim for ever", () => {
    const old = anOpenDriver({ leaseMs: 2_000 });
    const next = world.newDriver().claim();
    world.pass(4_000);
    expect([old.driver.situation, next.driver.situation]).toEqual(["fenced", "open"]);
  });

  it("Release ends the wait at once", () => {
    const old = anOpenDriver({ leaseMs: 2_000 });
    old.step({ kind: "release" });
    world.settle();
    const next = world.newDriver().claim();
    world.settle();
    expect(next.driver.situation).toBe("open");
    expect(world.node(1).disk.leaseMs).toBe(0);
  });

  it("a restarted node lets claims wait for the longest lease that may be out", () => {
    anOpenDriver({ leaseMs: 2_000 });
    world.pass(1_900);
    world.down(1, 2, 3, 4, 5, 6);
    world.up(1, 2, 3, 4, 5, 6);
    world.lost = /d1>/;
    const next = world.newDriver().claim();
    world.pass(1_800);
    expect(next.driver.situation).toBe("claiming");
    world.pass(800);
    expect(next.driver.situation).toBe("open");
  });
});
