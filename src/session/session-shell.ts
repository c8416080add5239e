import type { Clock, Connection, Logger, Timer } from "../io/index.ts";
import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { encodeError } from "../wire/index.ts";
import type { Action, UpTo } from "./action.ts";
import type { AwaitDurable } from "./durability-shell.ts";
import type { BackendReady } from "./backend-shell.ts";
import { Conversation } from "./conversation.ts";
import type { ExchangeOptions } from "./exchange.ts";
import { HeldOutput, type ReadGate } from "./read-gate-shell.ts";
import type { Target } from "./topology.ts";

export interface SessionOptions {
  readonly client: Connection;
  readonly backend: BackendReady;
  readonly exchange: ExchangeOptions;
  readonly clientKey: Buffer;
  readonly awaitDurable: AwaitDurable;
  /** What the backend says passes it; undefined: at once. */
  readonly gate: ReadGate | undefined;
  /** How long it may be held there. */
  readonly holdTimeoutMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onTraitsChanging: () => void;
  readonly onTraitsSettled: () => void;
  /** Called once, when both connections are done with. */
  readonly onEnd: () => void;
}

/** Joined into one write up to here; beyond it the copy costs more than the second system call. */
const joinBytesMax = 16 * 1024;

/** Moves the bytes of one session between client and backend, as its conversation decides. */
export class Session {
  readonly pid: number;
  readonly clientKey: Buffer;
  readonly conversation: Conversation;
  private readonly options: SessionOptions;
  private readonly client: Connection;
  private readonly server: Connection;
  private readonly output: HeldOutput | undefined;
  private toServer: Buffer[] = [];
  private toClient: Buffer[] = [];
  private commitTimer: Timer | undefined;
  private isGated = false;
  private isClientFull = false;
  private isServerFull = false;
  private hasEnded = false;

  constructor(options: SessionOptions) {
    this.options = options;
    this.client = options.client;
    this.server = options.backend.connection;
    this.pid = options.backend.key.pid;
    this.clientKey = options.clientKey;
    this.conversation = new Conversation(options.exchange);
    const { gate, clock, holdTimeoutMs } = options;
    this.output =
      gate &&
      new HeldOutput({
        gate,
        clock,
        holdTimeoutMs,
        onOpen: (chunk) => {
          this.run(this.conversation.fromServer(chunk));
          this.readOn();
        },
        onExpired: () => this.terminate(mayBeFenced),
      });
    for (const [name, value] of options.backend.parameters) {
      this.conversation.exchange.parameters.set(name, value);
    }
  }

  get target(): Target {
    return this.options.backend.target;
  }

  /** The backend's own key, for cancel requests. */
  get backendKey(): Buffer {
    return this.options.backend.key.key;
  }

  /** Tells the client that its backend is ready, and begins. `early` is what it sent ahead. */
  start(early: Buffer): void {
    const { client, server } = this;
    client.write(this.options.backend.greeting);
    client.onDrain(() => {
      this.isClientFull = false;
      this.readOn();
    });
    server.onDrain(() => {
      this.isServerFull = false;
      this.readOn();
    });
    client.onEnd(() => {
      this.conversation.clientEnded();
      server.end();
    });
    client.onClose(() => this.onClientGone());
    server.onEnd(() => server.end());
    server.onClose((error) => this.onServerGone(error));
    if (early.length > 0) this.fromClient(early);
    client.onData((chunk) => this.fromClient(chunk));
    server.onData((chunk) => {
      // Nobody is left to be told; what is under way is followed to its end all the same.
      const isAdmitted = !this.output || client.closed || this.output.admits(chunk);
      if (isAdmitted) this.run(this.conversation.fromServer(chunk));
      else server.pause();
    });
    this.readOn();
  }

  private fromClient(chunk: Buffer): void {
    this.output?.noteStatement();
    this.run(this.conversation.fromClient(chunk));
  }

  /** Ends it as if the backend had gone. */
  terminate(cause: unknown): void {
    this.run(this.conversation.serverLost(cause));
  }

  private run(actions: Action[]): void {
    for (const action of actions) {
      if (action.kind === "toClient") this.toClient.push(action.bytes);
      else if (action.kind === "toServer") this.toServer.push(action.bytes);
      else this.perform(action);
    }
    if (this.toServer.length > 0) {
      if (!send(this.server, this.toServer)) this.isServerFull = true;
      this.toServer = [];
      if (this.isServerFull) this.client.pause();
    }
    if (this.toClient.length > 0) {
      if (!send(this.client, this.toClient)) this.isClientFull = true;
      this.toClient = [];
      if (this.isClientFull) this.server.pause();
    }
  }

