import { DatabaseError, serialize } from "pg-protocol";
import { type BackendMessage, DataRowMessage } from "pg-protocol/dist/messages.js";
import { Parser } from "pg-protocol/dist/parser.js";
import { BorealisError, ProtocolViolation, sqlState } from "../base/errors.ts";
import { type Timeline, timeline } from "../base/ids.ts";
import { findLsn, formatLsn, type Lsn, lsnZero } from "../base/lsn.ts";
import { type Clock, type Connection, dial } from "../io/index.ts";
import { errorFromServer, type PgAddress, pgSocketPath } from "./client-shell.ts";
import { plainSession } from "./plain-session.ts";
import {
  encodeStandbyFeedback,
  encodeStandbyStatus,
  ReplicationFramer,
  type StandbyFeedback,
  type StandbyStatus,
} from "./replication.ts";

export interface SystemIdentity {
  readonly systemId: string;
  readonly timeline: Timeline;
  /** How far this PostgreSQL has flushed its own log. */
  readonly end: Lsn;
}

export interface ReplicationStart {
  readonly slot?: string;
  readonly from: Lsn;
  readonly timeline: Timeline;
}

export interface ReplicationHandlers {
  /** A piece of WAL that begins at `start`. The view is borrowed until the call returns. */
  onWal(start: Lsn, bytes: Buffer): void;
  /** All that came with one read was handed over: what was put off until now is due. */
  onBatchEnd?(): void;
  /** PostgreSQL says how far its log goes. It has been answered already if it asked for that. */
  onKeepalive?(end: Lsn): void;
  /** The timeline ended at a promotion elsewhere, or PostgreSQL ended the stream. */
  onEnd?(): void;
}

interface Command {
  resolve(rows: (string | null)[][]): void;
  reject(error: unknown): void;
}

const lastStatusNone: StandbyStatus = { write: lsnZero, flush: lsnZero, apply: lsnZero };

/** A physical replication connection to our own PostgreSQL. Made by connectReplication. */
export class ReplicationClient {
  private readonly connection: Connection;
  private readonly clock: Clock;
  private readonly parser = new Parser();
  private readonly framer: ReplicationFramer;
  private command: Command | undefined;
  private rows: (string | null)[][] = [];
  private failure: BorealisError | undefined;
  private handlers: ReplicationHandlers | undefined;
  private lastStatus = lastStatusNone;
  private isGone = false;
  private closeHandler: ((error?: Error) => void) | undefined;

  constructor(connection: Connection, clock: Clock, startup: Uint8Array, ready: Command) {
    this.connection = connection;
    this.clock = clock;
    this.command = ready;
    this.framer = new ReplicationFramer({
      onWal: (start, bytes) => this.handlers?.onWal(start, bytes),
      onKeepalive: (end, mustReply) => {
        if (mustReply) this.sendStatus(this.lastStatus);
        this.handlers?.onKeepalive?.(end);
      },
      onMessage: (message) => this.parser.parse(message, (parsed) => this.onMessage(parsed)),
    });
    connection.onData((chunk) => this.onData(chunk));
    connection.onEnd(() => connection.end());
    connection.onClose((error) => this.onGone(error));
    connection.write(startup);
  }

  get isClosed(): boolean {
    return this.isGone;
  }

  async identifySystem(): Promise<SystemIdentity> {
    const [row] = await this.run("IDENTIFY_SYSTEM");
    const [systemId, timelineText, endText] = row ?? [];
    const end = findLsn(endText ?? "");
    if (!systemId || !timelineText || end === undefined) {
      throw new ProtocolViolation("IDENTIFY_SYSTEM's answer is malformed");
    }
    return { systemId, timeline: timeline(Number(timelineText)), end };
  }

  /** Makes the slot that keeps log until it was reported; that it exists already is as good. */
  async createPhysicalSlot(name: string): Promise<void> {
    try {
      await this.run(`CREATE_REPLICATION_SLOT ${name} PHYSICAL RESERVE_WAL`);
    } catch (error) {
      const duplicateObject = "42710";
      if (!(error instanceof BorealisError) || error.code !== duplicateObject) throw error;
    }
  }

  /** The history file of timeline `n` (above 1) as this PostgreSQL has it. */
  async timelineHistory(
    n: Timeline,
  ): Promise<{ readonly fileName: string; readonly text: string }> {
    const [row] = await this.run(`TIMELINE_HISTORY ${n}`);
    const [fileName, text] = row ?? [];
    if (!fileName || typeof text !== "string") {
      throw new ProtocolViolation("TIMELINE_HISTORY's answer is malformed");
    }
    return { fileName, text };
  }

