import type { PlainAddress } from "../base/address.ts";
import { BorealisError, messageOf, ProtocolViolation, sqlState } from "../base/errors.ts";
import { type Connection, listen, type Listener } from "./connection.ts";
import { type Line, LineReader, send } from "./rpc-line.ts";

/** What a caller of a method is: it can be told events for as long as it stays connected. */
export interface RpcPeer {
  tell(event: string, data: unknown): void;
  /** Aborts when the peer is gone. */
  readonly signal: AbortSignal;
}

/** Answers one method: a value, or a promise of one. */
export type RpcHandler = (params: unknown, peer: RpcPeer) => unknown;

export interface RpcServer {
  /** Tells every connected peer. */
  broadcast(event: string, data: unknown): void;
  close(): Promise<void>;
}

/** Serves methods on a socket. A handler's BorealisError travels to the caller with code and hint. */
export async function serveRpc(
  address: PlainAddress,
  handlers: Readonly<Record<string, RpcHandler>>,
): Promise<RpcServer> {
  const peers = new Map<Connection, RpcPeer>();
  const onConnection = (connection: Connection): void => {
    const gone = new AbortController();
    const peer: RpcPeer = {
      signal: gone.signal,
      tell: (event, data) => send(connection, { event, data }),
    };
    const reader = new LineReader();
    peers.set(connection, peer);
    connection.onClose(() => {
      peers.delete(connection);
      gone.abort(new Error("peer is gone"));
    });
    connection.onEnd(() => connection.end());
    connection.onData((chunk) => {
      try {
        reader.push(chunk, (line) => void answer(connection, handlers, line, peer));
      } catch (error) {
        connection.destroy(error instanceof Error ? error : undefined);
      }
    });
  };
  const listener: Listener = await listen(address, onConnection);
  return {
    broadcast(event, data) {
      for (const peer of peers.values()) peer.tell(event, data);
    },
    async close() {
      await listener.close();
      for (const connection of peers.keys()) connection.end();
    },
  };
}

async function answer(
  connection: Connection,
  handlers: Readonly<Record<string, RpcHandler>>,
  line: Line,
  peer: RpcPeer,
): Promise<void> {
  if (typeof line.id !== "number" || typeof line.method !== "string") {
    return connection.destroy(new ProtocolViolation("control line without id and method"));
  }
  try {
    const handler = Object.hasOwn(handlers, line.method) ? handlers[line.method] : undefined;
    if (!handler) throw new BorealisError(sqlState.notSupported, `no method "${line.method}" here`);
    const result = await handler(line.params, peer);
    send(connection, { id: line.id, result: result ?? null });
  } catch (error) {
    const code = error instanceof BorealisError ? error.code : sqlState.internal;
    const hint = error instanceof BorealisError && error.hint ? { hint: error.hint } : {};
    const detail = error instanceof BorealisError && error.detail ? { detail: error.detail } : {};
    send(connection, {
      id: line.id,
      error: { code, message: messageOf(error), ...hint, ...detail },
    });
  }
}
