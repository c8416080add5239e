/** One storage node, or a few, as real processes: what they acknowledge they keep, and what they promise they hold. */
import { randomUUID } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { epoch, timeline } from "../src/base/ids.ts";
import { advance, bytesBetween, type Lsn } from "../src/base/lsn.ts";
import type { NodeLink, QuorumMessage } from "../src/quorum/index.ts";
import {
  type AppendPath,
  fileHeaderBytes,
  type FrameHeader,
  frameHeaderBytes,
  parseFrameHeader,
} from "../src/storage-node/index.ts";
import {
  type Appender,
  base,
  bytesAt,
  claim,
  storageNodeProgram,
  elect,
  NodeGroup,
  own,
  patiently,
  readLog,
  stateOf,
} from "./helpers/storage-process.ts";

let program: string;
let groups: NodeGroup[] = [];
beforeAll(async () => {
  program = await storageNodeProgram();
});
afterEach(async () => {
  for (const group of groups) await group.destroy();
  groups = [];
});

async function nodes(...names: string[]): Promise<NodeGroup> {
  const group = await NodeGroup.create(program, names);
  groups.push(group);
  return group;
}

/** One node with an owner of epoch 1. */
async function ownedNode(appendPath: AppendPath = "worker") {
  const one = await nodes("n");
  const node = one.node(0);
  node.start({ appendPath });
  const link = await node.link();
  await own(link, one, 1, base);
  return { group: one, node, link, appender: await node.appender() };
}

