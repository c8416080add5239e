import { chmodSync, rmSync } from "node:fs";
import { connect, createServer, type Server, Socket } from "node:net";
import { BorealisError, messageOf, sqlState } from "../base/errors.ts";

/** Where a process listens. */
export type Address =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number };

export function formatAddress(address: Address): string {
  return address.kind === "unix" ? address.path : `${address.host}:${address.port}`;
}

/**
 * One socket, nothing more: bytes in order, back pressure both ways. Handlers are replaceable slots, not
 * listeners that pile up. No data flows before `onData` is set.
 */
export class Connection {
  private socket: Socket;
  private dataHandler: ((chunk: Buffer) => void) | undefined;
  private drainHandler: (() => void) | undefined;
  private endHandler: (() => void) | undefined;
  private closeHandler: ((error?: Error) => void) | undefined;
  private failure: Error | undefined;
  private isClosed = false;

  constructor(socket: Socket) {
    this.socket = socket;
    this.attach(socket);
  }

  /** The peer as text, for logs. */
  get remote(): string {
    return this.socket.remoteAddress
      ? `${this.socket.remoteAddress}:${this.socket.remotePort ?? 0}`
      : "[local]";
  }

  get remoteAddress(): string | undefined {
    return this.socket.remoteAddress;
  }

  /** Bytes written and not yet taken by the kernel. */
  get bufferedBytes(): number {
    return this.socket.writableLength;
  }

  get closed(): boolean {
    return this.isClosed;
  }

  /** The Node socket itself, for TLS and for reads outside the event loop. Whoever takes it owns it. */
  get raw(): Socket {
    return this.socket;
  }

  onData(handler: (chunk: Buffer) => void): void {
    this.dataHandler = handler;
    this.socket.resume();
  }
  onDrain(handler: () => void): void {
    this.drainHandler = handler;
  }
  /** The peer has finished sending. */
  onEnd(handler: () => void): void {
    this.endHandler = handler;
  }
  /** Called once when the connection is gone; at once if it is gone already. */
  onClose(handler: (error?: Error) => void): void {
    this.closeHandler = handler;
    if (this.isClosed) handler(this.failure);
  }

  /** False: stop until `onDrain`. The bytes must not be changed afterwards. */
  write(bytes: Uint8Array): boolean {
    if (this.isClosed || this.socket.destroyed || this.socket.writableEnded) return true;
    return this.socket.write(bytes);
  }
  cork(): void {
    this.socket.cork();
  }
  uncork(): void {
    this.socket.uncork();
  }
  pause(): void {
    this.socket.pause();
  }
  resume(): void {
    this.socket.resume();
  }
  /** Sends what is buffered, then finishes. */
  end(bytes?: Uint8Array): void {
    if (bytes) this.socket.end(bytes);
    else this.socket.end();
  }
  destroy(error?: Error): void {
    this.socket.destroy(error);
  }

  /** Puts another socket (TLS over this one) in this connection's place; handlers move along. */
  replaceSocket(socket: Socket): void {
    this.socket.removeAllListeners("data");
    this.socket.removeAllListeners("drain");
    this.socket.removeAllListeners("end");
    this.socket.removeAllListeners("close");
    this.socket = socket;
    this.attach(socket);
  }

  private attach(socket: Socket): void {
    socket.pause();
    socket.on("data", (chunk: Buffer) => this.dataHandler?.(chunk));
    socket.on("drain", () => this.drainHandler?.());
    socket.on("end", () => this.endHandler?.());
    socket.on("error", (error) => {
      this.failure ??= error;
    });
    socket.on("close", () => {
      this.isClosed = true;
      this.closeHandler?.(this.failure);
    });
  }
}

export interface Listener {
  /** The bound address, with the port that the system chose for port 0. */
  readonly address: Address;
  /** Stops listening; open connections stay. */
  close(): Promise<void>;
}

/** Connects. Raises BorealisError 08006 (safe to retry) when nobody answers in time. */
export function dial(
  address: Address,
  options: { readonly signal?: AbortSignal; readonly timeoutMs?: number } = {},
): Promise<Connection> {
  return new Promise((resolve, reject) => {
    const socket =
      address.kind === "unix"
        ? connect({ path: address.path, allowHalfOpen: true })
        : connect({ host: address.host, port: address.port, noDelay: true, allowHalfOpen: true });
    const fail = (cause: unknown): void => {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", onAbort);
      socket.destroy();
      const why = `cannot connect to ${formatAddress(address)}: ${messageOf(cause)}`;
      reject(new BorealisError(sqlState.connectionFailure, why, { cause, safeToRetry: true }));
    };
    const onAbort = (): void => fail(options.signal?.reason);
    const timer = setTimeout(() => fail(new Error("timed out")), options.timeoutMs ?? 5_000);
    socket.once("error", fail);
    socket.once("connect", () => {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", onAbort);
      socket.off("error", fail);
      resolve(new Connection(socket));
    });
    options.signal?.addEventListener("abort", onAbort, { once: true });
    if (options.signal?.aborted) onAbort();
  });
}

export interface ListenOptions {
  /** Mode of a unix socket's file; 0600 unless told. */
  readonly mode?: number;
  /** Accepted sockets are not read by the event loop at all: for blocking reads in a worker. */
  readonly pauseOnConnect?: boolean;
  readonly backlog?: number;
}

/** Listens; a stale socket file is replaced. Raises the system's error (EADDRINUSE, EACCES). */
export function listen(
  address: Address,
  onConnection: (connection: Connection) => void,
  options: ListenOptions = {},
): Promise<Listener> {
  const open = new Set<Socket>();
  const server: Server = createServer(
    { allowHalfOpen: true, noDelay: true, pauseOnConnect: options.pauseOnConnect ?? false },
    (socket) => {
      open.add(socket);
      socket.once("close", () => open.delete(socket));
      onConnection(new Connection(socket));
    },
  );
  const close = (): Promise<void> =>
    new Promise((done) => {
      server.close(() => done());
      // close() waits for connections that are open; they are their owners', so do not wait for them.
      server.unref();
      done();
    });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    const ready = (): void => {
      server.off("error", reject);
      if (address.kind === "unix") chmodSync(address.path, options.mode ?? 0o600);
      const bound = server.address();
      const actual: Address =
        address.kind === "tcp" && bound !== null && typeof bound === "object"
          ? { kind: "tcp", host: address.host, port: bound.port }
          : address;
      resolve({ address: actual, close });
    };
    if (address.kind === "unix") {
      rmSync(address.path, { force: true });
      server.listen({ path: address.path, backlog: options.backlog ?? 511 }, ready);
    } else {
      server.listen(
        { host: address.host, port: address.port, backlog: options.backlog ?? 511 },
        ready,
      );
    }
  });
}
