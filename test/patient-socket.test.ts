/** What a peer said before it died is read, whatever is written to it. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { afterReading, type Connection, dial } from "../src/io/index.ts";
import { eventually } from "./helpers/eventually.ts";

describe("a connection that is read to its end", () => {
  let dir: string;
  let connection: Connection;
  let peer: Socket;
  const server = createServer({ pauseOnConnect: true });

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), "borealis-test-"));
    const path = join(dir, "socket");
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const arrived = new Promise<Socket>((resolve) => server.once("connection", resolve));
    connection = await dial({ kind: "unix", path }, { isReadToEnd: true });
    peer = await arrived;
    peer.on("error", () => undefined);
  });
  afterEach(async () => {
    connection.destroy();
    await new Promise((resolve) => server.close(resolve));
    rmSync(dir, { recursive: true });
  });

  const die = (): Promise<void> =>
    new Promise((resolve) => {
      peer.once("close", () => resolve());
      peer.destroy();
    });
  const says = (text: string): Promise<void> =>
    new Promise((resolve) => peer.write(text, () => resolve()));
  /** Everything that comes of it, and that it ends. */
  const heard = async (): Promise<string> => {
    let text = "";
    let hasClosed = false;
    connection.onEnd(() => connection.end());
    connection.onClose(() => (hasClosed = true));
    connection.onData((chunk) => (text += chunk.toString()));
    await eventually("it is closed", () => Promise.resolve(hasClosed));
    return text;
  };

  it.each([
    ["had read all", false],
    ["had not", true],
  ])(
    "gives what was said, though a dead peer is written to first; it %s",
    async (_, leavesUnread) => {
      if (leavesUnread) connection.write(Buffer.from("unread"));
      await says("answer");
      await die();
      connection.write(Buffer.from("more"));
      await new Promise<void>((resolve) => afterReading(resolve));
      expect(await heard()).toBe("answer");
    },
  );

  it("gives what was said, though the peer had not read all", async () => {
    connection.write(Buffer.from("unread"));
    await says("answer");
    await die();
    expect(await heard()).toBe("answer");
  });

  it("gives it after a pause, too", async () => {
    const early = heard();
    connection.pause();
    connection.write(Buffer.from("unread"));
    await says("answer");
    await die();
    await new Promise<void>((resolve) => afterReading(resolve));
    connection.resume();
    expect(await early).toBe("answer");
  });
});