  private perform(action: Exclude<Action, { kind: "toClient" | "toServer" }>): void {
    switch (action.kind) {
      case "awaitDurable":
        this.server.pause();
        // Nobody is left to be told.
        if (this.client.closed) {
          this.server.destroy();
          return;
        }
        void this.awaitDurable(action.upTo);
        return;
      case "pauseClient":
        this.isGated = true;
        this.client.pause();
        return;
      case "resumeClient":
        this.isGated = false;
        this.readOn();
        return;
      case "resumeServer":
        this.readOn();
        return;
      case "commitTimer":
        this.setCommitTimer(action.timeoutMs);
        return;
      case "traitsChanging":
        this.options.onTraitsChanging();
        return;
      case "traitsSettled":
        this.options.onTraitsSettled();
        return;
      case "fail":
        this.toClient.push(encodeError(action.error, "FATAL"));
        this.options.logger.info({
          event: "session.failed",
          pid: this.pid,
          reason: action.error.message,
        });
        this.finish();
        return;
      case "close":
        this.finish();
        return;
    }
  }

  private async awaitDurable(upTo: UpTo): Promise<void> {
    const { awaitDurable, logger } = this.options;
    const { instanceId } = this.target;
    try {
      await (upTo === "inserted"
        ? awaitDurable.untilInserted(instanceId)
        : awaitDurable.untilFlushed(instanceId));
    } catch (error) {
      logger.warn({ event: "commit.unknown", pid: this.pid, reason: messageOf(error) });
      this.run(this.conversation.outcomeUnknown(error));
      return;
    }
    this.run(this.conversation.durable());
    // The backend went away meanwhile; what it had said before is told now.
    if (this.server.closed) this.run(this.conversation.serverLost());
  }

  private setCommitTimer(timeoutMs: number): void {
    this.commitTimer?.cancel();
    this.commitTimer =
      timeoutMs > 0
        ? this.options.clock.after(timeoutMs, () => this.run(this.conversation.commitTimedOut()))
        : undefined;
  }

  /** What the backend said waits for the gate, or for the quorum: it must not be read. */
  private get isHeld(): boolean {
    return this.conversation.isHeld || this.output?.isHolding === true;
  }

  /** Reads whichever side may be read. */
  private readOn(): void {
    if (this.hasEnded) return;
    if (!this.isServerFull && !this.isGated) this.client.resume();
    if (!this.isClientFull && !this.isHeld) this.server.resume();
  }

  /** Both connections end once what was written is out. */
  private finish(): void {
    // Called while actions run: the bytes before it are still to be written.
    if (this.toClient.length > 0) send(this.client, this.toClient);
    this.toClient = [];
    this.client.end();
    this.server.destroy();
    // A client that does not read would keep its socket for ever.
    this.options.clock.after(5_000, () => this.client.destroy());
    this.ended();
  }

  private onClientGone(): void {
    for (const chunk of this.output?.drop() ?? []) this.run(this.conversation.fromServer(chunk));
    // While a completion is held the backend has nothing to say; otherwise it ends by itself at our end of stream.
    if (this.conversation.isHeld) this.server.destroy();
    else this.server.end();
    // What it still says is read and dropped, or it would block for ever on a full socket.
    this.isClientFull = false;
    this.isServerFull = false;
    if (!this.conversation.isHeld) this.server.resume();
    if (this.server.closed) this.ended();
  }

  private onServerGone(error: Error | undefined): void {
    if (this.client.closed) {
      this.ended();
      return;
    }
    if (!this.conversation.isHeld) this.run(this.conversation.serverLost(error));
    if (this.conversation.exchange.hasTerminated) this.finish();
  }

  private ended(): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    this.output?.drop();
    this.commitTimer?.cancel();
    this.options.onEnd();
  }
}

const mayBeFenced = new BorealisError(
  sqlState.cannotConnectNow,
  "this writer could not show in time that it still is the writer",
  {
    hint: "Fewer than three storage nodes answer it, or another instance took over. Connect again.",
  },
);

function send(connection: Connection, parts: readonly Buffer[]): boolean {
  const [first] = parts;
  if (first && parts.length === 1) return connection.write(first);
  let totalBytes = 0;
  for (const part of parts) totalBytes += part.length;
  if (totalBytes <= joinBytesMax) return connection.write(Buffer.concat(parts, totalBytes));
  connection.cork();
  let mayGoOn = true;
  for (const part of parts) mayGoOn = connection.write(part);
  connection.uncork();
  return mayGoOn;
}
