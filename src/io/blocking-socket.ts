import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { BorealisError, sqlState } from "../base/errors.ts";
import type { Connection } from "./connection.ts";

/** A socket that the event loop no longer reads: the holder of `fd` uses io's blocking verbs on it. */
export interface BlockingSocket {
  readonly fd: number;
  /** Bytes that the event loop had read and nobody has seen yet. */
  readonly early: Buffer;
  /** The event loop reads it again, from where the blocking reads ended. Only when no thread uses `fd` any more. */
  giveBack(): void;
}

/** The part of libuv's handle that is used here. Undocumented, but unchanged since Node 0.12 (tested on Node 20). */
interface StreamHandle {
  readonly fd: number;
  readStop(): number;
  readStart(): number;
  setBlocking(isBlocking: boolean): number;
}

function isStreamHandle(handle: unknown): handle is StreamHandle {
  if (typeof handle !== "object" || handle === null) return false;
  return ["readStop", "readStart", "setBlocking"].every(
    (verb) => verb in handle && typeof Reflect.get(handle, verb) === "function",
  );
}

/**
 * Takes a socket out of the event loop. Call it from the handler that got the last chunk, so that nothing is read and
 * not delivered. The connection stays the owner: closing it while a thread reads `fd` would let the number be used
 * for another file, so first see that thread gone. Raises BorealisError 0A000 if the socket has no such handle (TLS).
 */
export function takeFromLoop(connection: Connection): BlockingSocket {
  const socket: Socket = connection.raw;
  const handle: unknown = Reflect.get(socket, "_handle");
  // A TLS socket has such a handle, too, but what a thread would read from it is ciphertext.
  if (socket instanceof TLSSocket || !isStreamHandle(handle) || handle.fd < 0) {
    throw new BorealisError(sqlState.notSupported, "this socket cannot be read by a thread");
  }
  socket.pause();
  handle.readStop();
  handle.setBlocking(true);
  const unseen: unknown = socket.read();
  return {
    fd: handle.fd,
    early: Buffer.isBuffer(unseen) ? unseen : Buffer.alloc(0),
    giveBack() {
      if (socket.destroyed) return;
      handle.setBlocking(false);
      handle.readStart();
      socket.resume();
    },
  };
}
