import { Socket } from "node:net";
import { expect, it } from "vitest";
import { Connection } from "../io/index.ts";
import { loginBytesMax } from "../wire/index.ts";
import { PacketReader } from "./packet-reader-shell.ts";

const chunk = Buffer.alloc(16 * 1024, 1);
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Without a system's socket beneath it. */
class Pipe extends Socket {
  override _read(): void {
    // What comes is pushed.
  }
}

/** As a socket does, which reads on only while it is wanted. */
async function stream(socket: Socket, chunks: number): Promise<number> {
  let sent = 0;
  for (; sent < chunks; sent++) {
    if (socket.isPaused()) break;
    socket.push(chunk);
    await turn();
  }
  return sent;
}

it("keeps a bounded part of what a client sends while it waits for us", async () => {
  const socket = new Pipe();
  const reader = new PacketReader(new Connection(socket));
  let goOn = (): void => undefined;
  const wait = reader.unlessOver(new Promise<void>((resolve) => (goOn = resolve)));
  await stream(socket, 400);
  expect(reader.bufferedBytes).toBeGreaterThan(loginBytesMax);
  expect(reader.bufferedBytes).toBeLessThanOrEqual(loginBytesMax + 2 * chunk.length);
  goOn();
  await wait;
  socket.destroy();
});

it("keeps nothing of a client that has only an answer to wait for, and notices that it goes", async () => {
  const socket = new Pipe();
  const reader = new PacketReader(new Connection(socket));
  await stream(socket, 400);
  reader.dropAll();
  const wait = reader.unlessOver(new Promise<void>(() => undefined));
  expect(await stream(socket, 400)).toBe(400);
  expect(reader.bufferedBytes).toBe(0);
  socket.push(null);
  await expect(wait).rejects.toThrow("the client went away");
});
