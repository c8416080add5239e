import { chmodSync, rmSync, statSync } from "node:fs";
import { connect, createServer, type Server, Socket } from "node:net";
import { type Address, formatAddress, type PlainAddress } from "../base/address.ts";
import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { connectTls, type TlsDial } from "./cluster-tls.ts";
import { PatientSocket } from "./patient-socket.ts";

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
  /** The peer's, told of a connection that is closed, too. */
  readonly remoteAddress: string | undefined;
  private readonly remotePort: number;

  constructor(socket: Socket) {
    this.socket = socket;
    this.remoteAddress = socket.remoteAddress;
    this.remotePort = socket.remotePort ?? 0;
    this.attach(socket);
  }

  /** The peer as text, for logs. */
  get remote(): string {
    return this.remoteAddress === undefined
      ? "[local]"
      : `${this.remoteAddress}:${this.remotePort}`;
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

/** One that leads nowhere, and never did. */
export function closedConnection(): Connection {
  const connection = new Connection(new Socket());
  connection.destroy();
  return connection;
}

export interface Listener {
  /** The bound address, with the port that the system chose for port 0. */
  readonly address: Address;
  /** Stops listening; open connections stay. */
  close(): Promise<void>;
}

export interface DialOptions {
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
  /** Who we are and whom we want to meet; an address of kind `tls` needs it. */
  readonly tls?: TlsDial | undefined;
  /** A unix socket has to belong to this process's user (or root): nobody else may pose as our cluster. */
  readonly isOwnOnly?: boolean;
  /** All that a peer has said is read, though it is dead and something is written to it. Unix sockets only. */
  readonly isReadToEnd?: boolean;
}

/**
 * Connects. Raises BorealisError 08006 (safe to retry) when nobody answers in time, or is not whom we want to meet; 55000
 * without what is needed to ask.
 */
export function dial(address: Address, options: DialOptions = {}): Promise<Connection> {
  return new Promise((resolve, reject) => {
    if (options.isOwnOnly === true && address.kind === "unix") requireOwnSocket(address.path);
    const socket = openSocket(address, options);
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
    socket.once(address.kind === "tls" ? "secureConnect" : "connect", () => {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", onAbort);
      socket.off("error", fail);
      resolve(new Connection(socket));
    });
    options.signal?.addEventListener("abort", onAbort, { once: true });
    if (options.signal?.aborted) onAbort();
  });
}

function openSocket(address: Address, options: DialOptions): Socket {
  if (address.kind === "unix") {
    const { path } = address;
    if (options.isReadToEnd === true) return new PatientSocket().connect({ path });
    return connect({ path, allowHalfOpen: true });
  }
  const { host, port } = address;
  if (address.kind === "tls") return connectTls({ host, port }, options.tls);
  return connect({ host, port, noDelay: true, allowHalfOpen: true });
}

/** Raises 55000 for a socket of another user. One that is not there is told by the connection. */
function requireOwnSocket(path: string): void {
  const owner = statSync(path, { throwIfNoEntry: false })?.uid;
  const own = process.getuid?.();
  if (owner === undefined || own === undefined || owner === own || owner === 0) return;
  throw new BorealisError(
    sqlState.notInPrerequisiteState,
    `the socket ${path} belongs to another user (uid ${owner})`,
    { hint: "somebody else has taken this cluster's place: look who, and remove it" },
  );
}

/** As many as Linux lets wait (net.core.somaxconn): a connection that finds no room is tried again after a second, and then three. */
const backlogMax = 4096;

export interface ListenOptions {
  /** Mode of a unix socket's file; 0600 unless told. */
  readonly mode?: number;
  /** Accepted sockets are not read by the event loop at all: for blocking reads in a worker. */
  readonly pauseOnConnect?: boolean;
  readonly backlog?: number;
}

/**
 * Listens; a stale socket file is replaced. Raises the system's error (EADDRINUSE, EACCES). Not for mutual TLS: that is
 * listenTls.
 */
export function listen(
  address: PlainAddress,
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
      server.listen({ path: address.path, backlog: options.backlog ?? backlogMax }, ready);
    } else {
      server.listen(
        { host: address.host, port: address.port, backlog: options.backlog ?? backlogMax },
        ready,
      );
    }
  });
}
