import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { epoch, nodeId, timeline, volumeId } from "../base/ids.ts";
import { lsn } from "../base/lsn.ts";
import { seededRng } from "../base/rng.ts";
import { type Connection, listen, type Listener, realClock } from "../io/index.ts";
import {
  acceptLink,
  type AppendAnswer,
  encodeAppendAnswer,
  encodeMessage,
  type QuorumMessage,
} from "../quorum/index.ts";
import { NodeLinks } from "./links-shell.ts";

const ids = {
  volumeId: volumeId("11111111-2222-3333-4444-555555555555"),
  nodeId: nodeId("aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"),
};
const frame = { epoch: epoch(1), timeline: timeline(1), lsn: lsn(100n), vdl: lsn(100n) };
const someLog = { bytes: Buffer.from("log"), crc: 0 };
const noLog = { bytes: Buffer.alloc(0), crc: 0 };
const refusal: AppendAnswer = {
  kind: "refuse",
  epoch: epoch(1),
  promised: epoch(1),
  reason: "full",
};

describe("the links to a node", () => {
  let dir: string;
  let listener: Listener;
  let links: NodeLinks;
  const accepted = new Map<string, Connection>();
  const answers: AppendAnswer[] = [];
  const messages: QuorumMessage[] = [];

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), "borealis-links-"));
    const address = { kind: "unix" as const, path: join(dir, "n") };
    listener = await listen(address, (connection) => {
      void acceptLink(connection, ids, { clock: realClock }).then((link) => {
        if (!link) return;
        connection.onData(() => undefined);
        accepted.set(link.hello.purpose, connection);
      });
    });
    const node = { nodeId: ids.nodeId, name: "n", address, az: "az1", kind: "full" as const };
    const owner = { volumeId: ids.volumeId, sender: "t" };
    const isUp = new Promise<void>((resolve) => {
      links = new NodeLinks(
        node,
        { owner, clock: realClock, rng: seededRng(1) },
        {
          onConnected: () => resolve(),
          onDisconnected: () => undefined,
          onMessage: (_, message) => void messages.push(message),
          onAnswer: (_, answer) => void answers.push(answer),
        },
      );
      links.openAppend();
    });
    await isUp;
  });
  afterEach(async () => {
    links.close("over");
    for (const connection of accepted.values()) connection.destroy();
    await listener.close();
    rmSync(dir, { recursive: true });
    accepted.clear();
    answers.length = 0;
    messages.length = 0;
  });

  const envelope = { volumeId: ids.volumeId, sender: "n", target: ids.nodeId, requestId: 0n };
  async function append(payload: typeof someLog, answer: AppendAnswer): Promise<void> {
    const before = answers.length;
    expect(links.sendAppend(frame, payload)).toBe(true);
    accepted.get("append")?.write(encodeAppendAnswer(envelope, answer));
    await vi.waitFor(() => expect(answers.length).toBe(before + 1));
  }
  async function say(message: QuorumMessage): Promise<void> {
    const before = messages.length;
    accepted.get("control")?.write(encodeMessage(envelope, message));
    await vi.waitFor(() => expect(messages.length).toBe(before + 1));
  }
  const ack = (at: bigint): QuorumMessage & AppendAnswer => ({
    kind: "appendAck",
    epoch: epoch(1),
    scl: lsn(at),
    hasSubscribers: false,
  });

  it("know one that filled its log from peers to take log again, with no append to it", async () => {
    await append(someLog, ack(100n));
    await append(someLog, refusal);
    expect(links.takesLog).toBe(false);
    // What it had before.
    const heartbeat = { epoch: epoch(1), round: 1, leaseMs: 0, hasSubscribers: false };
    await say({ kind: "heartbeatAck", scl: lsn(100n), ...heartbeat });
    expect(links.takesLog).toBe(false);
    await say(ack(103n));
    expect(links.takesLog).toBe(true);
    await append(someLog, refusal);
    await say({ kind: "heartbeatAck", scl: lsn(106n), ...heartbeat });
    expect(links.takesLog).toBe(true);
  });

  it("think nothing of a refusal that was of no log", async () => {
    await append(noLog, refusal);
    expect(links.takesLog).toBe(true);
    await append(someLog, refusal);
    expect(links.takesLog).toBe(false);
    await append(noLog, refusal);
    expect(links.takesLog).toBe(false);
    await append(someLog, ack(100n));
    expect(links.takesLog).toBe(true);
  });
});