  /** Resolves when the stream has begun; WAL goes to `handlers` until `onEnd` or the connection's close. */
  async startReplication(start: ReplicationStart, handlers: ReplicationHandlers): Promise<void> {
    const slot = start.slot === undefined ? "" : `SLOT "${start.slot}" `;
    const at = `${formatLsn(start.from)} TIMELINE ${start.timeline}`;
    this.handlers = handlers;
    await this.run(`START_REPLICATION ${slot}PHYSICAL ${at}`);
  }

  /** Reports positions; they are repeated when PostgreSQL asks. */
  sendStatus(status: StandbyStatus): void {
    this.lastStatus = status;
    this.connection.write(encodeStandbyStatus(status, this.clock.wallMs()));
  }

  sendFeedback(feedback: StandbyFeedback): void {
    this.connection.write(encodeStandbyFeedback(feedback, this.clock.wallMs()));
  }

  /**
   * Stops reading: PostgreSQL then stops sending. Its keepalives go unread too, so whoever pauses for long sends a
   * status now and then, or wal_sender_timeout ends the stream.
   */
  pause(): void {
    this.connection.pause();
  }
  resume(): void {
    this.connection.resume();
  }

  /** Says goodbye; the stream ends. */
  close(): void {
    this.connection.end(serialize.end());
    this.connection.resume();
  }
  destroy(): void {
    this.connection.destroy();
  }

  /** Called once when the connection is gone; at once if it is gone already. */
  onClose(handler: (error?: Error) => void): void {
    this.closeHandler = handler;
    if (this.isGone) handler(this.failure);
  }

  private run(text: string): Promise<(string | null)[][]> {
    return new Promise((resolve, reject) => {
      if (this.isGone) return reject(lost(this.failure));
      if (this.command) {
        return reject(new BorealisError(sqlState.internal, "one replication command at a time"));
      }
      this.command = { resolve, reject };
      this.connection.write(serialize.query(text));
    });
  }

  private onData(chunk: Buffer): void {
    try {
      this.framer.push(chunk);
      this.handlers?.onBatchEnd?.();
    } catch (error) {
      // What PostgreSQL may cause is a BorealisError; anything else is a bug of ours and must not pass for a lost link.
      if (!(error instanceof BorealisError)) throw error;
      this.connection.destroy(error);
    }
  }

  private onMessage(message: BackendMessage): void {
    if (message instanceof DataRowMessage) this.rows.push(message.fields);
    else if (message instanceof DatabaseError) this.failure = errorFromServer(message);
    else if (message.name === "readyForQuery" || message.name === "replicationStart") this.settle();
    else if (message.name === "copyDone") {
      this.connection.write(serialize.copyDone());
      this.handlers?.onEnd?.();
      this.handlers = undefined;
    } else if (message.name.startsWith("authentication") && message.name !== "authenticationOk") {
      const why = "PostgreSQL asks for a password on its private socket";
      this.connection.destroy(new BorealisError(sqlState.invalidAuthorization, why));
    }
  }

  private settle(): void {
    const { command, rows, failure } = this;
    this.command = undefined;
    this.rows = [];
    this.failure = undefined;
    if (failure) command?.reject(failure);
    else command?.resolve(rows);
  }

  private onGone(error: Error | undefined): void {
    this.isGone = true;
    // An error without ReadyForQuery after it: that is why the stream ended.
    const cause = this.failure ?? error;
    this.command?.reject(this.failure ?? lost(error));
    this.command = undefined;
    this.closeHandler?.(cause);
  }
}

function lost(cause: unknown): BorealisError {
  const facts = cause === undefined ? {} : { cause };
  const why = "the replication connection to PostgreSQL is gone";
  return new BorealisError(sqlState.connectionFailure, why, facts);
}

/** Opens a physical replication connection. Raises as connectPg does. */
export async function connectReplication(options: {
  readonly address: PgAddress;
  readonly user: string;
  readonly applicationName: string;
  readonly clock: Clock;
  readonly signal?: AbortSignal;
}): Promise<ReplicationClient> {
  const path = pgSocketPath(options.address);
  const dialOptions = options.signal === undefined ? {} : { signal: options.signal };
  const connection = await dial({ kind: "unix", path }, dialOptions);
  const startup = serialize.startup({
    user: options.user,
    replication: "true",
    application_name: options.applicationName,
    options: plainSession(options.address.major),
  });
  const onAbort = (): void => connection.destroy(new Error("gave up waiting for PostgreSQL"));
  options.signal?.addEventListener("abort", onAbort, { once: true });
  if (options.signal?.aborted) onAbort();
  try {
    return await new Promise<ReplicationClient>((resolve, reject) => {
      const client = new ReplicationClient(connection, options.clock, startup, {
        resolve: () => resolve(client),
        reject,
      });
    });
  } finally {
    options.signal?.removeEventListener("abort", onAbort);
  }
}
