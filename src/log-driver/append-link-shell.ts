import { BorealisError } from "../base/errors.ts";
import type { Epoch, Timeline } from "../base/ids.ts";
import type { Lsn } from "../base/lsn.ts";
import type { Rng } from "../base/rng.ts";
import { type Clock, type Connection, sleep } from "../io/index.ts";
import {
  appendAckBytes,
  type AppendAnswer,
  appendHeaderBytes,
  decodeAppendAck,
  type LinkIds,
  openLink,
  uuidToBytes,
  writeAppendHeader,
} from "../quorum/index.ts";
import { type LinkOwner, linkTo, type NodeEndpoint } from "./node-endpoint.ts";
import type { RingView } from "./ring.ts";

export interface AppendFrame {
  readonly epoch: Epoch;
  readonly timeline: Timeline;
  readonly lsn: Lsn;
  readonly vdl: Lsn;
}

export interface AppendLinkHandlers {
  onUp(): void;
  /** Whatever was in flight will not be answered. */
  onDown(): void;
  onAnswer(answer: AppendAnswer): void;
}

export interface LinkWorld {
  readonly owner: LinkOwner;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly signal: AbortSignal;
}

const dialTimeoutMs = 2_000;
const firstDelayMs = 20;
const maxDelayMs = 500;

/** Keeps one connection of a kind to a node: dials, tells, and dials again with back-off until the signal aborts. */
export async function keepLinked(
  world: LinkWorld,
  open: () => Promise<{ readonly gone: Promise<void> }>,
): Promise<void> {
  const { clock, rng, signal } = world;
  let delayMs = firstDelayMs;
  while (!signal.aborted) {
    try {
      const link = await open();
      delayMs = firstDelayMs;
      await link.gone;
    } catch {
      // Down or refusing: its state is shown by being not linked.
    }
    await sleep(clock, delayMs * (0.5 + rng.next() / 2), signal);
    delayMs = Math.min(delayMs * 2, maxDelayMs);
  }
}

/**
 * The commit path to one node: frames out, acknowledgements of fixed size back. The caller keeps one frame in flight;
 * the payload is a view that all six links share, written behind a header of its own in one system call.
 */
export class AppendLink {
  readonly endpoint: NodeEndpoint;
  private readonly world: LinkWorld;
  private readonly handlers: AppendLinkHandlers;
  private readonly ids: LinkIds;
  private connection: Connection | undefined;
  private requestId = 0n;
  private partial: Buffer | undefined;
  /** Settles when the signal has aborted and the last connection is gone. */
  readonly finished: Promise<void>;

  constructor(endpoint: NodeEndpoint, world: LinkWorld, handlers: AppendLinkHandlers) {
    this.endpoint = endpoint;
    this.world = world;
    this.handlers = handlers;
    this.ids = {
      volume: uuidToBytes(world.owner.volumeId),
      node: uuidToBytes(endpoint.nodeId),
    };
    this.finished = keepLinked(world, () => this.open());
  }

  /** False: not linked; nothing was sent. */
  send(frame: AppendFrame, payload: RingView): boolean {
    const { connection } = this;
    if (!connection) return false;
    const header = Buffer.allocUnsafe(appendHeaderBytes);
    const { epoch, timeline, lsn, vdl } = frame;
    writeAppendHeader(header, this.ids, {
      requestId: ++this.requestId,
      epoch,
      timeline,
      lsn,
      vdl,
      payloadBytes: payload.bytes.length,
      payloadCrc: payload.crc,
    });
    if (payload.bytes.length === 0) {
      connection.write(header);
      return true;
    }
    connection.cork();
    connection.write(header);
    connection.write(payload.bytes);
    connection.uncork();
    return true;
  }

  /** Drops the connection; another one is made. */
  hangUp(): void {
    this.connection?.destroy();
  }

  private async open(): Promise<{ readonly gone: Promise<void> }> {
    const { owner, clock, signal } = this.world;
    const options = linkTo(this.endpoint, owner, { clock, timeoutMs: dialTimeoutMs, signal });
    // A node says nothing on this link before it is sent something: there are no early bytes.
    const { connection } = await openLink(options, "append");
    const onAbort = (): void => connection.destroy();
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    connection.onEnd(() => connection.destroy());
    connection.onData((chunk) => {
      try {
        this.onData(chunk);
      } catch (error) {
        // A broken law of our own core is not the node's fault: the thread ends, and a new driver claims.
        if (!(error instanceof BorealisError)) throw error;
        connection.destroy(error);
      }
    });
    this.connection = connection;
    this.handlers.onUp();
    const gone = new Promise<void>((resolve) => {
      connection.onClose(() => {
        signal.removeEventListener("abort", onAbort);
        this.connection = undefined;
        this.partial = undefined;
        this.handlers.onDown();
        resolve();
      });
    });
    return { gone };
  }

  private onData(chunk: Buffer): void {
    // Nearly always one whole acknowledgement.
    const bytes = this.partial ? Buffer.concat([this.partial, chunk]) : chunk;
    this.partial = undefined;
    let at = 0;
    for (; bytes.length - at >= appendAckBytes; at += appendAckBytes) {
      this.handlers.onAnswer(decodeAppendAck(bytes, at).answer);
    }
    if (at < bytes.length) this.partial = Buffer.from(bytes.subarray(at));
  }
}
