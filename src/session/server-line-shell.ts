import { afterReading, type Clock, type Timer } from "../io/index.ts";
import type { BackendReady } from "./backend-shell.ts";
import { CommitStopwatch } from "./commit-stopwatch.ts";
import type { Exchange } from "./exchange.ts";
import { HeldOutput, type ReadGate } from "./read-gate-shell.ts";
import { send } from "./send.ts";
import type { SessionCounters } from "./session-counters.ts";
import type { Target } from "./topology.ts";

export interface ServerLineOptions {
  readonly backend: BackendReady;
  /** False: there is no connection; the session begins without one. */
  readonly isThere?: boolean;
  readonly clock: Clock;
  /** What the server says passes it; undefined: at once. */
  readonly gate: ReadGate | undefined;
  /** How long it may be held there. */
  readonly holdTimeoutMs: number;
  readonly onBytes: (chunk: Buffer) => void;
  /** What was held has been given to onBytes. */
  readonly onReleased: () => void;
  readonly onExpired: () => void;
  readonly onDrain: () => void;
  /** It is gone, and all that it has said was read; not called after `leave`. */
  readonly onGone: () => void;
}

/** A server whose life is over, and that does not end by itself, has said all when it was quiet for so long ... */
const quietMs = 20;
/** ... or has said more since than any socket buffers. */
const bufferedBytesMax = 8 * 1024 * 1024;

/** The connection of one session to one server. */
export class ServerLine {
  readonly backend: BackendReady;
  private readonly options: ServerLineOptions;
  private readonly output: HeldOutput | undefined;
  private quietTimer: Timer | undefined;
  private hasLeft = false;
  /** It was given up while it lived. */
  wasReleased = false;
  /** The gate is nothing to what it says: it is not told. */
  private isUngated = false;
  isRetired = false;
  /** It was left while it lived, since it is to stop: it may be had again, if that comes to nothing. */
  wasLeft = false;
  /** It was given up while it hung: the same life of it is as good as any other, once it answers. */
  mayReturn = false;
  private isOver = false;
  private saidSinceBytes = 0;
  /** When it last said something, or was read again; and when it was last told something. */
  heardMs: number;
  sentMs: number;
  /** It may have said more than was read. */
  isUnread = false;
  private readonly stopwatch: CommitStopwatch | undefined;

  constructor(options: ServerLineOptions) {
    this.options = options;
    this.backend = options.backend;
    this.heardMs = this.sentMs = options.clock.nowMs();
    // Readers commit nothing.
    if (this.target.role === "writer") this.stopwatch = new CommitStopwatch(options.clock);
    if (options.isThere === false) {
      this.hasLeft = true;
      this.wasReleased = true;
    }
    const { gate, clock, holdTimeoutMs, onExpired, onBytes, onReleased } = options;
    const onOpen = (chunk: Buffer): void => {
      onBytes(chunk);
      onReleased();
    };
    this.output = gate && new HeldOutput({ gate, clock, holdTimeoutMs, onOpen, onExpired });
  }

  /** It is listened to from here on. */
  attach(): void {
    const { connection } = this.backend;
    connection.onDrain(() => {
      if (!this.hasLeft) this.options.onDrain();
    });
    connection.onEnd(() => connection.end());
    connection.onClose(() => {
      this.quietTimer?.cancel();
      this.backend.lease?.gone();
      if (!this.hasLeft) this.options.onGone();
    });
    connection.onData((chunk) => this.onData(chunk));
  }

  /** Lets go of the connection, which lives on for somebody else. */
  release(): void {
    this.hasLeft = true;
    this.wasReleased = true;
    this.output?.drop();
  }

  get target(): Target {
    return this.backend.target;
  }

  get closed(): boolean {
    return this.hasLeft || this.backend.connection.closed;
  }

  /** What it has said waits for the gate: it must not be read. */
  get isHolding(): boolean {
    return this.output?.isHolding === true;
  }

  /** False: stop until onDrain. */
  send(parts: readonly Buffer[]): boolean {
    this.stopwatch?.sent();
    this.sentMs = this.options.clock.nowMs();
    return this.hasLeft || send(this.backend.connection, parts);
  }

  /** The client has said something, which `exchange` has not seen yet. */
  noteStatement(exchange: Exchange): void {
    this.stopwatch?.arrived(exchange);
    if (!this.hasLeft) this.output?.noteStatement();
  }

  /** The client is told of a commit now. */
  noteCommitted(counters: SessionCounters): void {
    this.stopwatch?.told(counters);
  }

  pause(): void {
    this.isUnread = true;
    if (!this.hasLeft) this.backend.connection.pause();
  }

  resume(): void {
    if (this.isUnread) this.heardMs = this.options.clock.nowMs();
    this.isUnread = false;
    if (!this.hasLeft) this.backend.connection.resume();
  }

  /** From here on everything goes to onBytes as it comes; gives what was held until now. */
  openGate(): Buffer[] {
    this.isUngated = true;
    return this.output?.drop() ?? [];
  }

  /** Its instance is gone for the cluster, or may be: nothing more is sent, and it is read to its end. */
  retire(): void {
    this.isRetired = true;
    this.resume();
  }

  /**
   * ... and what it does from here on counts for nothing: another epoch is open, or it could not write anyway. What it had
   * done before, it has said before; so it is read until it is quiet, and is gone then.
   */
  noteOver(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.awaitQuiet();
  }

  /** As `end`, of one that lives and is to stop. */
  letGo(): void {
    this.wasLeft = true;
    this.end();
  }

  /** No more is sent; it ends by itself. */
  end(): void {
    if (!this.wasReleased) this.backend.connection.end();
  }

  destroy(): void {
    if (this.wasReleased) return;
    this.backend.connection.destroy();
    this.backend.lease?.gone();
  }

  /** Nothing of it is of interest any more. */
  leave(): void {
    this.hasLeft = true;
    this.quietTimer?.cancel();
    this.output?.drop();
    this.destroy();
  }

  private onData(chunk: Buffer): void {
    if (this.hasLeft) return;
    this.heardMs = this.options.clock.nowMs();
    if (this.isOver) this.noteSaid(chunk.length);
    this.stopwatch?.heard();
    const isAdmitted = !this.output || this.isUngated || this.output.admits(chunk);
    if (isAdmitted) this.options.onBytes(chunk);
    else this.pause();
  }

  private noteSaid(bytes: number): void {
    this.saidSinceBytes += bytes;
    if (this.saidSinceBytes > bufferedBytesMax) this.destroy();
    else this.awaitQuiet();
  }

  private awaitQuiet(): void {
    this.quietTimer?.cancel();
    // What this process was too busy to read is not silence.
    this.quietTimer = this.options.clock.after(quietMs, () => {
      this.quietTimer = afterReading(() => this.destroy());
    });
  }
}
