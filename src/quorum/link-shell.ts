import { BorealisError, messageOf, ProtocolViolation, sqlState } from "../base/errors.ts";
import type { NodeId, VolumeId } from "../base/ids.ts";
import {
  type Address,
  type Clock,
  type ClusterCredential,
  type Connection,
  dial,
  formatAddress,
} from "../io/index.ts";
import { decodeMessage, encodeMessage, MessageFramer, type ReceivedMessage } from "./codec.ts";
import {
  decodeHello,
  decodeHelloAnswer,
  encodeHello,
  encodeHelloAnswer,
  type Hello,
  helloAnswerBytes,
  helloBytes,
  type HelloResult,
  judgeHello,
  type LinkPurpose,
} from "./hello.ts";
import type { QuorumMessage } from "./messages.ts";

export interface LinkOptions {
  readonly address: Address;
  readonly volumeId: VolumeId;
  readonly nodeId: NodeId;
  /** Who dials: an instance id, a node id, a process's name. */
  readonly sender: string;
  /** What makes us a process of the cluster, where the address asks for it. */
  readonly credential?: ClusterCredential | undefined;
  readonly clock: Clock;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** Why a node refused the hello, as a person reads it. */
const refusals: Record<Exclude<HelloResult, "ok">, string> = {
  wrongVolume: "it belongs to another volume",
  wrongNode: "another node lives there",
  wrongVersion: "it speaks another protocol version",
};

/**
 * Dials a node and says hello; resolves with the raw connection, positioned after the hello's answer. For the append
 * link, whose bytes the driver writes and reads itself. `early` are bytes that came with the answer. Raises
 * BorealisError 08006, or 55000 when the node answers that it is another.
 */
export async function openLink(
  options: LinkOptions,
  purpose: LinkPurpose,
): Promise<{ readonly connection: Connection; readonly early: Buffer }> {
  const timeoutMs = options.timeoutMs ?? 5_000;
  const { credential, signal } = options;
  const connection = await dial(options.address, {
    timeoutMs,
    isOwnOnly: true,
    ...(signal ? { signal } : {}),
    ...(credential ? { tls: { credential, role: "storage-node" } } : {}),
  });
  const { volumeId, nodeId, sender } = options;
  try {
    connection.write(encodeHello({ purpose, volumeId, nodeId, sender }));
    const bytes = await readExactly(connection, helloAnswerBytes, options.clock, timeoutMs);
    const result = decodeHelloAnswer(bytes);
    if (result !== "ok") {
      const where = formatAddress(options.address);
      throw new BorealisError(
        sqlState.notInPrerequisiteState,
        `node ${nodeId} is not at ${where}: ${refusals[result]}`,
      );
    }
    return { connection, early: bytes.subarray(helloAnswerBytes) };
  } catch (error) {
    connection.destroy();
    throw error;
  }
}

/** At least `count` first bytes of a connection, which is then paused; nothing beyond is lost. */
function readExactly(
  connection: Connection,
  count: number,
  clock: Clock,
  timeoutMs: number,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let got: Buffer = Buffer.alloc(0);
    const fail = (why: string): void => {
      timer.cancel();
      reject(new BorealisError(sqlState.connectionFailure, why, { safeToRetry: true }));
    };
    const timer = clock.after(timeoutMs, () => fail(`no hello within ${timeoutMs} ms`));
    connection.onEnd(() => fail("link ended before its hello"));
    connection.onClose((error) =>
      fail(error ? `link failed: ${messageOf(error)}` : "link closed before its hello"),
    );
    connection.onData((chunk) => {
      got = Buffer.concat([got, chunk]);
      if (got.length < count) return;
      timer.cancel();
      connection.pause();
      // Sockets stay half open: whoever takes over answers the peer's end with its own.
      connection.onEnd(() => connection.end());
      resolve(got);
    });
  });
}

interface Waiting {
  resolve(message: QuorumMessage): void;
  reject(error: Error): void;
  cancel(): void;
}

/** Requests without an answer on one link, at most; more are a bug of the caller's pacing and are refused. */
const requestsMax = 10_000;

/** A control link to a node: requests matched with answers, and whatever the node says unasked (feeds, late acks). */
export class NodeLink {
  private readonly connection: Connection;
  private readonly options: LinkOptions;
  private readonly framer = new MessageFramer();
  private readonly waiting = new Map<bigint, Waiting>();
  private messageHandler: ((received: ReceivedMessage) => void) | undefined;
  private closeHandler: ((error?: Error) => void) | undefined;
  private lastRequestId = 0n;
  private failure: Error | undefined;
  private isClosed = false;

  /** Dials, says hello, waits for its answer. Raises as openLink does. */
  static async open(options: LinkOptions, purpose: LinkPurpose = "control"): Promise<NodeLink> {
    const { connection, early } = await openLink(options, purpose);
    return new NodeLink(connection, options, early);
  }

  private constructor(connection: Connection, options: LinkOptions, early: Buffer) {
    this.connection = connection;
    this.options = options;
    connection.onEnd(() => connection.end());
    connection.onClose((error) => this.onClosed(error));
    connection.onData((chunk) => this.onData(chunk));
    if (early.length > 0) this.onData(early);
  }

  get nodeId(): NodeId {
    return this.options.nodeId;
  }
  get closed(): boolean {
    return this.isClosed;
  }
  /** Bytes written and not yet taken by the kernel: the sender's measure of a slow node. */
  get bufferedBytes(): number {
    return this.connection.bufferedBytes;
  }