/** Keeps `inFlight` appends under way until told to stop. */
function stream(appender: Appender, of: number, from: Lsn, inFlight = 8, length = 3000) {
  let sent = from;
  let isStopped = false;
  const pump = async (): Promise<void> => {
    while (!isStopped && !appender.isClosed) {
      const known = appender.acked > from ? appender.acked : from;
      while (bytesBetween(known, sent) < inFlight * length) sent = appender.send(of, sent, length);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const pumping = pump();
  return {
    stop: async () => {
      isStopped = true;
      await pumping;
    },
    get sent() {
      return sent;
    },
  };
}

async function expectLog(link: NodeLink, from: Lsn, to: Lsn): Promise<void> {
  const log = await readLog(link, from, to);
  expect(log.equals(bytesAt(from, bytesBetween(from, to)))).toBe(true);
}

describe.each<AppendPath>(["worker", "loop"])("with the %s append path", (appendPath) => {
  it("keeps everything it acknowledged through a kill -9 in the middle of appends", async () => {
    const { group: one, node, appender } = await ownedNode(appendPath);
    for (let round = 1; round <= 3; round++) {
      const writer = round === 1 ? appender : await node.appender();
      const from = round === 1 ? base : (await stateOf(await node.link())).scl;
      const traffic = stream(writer, round, from);
      // More than one log file's worth by the end of the rounds.
      await writer.untilAcked(advance(from, 1_000_000));
      await node.kill("SIGKILL");
      await traffic.stop();
      const { acked } = writer;
      node.start({ appendPath });
      const link = await node.link();
      const { scl, promised, accepted } = await stateOf(link);
      expect(scl >= acked).toBe(true);
      expect([promised, accepted]).toEqual([round, round]);
      await expectLog(link, base, scl);
      await own(link, one, round + 1);
    }
  });

  it("lets no acknowledgement of an older epoch leave after a promise", async () => {
    const { group: one, node, link } = await ownedNode(appendPath);
    let owner = { history: (await stateOf(link)).history, start: base };
    for (let of = 1; of <= 15; of++) {
      const writer = await node.appender();
      const traffic = stream(writer, of, owner.start, 16, 500);
      await writer.untilAcked(advance(owner.start, 20_000));
      const claimId = randomUUID();
      const promise = await claim(link, of + 1, claimId);
      await patiently("the old owner is refused", () =>
        writer.answers.some((answer) => answer.kind === "refuse"),
      );
      await traffic.stop();
      expect(writer.acked <= promise.scl).toBe(true);
      expect(writer.answers.at(-1)).toMatchObject({ kind: "refuse", promised: of + 1 });
      const facts = { of: of + 1, claimId, start: promise.scl, history: promise.history };
      const history = await elect(link, one, facts);
      owner = { history, start: promise.scl };
      expect((await stateOf(link)).scl).toBe(promise.scl);
      writer.close();
    }
    await expectLog(link, base, owner.start);
  });

  it("cuts what the new owner does not continue, also after a restart", async () => {
    const { group: one, node, link, appender } = await ownedNode(appendPath);
    await send(appender, 1, base, 10_000);
    const branch = advance(base, 4_321);
    await own(link, one, 2, branch);
    expect((await stateOf(link)).scl).toBe(branch);
    await node.kill("SIGKILL");
    node.start({ appendPath });
    const again = await node.link();
    expect((await stateOf(again)).scl).toBe(branch);
    const next = await node.appender();
    await send(next, 2, branch, 5_000);
    await node.kill("SIGKILL");
    node.start({ appendPath });
    const third = await node.link();
    expect((await stateOf(third)).scl).toBe(advance(branch, 5_000));
    await expectLog(third, base, advance(branch, 5_000));
  });

  it("feeds a reader promptly, and never beyond the VDL", async () => {
    const { link, node, appender } = await ownedNode(appendPath);
    const reader = await node.link();
    const feed: QuorumMessage[] = [];
    reader.onMessage(({ message }) => feed.push(copyOf(message)));
    const { history } = await stateOf(link);
    reader.send({ kind: "subscribe", path: history, from: base });
    let end = base;
    let vdl = base;
    for (let i = 0; i < 60; i++) {
      end = appender.send(1, end, 700, vdl);
      await appender.untilAcked(end);
      // What is read here was sent under a VDL of at most the one before.
      for (const message of feed)
        if (message.kind === "feedData") expect(endOf(message) <= vdl).toBe(true);
      vdl = advance(end, -100);
    }
    appender.send(1, end, 0, vdl);
    await patiently("the feed has reached the VDL", () => {
      const last = feed.findLast((message) => message.kind === "feedData");
      return last?.kind === "feedData" && last.vdl === vdl && endOf(last) === vdl;
    });
    let at = base;
    for (const message of feed) {
      if (message.kind !== "feedData") continue;
      expect(message.lsn).toBe(at);
      for (const run of message.runs) {
        expect(bytesAt(at, run.bytes.length).equals(run.bytes)).toBe(true);
        at = advance(at, run.bytes.length);
      }
    }
    expect((await stateOf(link)).hasSubscribers).toBe(true);
    reader.close();
    await patiently(
      "nobody subscribes any more",
      async () => !(await stateOf(link)).hasSubscribers,
    );
  });

  it("ends at SIGTERM at once, and goes on from there", async () => {
    const { node, appender } = await ownedNode(appendPath);
    await send(appender, 1, base, 5_000);
    expect(await node.kill("SIGTERM")).toBe("SIGKILL");
    node.start({ appendPath });
    const { scl, suspectTail } = await stateOf(await node.link());
    expect([scl, suspectTail]).toEqual([advance(base, 5_000), false]);
  });
});

async function send(appender: Appender, of: number, from: Lsn, length: number): Promise<void> {
  await appender.untilAcked(appender.send(of, from, length));
}

function copyOf(message: QuorumMessage): QuorumMessage {
  if (message.kind !== "feedData") return message;
  return {
    ...message,
    runs: message.runs.map((run) => ({ ...run, bytes: Buffer.from(run.bytes) })),
  };
}

function endOf(message: { lsn: Lsn; runs: readonly { bytes: Uint8Array }[] }): Lsn {
  return message.runs.reduce((end, run) => advance(end, run.bytes.length), message.lsn);
}

describe("a storage node", () => {
  it("serves a new owner while the old one's link hangs in its read", async () => {
    const { group: one, link, node, appender } = await ownedNode();
    await send(appender, 1, base, 1_000);
    const start = advance(base, 1_000);
    for (let of = 2; of <= 6; of++) {
      // The links before it stay open and silent: beyond three, the event loop serves.
      await own(link, one, of);
      const next = await node.appender();
      await send(next, of, advance(start, (of - 2) * 500), 500);
    }
    appender.send(1, start, 50);
    await patiently("the first owner is refused", () =>
      appender.answers.some((answer) => answer.kind === "refuse" && answer.promised === 6),
    );
    await expectLog(link, base, advance(start, 2_500));
  });

  it("fills itself from a peer when it is behind, with no driver's help", async () => {
    const two = await nodes("a", "b");
    for (const node of two.nodes) node.start();
    const [a, b] = [await two.node(0).link(), await two.node(1).link()];
    const claimId = randomUUID();
    for (const link of [a, b]) await claim(link, 1, claimId);
    for (const link of [a, b]) await elect(link, two, { of: 1, claimId, start: base, history: [] });
    const appender = await two.node(0).appender();
    let end = base;
    for (let i = 0; i < 5; i++) end = appender.send(1, end, 900_000);
    await appender.untilAcked(end);
    b.send({ kind: "heartbeat", epoch: epoch(1), round: 1, vdl: end, leaseMs: 0 });
    await patiently("the peer has caught up", async () => (await stateOf(b)).scl === end);
    await expectLog(b, base, end);
    // Its own appends go on where the fill ended.
    const direct = await two.node(1).appender();
    await send(direct, 1, end, 100);
  });

  it("accepts a relayed Elect from the peer that it pulls from", async () => {
    const two = await nodes("a", "b");
    two.node(0).start();
    const a = await two.node(0).link();
    await own(a, two, 1, base);
    const appender = await two.node(0).appender();
    await send(appender, 1, base, 50_000);
    two.node(1).start();
    const b = await two.node(1).link();
    const claimId = randomUUID();
    await claim(b, 2, claimId);
    const { history } = await own(a, two, 2);
    await elect(b, two, {
      of: 2,
      claimId,
      start: advance(base, 50_000),
      history: history.slice(0, 1),
    });
    await own(a, two, 3);
    await patiently("the lagging node is in epoch 3 and has its log", async () => {
      const { accepted, scl } = await stateOf(b);
      return accepted === 3 && scl === advance(base, 50_000);
    });
    await expectLog(b, base, advance(base, 50_000));
  });

  it("goes on when peers send garbage, freeze, or do not read", async () => {
    const { link, node, appender } = await ownedNode();
    for (const garbage of [
      Buffer.from("GET / HTTP/1.1\r\n\r\n".repeat(20)),
      Buffer.alloc(4096, 0xff),
    ]) {
      const socket = connect(node.socketPath);
      socket.write(garbage);
      await new Promise((resolve) => socket.on("error", resolve).on("close", resolve).resume());
    }
    const silent = connect(node.socketPath);
    const rotten = await node.appender();
    rotten.sendRaw(Buffer.alloc(200_000, 0x5a));
    await patiently("the rotten link is closed", () => rotten.isClosed);
    const deaf = await node.link();
    const { history } = await stateOf(link);
    deaf.send({ kind: "subscribe", path: history, from: base });
    deaf.pause();
    let end = base;
    for (let i = 0; i < 12; i++) end = appender.send(1, end, 1_000_000, end);
    await appender.untilAcked(end);
    appender.send(1, end, 0, end);
    await expectLog(link, base, end);
    const memory = readFileSync(`/proc/${node.pid}/status`, "utf8");
    expect(Number(/VmRSS:\s+(\d+) kB/.exec(memory)?.[1])).toBeLessThan(250_000);
    silent.destroy();
    deaf.close();
  });

  it("cuts a torn tail, and says that it did", async () => {
    const { node, appender } = await ownedNode();
    await send(appender, 1, base, 3_000);
    await node.kill("SIGKILL");
    changeLog(node.dir, (bytes, end) => {
      bytes.write("BFRM half a frame", end);
    });
    node.start();
    const link = await node.link();
    const { scl, suspectTail, health } = await stateOf(link);
    expect([scl, suspectTail, health]).toEqual([advance(base, 3_000), true, "ok"]);
  });

  it("tells rot from a torn tail, answers no claim, and heals from a peer", async () => {
    const two = await nodes("a", "b");
    for (const node of two.nodes) node.start();
    const [a, b] = [await two.node(0).link(), await two.node(1).link()];
    const claimId = randomUUID();
    for (const link of [a, b]) await claim(link, 1, claimId);
    for (const link of [a, b]) await elect(link, two, { of: 1, claimId, start: base, history: [] });
    let end = base;
    for (const appender of [await two.node(0).appender(), await two.node(1).appender()]) {
      end = base;
      for (let i = 0; i < 5; i++) {
        await send(appender, 1, end, 1_000);
        end = advance(end, 1_000);
      }
    }
    await two.node(0).kill("SIGKILL");
    await two.node(1).kill("SIGKILL");
    const damaged = two.node(0);
    changeLog(damaged.dir, (bytes) => {
      bytes.writeUInt8(bytes.readUInt8(3_000) ^ 1, 3_000);
    });
    damaged.start();
    const lame = await damaged.link();
    const before = await stateOf(lame);
    expect([before.health, before.scl < end]).toEqual(["damaged", true]);
    const refused = await lame.request({
      kind: "claim",
      epoch: epoch(9),
      claimId: randomUUID(),
      claimant: "test",
    });
    expect(refused).toMatchObject({ kind: "refuse", reason: "damaged" });
    two.node(1).start();
    await patiently("the damaged node is whole again", async () => {
      const { health, scl } = await stateOf(lame);
      return health === "ok" && scl === end;
    });
    await expectLog(lame, base, end);
    await damaged.kill("SIGKILL");
    damaged.start();
    expect(await stateOf(await damaged.link())).toMatchObject({ health: "ok", scl: end });
  });

  it("ends itself when its files lose their names, and never serves that disk again", async () => {
    const { node, appender } = await ownedNode();
    await send(appender, 1, base, 1_000);
    rmSync(node.dir, { recursive: true });
    await node.untilGone();
    expect(existsSync(`${node.dir}.failed`)).toBe(true);
    expect(readFileSync(`${node.dir}.log`, "utf8")).toContain("node.failed");
    node.start();
    await node.untilGone();
    expect(readFileSync(`${node.dir}.log`, "utf8")).toContain("is marked as failed");
  });

  it("drops whole files below the low-water, and nothing above it", async () => {
    const { link, node, appender } = await ownedNode();
    let end = base;
    for (let i = 0; i < 9; i++) {
      end = appender.send(1, end, 900_000);
      await appender.untilAcked(end);
    }
    // Not how many there are: the next one is made in the background, whenever that is.
    const files = (): string[] => readdirSync(join(node.dir, "log")).toSorted();
    const oldest = files().slice(0, 2);
    const low = advance(base, 5_000_000);
    const recorded = await link.request({ kind: "floor", epoch: epoch(1), lsn: low });
    expect(recorded).toMatchObject({ kind: "floorAck", lsn: low });
    link.send({ kind: "advanceLow", epoch: epoch(1), lsn: low });
    await patiently("files are gone", () => !files().some((name) => oldest.includes(name)));
    expect((await stateOf(link)).base).toBe(low);
    await expectLog(link, low, end);
    const gone = { kind: "getLog", path: "current", from: base, to: low, maxVdl: false } as const;
    expect(await link.request(gone)).toMatchObject({ kind: "notHere", base: low, scl: end });
    await node.kill("SIGKILL");
    node.start();
    const again = await node.link();
    expect(await stateOf(again)).toMatchObject({ base: low, scl: end });
    await expectLog(again, low, end);
  });

  it("begins anew at the low-water when its log is of no use to the new epoch", async () => {
    const { group: one, link, node, appender } = await ownedNode();
    await send(appender, 1, base, 70_000);
    const claimId = randomUUID();
    await claim(link, 2, claimId);
    const low = advance(base, 3_000_000);
    // Another node's log went on to here while this one was away.
    const start = advance(base, 3_000_500);
    const first = { epoch: epoch(1), timeline: timeline(1), start: base, kind: "branch" } as const;
    await elect(link, one, { of: 2, claimId, start, history: [first], low });
    const rebased = { base: low, scl: low, accepted: 2 };
    expect(await stateOf(link)).toMatchObject(rebased);
    await node.kill("SIGKILL");
    node.start();
    expect(await stateOf(await node.link())).toMatchObject(rebased);
  });

  it("refuses callers that look for another node", async () => {
    const { node } = await ownedNode();
    const other = { ...node.linkOptions(), nodeId: (await nodes("x")).node(0).nodeId };
    const { openLink } = await import("../src/quorum/index.ts");
    await expect(openLink(other, "control")).rejects.toThrow("another node lives there");
    await node.kill("SIGKILL");
  });
});

function headerAt(bytes: Buffer, at: number): FrameHeader | undefined {
  const parsed = parseFrameHeader(bytes, at);
  return parsed.kind === "good" ? parsed.header : undefined;
}

/** Changes the newest log file of a node that is not running; `end` is where its frames end. */
function changeLog(dir: string, change: (bytes: Buffer, end: number) => void): void {
  const folder = join(dir, "log");
  const used = readdirSync(folder)
    .map((name) => join(folder, name))
    // The next one may have been killed in the making.
    .findLast((path) => {
      const bytes = readFileSync(path);
      return bytes.length >= 4 && bytes.readUInt32BE(0) !== 0;
    });
  if (used === undefined) throw new Error("no log file in use");
  const bytes = readFileSync(used);
  let end = fileHeaderBytes;
  // By what the headers say: a payload may end with a zero.
  for (let header = headerAt(bytes, end); header !== undefined; header = headerAt(bytes, end))
    end += frameHeaderBytes + (header.isZeros ? 0 : header.lengthBytes);
  change(bytes, end);
  writeFileSync(used, bytes);
}
