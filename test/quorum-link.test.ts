import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { epoch, nodeId, volumeId } from "../src/base/ids.ts";
import {
  type Address,
  type Connection,
  listen,
  type Listener,
  realClock,
} from "../src/io/index.ts";
import {
  acceptLink,
  encodeMessage,
  type LinkOptions,
  NodeLink,
  openLink,
  type QuorumMessage,
  type ReceivedMessage,
  serveLink,
} from "../src/quorum/index.ts";

const own = {
  volumeId: volumeId("11111111-2222-4333-8444-555555555555"),
  nodeId: nodeId("00000000-0000-4000-8000-000000000001"),
};
const heartbeat: QuorumMessage = { kind: "release", epoch: epoch(1), round: 1 };

describe("a link to a node", () => {
  let dir: string;
  let address: Address;
  let listener: Listener;
  let peers: Connection[];
  let onMessage: (connection: Connection, received: ReceivedMessage) => void;

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), "borealis-link-"));
    address = { kind: "unix", path: join(dir, "node.sock") };
    peers = [];
    onMessage = (connection, { envelope }) => {
      const answer: QuorumMessage = {
        kind: "floorAck",
        epoch: epoch(1),
        lsn: envelope.requestId as never,
      };
      connection.write(encodeMessage({ ...envelope, sender: "n1" }, answer));
    };
    listener = await listen(address, (connection) => {
      peers.push(connection);
      void acceptLink(connection, own, { clock: realClock, timeoutMs: 300 }).then((accepted) => {
        if (accepted)
          serveLink(
            accepted,
            (received) => onMessage(connection, received),
            () => {},
          );
      });
    });
  });

  afterEach(async () => {
    for (const peer of peers) peer.destroy();
    await listener.close();
    rmSync(dir, { recursive: true, force: true });
  });

  const options = (facts: Partial<LinkOptions> = {}): LinkOptions => ({
    address,
    ...own,
    sender: "test",
    clock: realClock,
    timeoutMs: 1_000,
    ...facts,
  });

  it("matches answers with requests, whatever their number", async () => {
    const link = await NodeLink.open(options());
    const answers = await Promise.all(Array.from({ length: 500 }, () => link.request(heartbeat)));
    const numbers = answers.map((answer) => (answer.kind === "floorAck" ? answer.lsn : 0n));
    expect(numbers).toEqual(Array.from({ length: 500 }, (_, n) => BigInt(n + 1)));
    link.close();
  });

  it("hands on what the node says unasked", async () => {
    onMessage = (connection, { envelope }) =>
      void connection.write(encodeMessage({ ...envelope, requestId: 0n }, heartbeat));
    const link = await NodeLink.open(options());
    const said = new Promise<ReceivedMessage>((resolve) => link.onMessage(resolve));
    link.send(heartbeat);
    expect((await said).message).toEqual(heartbeat);
    link.close();
  });

  it("a request fails when the node does not answer, and when the link is lost", async () => {
    onMessage = () => {};
    const link = await NodeLink.open(options());
    await expect(link.request(heartbeat, { timeoutMs: 30 })).rejects.toThrow("not answered");
    const waiting = expect(link.request(heartbeat)).rejects.toMatchObject({ code: "08006" });
    const closed = new Promise<void>((resolve) => link.onClose(() => resolve()));
    for (const peer of peers) peer.destroy();
    await waiting;
    await closed;
    await expect(link.request(heartbeat)).rejects.toThrow("closed");
  });

  it("a node of another volume or name refuses the hello", async () => {
    const wrong = nodeId("00000000-0000-4000-8000-000000000009");
    await expect(NodeLink.open(options({ nodeId: wrong }))).rejects.toMatchObject({
      code: "55000",
    });
    const other = volumeId("21111111-2222-4333-8444-555555555555");
    await expect(NodeLink.open(options({ volumeId: other }))).rejects.toThrow("another volume");
  });

  it("garbage and silence are hung up on, and good links go on", async () => {
    const { connection } = await openLink(options(), "append");
    const closed = new Promise<void>((resolve) => connection.onClose(() => resolve()));
    connection.resume();
    connection.write(Buffer.alloc(100, 0xff));
    await closed;
    const link = await NodeLink.open(options());
    expect((await link.request(heartbeat)).kind).toBe("floorAck");
    link.close();
  });
});