  /** What comes unasked. Messages that arrive before this is set are dropped. */
  onMessage(handler: (received: ReceivedMessage) => void): void {
    this.messageHandler = handler;
  }
  /** Called once; at once if the link is closed already. */
  onClose(handler: (error?: Error) => void): void {
    this.closeHandler = handler;
    if (this.isClosed) handler(this.failure);
  }

  /**
   * Sends, and resolves with the answer of the same request id (which may be a Refuse). Its byte fields are the
   * caller's. Raises BorealisError 08006 when the link is lost or nothing came in time.
   */
  request(message: QuorumMessage, options: { readonly timeoutMs?: number } = {}) {
    return new Promise<QuorumMessage>((resolve, reject) => {
      const timeoutMs = options.timeoutMs ?? this.options.timeoutMs ?? 5_000;
      if (this.isClosed || this.waiting.size >= requestsMax) {
        const why = this.isClosed ? "is closed" : `has ${requestsMax} requests waiting`;
        return reject(this.lost(`link to node ${this.nodeId} ${why}`));
      }
      const requestId = this.send(message);
      const timer = this.options.clock.after(timeoutMs, () => {
        this.waiting.delete(requestId);
        const what = `${message.kind} was not answered within ${timeoutMs} ms`;
        reject(this.lost(`node ${this.nodeId}: ${what}`));
      });
      this.waiting.set(requestId, { resolve, reject, cancel: () => timer.cancel() });
    });
  }

  /** Sends without waiting; an answer, if there is one, comes to onMessage. Gives the request id. */
  send(message: QuorumMessage): bigint {
    this.lastRequestId += 1n;
    const { volumeId, nodeId, sender } = this.options;
    const requestId = this.lastRequestId;
    this.connection.write(encodeMessage({ volumeId, sender, target: nodeId, requestId }, message));
    return requestId;
  }

  pause(): void {
    this.connection.pause();
  }
  resume(): void {
    this.connection.resume();
  }
  close(): void {
    this.connection.destroy();
  }

  private onData(chunk: Buffer): void {
    try {
      for (const bytes of this.framer.push(chunk)) this.onReceived(decodeMessage(bytes));
    } catch (error) {
      if (!(error instanceof ProtocolViolation)) throw error;
      // A peer that breaks the framing cannot be followed any further.
      this.failure = error;
      this.connection.destroy(error);
    }
  }

  private onReceived(received: ReceivedMessage): void {
    const { requestId, target, volumeId } = received.envelope;
    if (target !== this.options.nodeId || volumeId !== this.options.volumeId)
      throw new ProtocolViolation(`answer in the name of node ${target}`);
    const waiting = requestId === 0n ? undefined : this.waiting.get(requestId);
    if (!waiting) return this.messageHandler?.(received);
    this.waiting.delete(requestId);
    waiting.cancel();
    waiting.resolve(received.message);
  }

  private onClosed(error?: Error): void {
    this.isClosed = true;
    this.failure ??= error;
    const lost = [...this.waiting.values()];
    this.waiting.clear();
    for (const one of lost) {
      one.cancel();
      one.reject(this.lost(`link to node ${this.nodeId} was lost`));
    }
    this.closeHandler?.(this.failure);
  }

  private lost(message: string): BorealisError {
    const facts = this.failure ? { cause: this.failure } : {};
    return new BorealisError(sqlState.connectionFailure, message, facts);
  }
}

/** A link that a node has accepted; its hello was good and is answered. */
export interface AcceptedLink {
  readonly hello: Hello;
  readonly connection: Connection;
  /** Bytes that came behind the hello; feed them before what the connection brings. The connection is paused. */
  readonly early: Buffer;
}

/**
 * The server's side of a hello: reads it, answers it. Undefined when the link was refused (it is closed then): wrong
 * volume, node or version, or no hello at all within the time.
 */
export async function acceptLink(
  connection: Connection,
  own: { readonly volumeId: VolumeId; readonly nodeId: NodeId },
  options: { readonly clock: Clock; readonly timeoutMs?: number },
): Promise<AcceptedLink | undefined> {
  try {
    const bytes = await readExactly(
      connection,
      helloBytes,
      options.clock,
      options.timeoutMs ?? 5_000,
    );
    const hello = decodeHello(bytes);
    const result = judgeHello(hello, own);
    if (result === "ok") {
      connection.write(encodeHelloAnswer(result));
      return { hello, connection, early: bytes.subarray(helloBytes) };
    }
    connection.end(encodeHelloAnswer(result));
    return undefined;
  } catch (error) {
    if (!(error instanceof BorealisError)) throw error;
    // Nobody who speaks our protocol: there is no one to tell.
    connection.destroy();
    return undefined;
  }
}

/** Serves an accepted control link: whole messages in, `send` out. A violation closes it. */
export function serveLink(
  accepted: AcceptedLink,
  onMessage: (received: ReceivedMessage) => void,
  onClose: (error?: Error) => void,
): void {
  const { connection, early } = accepted;
  const framer = new MessageFramer();
  const onData = (chunk: Buffer): void => {
    try {
      for (const bytes of framer.push(chunk)) onMessage(decodeMessage(bytes));
    } catch (error) {
      if (!(error instanceof ProtocolViolation)) throw error;
      connection.destroy(error);
    }
  };
  connection.onEnd(() => connection.end());
  connection.onClose(onClose);
  if (early.length > 0) onData(early);
  connection.onData(onData);
}
