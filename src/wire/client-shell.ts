import { DatabaseError, serialize } from "pg-protocol";
import {
  BackendKeyDataMessage,
  type BackendMessage,
  CommandCompleteMessage,
  DataRowMessage,
  RowDescriptionMessage,
} from "pg-protocol/dist/messages.js";
import { Parser } from "pg-protocol/dist/parser.js";
import { Deque } from "../base/deque.ts";
import { BorealisError, ProtocolViolation, sqlState } from "../base/errors.ts";
import { type Connection, dial } from "../io/index.ts";
import { plainSession } from "./plain-session.ts";

/** One PostgreSQL of ours, and where it listens: a unix socket directory, and the port that names the socket. */
export interface PgAddress {
  readonly socketDir: string;
  readonly port: number;
  /** Of its version: what our sessions there begin with depends on it. */
  readonly major: number;
}

export function pgSocketPath(address: Pick<PgAddress, "socketDir" | "port">): string {
  return `${address.socketDir}/.s.PGSQL.${address.port}`;
}

export interface PgConnectOptions {
  readonly address: PgAddress;
  readonly user: string;
  readonly database: string;
  readonly applicationName?: string;
  /** Settings besides those of all our sessions (plain-session.ts), as libpq's `options`: "-c synchronous_commit=local". */
  readonly options?: string;
  /** Settings that are to be the server's, though our sessions have their own else. */
  readonly except?: readonly string[] | "all";
  /** Until the session is ready; 10 s unless told. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** Text of what one statement gave; of several statements in one query, the last one's. */
export interface PgResult {
  readonly columns: string[];
  readonly rows: (string | null)[][];
  /** PostgreSQL's command tag: "SELECT 1", "CREATE ROLE"; empty for an empty query. */
  readonly command: string;
}

interface Waiting {
  readonly sql: string;
  resolve(result: PgResult): void;
  reject(error: unknown): void;
}

/** The peer is our own PostgreSQL and its answers are small: more than this is a bug or not PostgreSQL. */
const messageBytesMax = 64 * 1024 * 1024;

/**
 * A small client for our own PostgreSQL: simple protocol, trust authentication, text only, one query at a time (more
 * wait in a queue). Made by connectPg.
 */
export class PgClient {
  private readonly connection: Connection;
  private readonly parser = new Parser();
  private readonly queue = new Deque<Waiting>();
  private current: Waiting | undefined;
  private ready: Waiting | undefined;
  private columns: string[] = [];
  private rows: (string | null)[][] = [];
  private command = "";
  private hasRows = false;
  private isClosing = false;
  private failure: BorealisError | undefined;
  private pid = 0;
  private isGone = false;
  private readonly closed: Promise<void>;
  private closeHandler: ((error?: Error) => void) | undefined;

  /** Takes over a fresh connection and sends `startup`; `ready` settles when PostgreSQL takes queries. */
  constructor(connection: Connection, startup: Uint8Array, ready: Waiting) {
    this.connection = connection;
    this.ready = ready;
    this.closed = new Promise((resolve) => {
      connection.onClose((error) => {
        this.onGone(error);
        resolve();
      });
    });
    connection.onData((chunk) => this.onData(chunk));
    connection.onEnd(() => connection.end());
    connection.write(startup);
  }

  /** The backend's process id. */
  get processId(): number {
    return this.pid;
  }

  get isClosed(): boolean {
    return this.isGone;
  }

  /** Runs `sql`. Raises PostgreSQL's error with its SQLSTATE as code, or 08006 when the session is lost. */
  query(sql: string): Promise<PgResult> {
    return new Promise((resolve, reject) => {
      if (this.isGone) return reject(lost(undefined));
      this.queue.pushBack({ sql, resolve, reject });
      this.sendNext();
    });
  }

  /** Ends the session, after the queries that wait; resolves when the socket is gone. */
  close(): Promise<void> {
    this.isClosing = true;
    this.sendNext();
    return this.closed;
  }

  /** Drops the socket at once. PostgreSQL goes on with what it runs. */
  destroy(): void {
    this.connection.destroy();
  }

  /** Called once when the session is gone, with a socket's error if there was one; at once if it is gone already. */
  onClose(handler: (error?: Error) => void): void {
    this.closeHandler = handler;
    if (this.isGone) handler();
  }

  private sendNext(): void {
    if (this.current || this.ready || this.isGone) return;
    this.current = this.queue.popFront();
    if (this.current) this.connection.write(serialize.query(this.current.sql));
    else if (this.isClosing) this.connection.end(serialize.end());
  }

  private onData(chunk: Buffer): void {
    try {
      this.parser.parse(chunk, (message) => this.onMessage(message));
    } catch (cause) {
      this.connection.destroy(new ProtocolViolation("PostgreSQL's answer is malformed", { cause }));
    }
  }

  private onMessage(message: BackendMessage): void {
    if (message.length > messageBytesMax) {
      throw new ProtocolViolation(`message of ${message.length} bytes from PostgreSQL`);
    }
    if (message instanceof DataRowMessage) this.rows.push(message.fields);
    else if (message instanceof RowDescriptionMessage) {
      this.columns = message.fields.map((field) => field.name);
      this.rows = [];
      this.hasRows = true;
    } else if (message instanceof CommandCompleteMessage) this.onCommandComplete(message.text);
    else if (message instanceof BackendKeyDataMessage) this.pid = message.processID;
    else if (message instanceof DatabaseError) this.failure = errorFromServer(message);
    else if (message.name === "readyForQuery") this.onReady();
    else if (message.name.startsWith("authentication") && message.name !== "authenticationOk") {
      const why = "PostgreSQL asks for a password on its private socket";
      const hint = "pg_hba.conf must say: local all all trust";
      this.failure = new BorealisError(sqlState.invalidAuthorization, why, { hint });
      this.connection.destroy();
    }
  }

  private onCommandComplete(command: string): void {
    this.command = command;
    // A statement without rows after one with rows: the last one's result is empty.
    if (!this.hasRows) {
      this.columns = [];
      this.rows = [];
    }
    this.hasRows = false;
  }

  private onReady(): void {
    const result = { columns: this.columns, rows: this.rows, command: this.command };
    const { failure } = this;
    this.columns = [];
    this.rows = [];
    this.command = "";
    this.failure = undefined;
    const done = this.ready ?? this.current;
    this.ready = undefined;
    this.current = undefined;
    // The next one is on its way before the caller of this one runs.
    this.sendNext();
    if (failure) done?.reject(failure);
    else done?.resolve(result);
  }

  private onGone(error: Error | undefined): void {
    this.isGone = true;
    // FATAL comes as an error without ReadyForQuery: that is why the session ended.
    const why = this.failure ?? lost(error);
    this.ready?.reject(this.failure ?? lost(error));
    this.current?.reject(why);
    for (let next = this.queue.popFront(); next; next = this.queue.popFront()) next.reject(why);
    this.ready = undefined;
    this.current = undefined;
    this.closeHandler?.(error);
  }
}

function lost(cause: unknown): BorealisError {
  const facts = cause === undefined ? {} : { cause };
  return new BorealisError(
    sqlState.connectionFailure,
    "the session with PostgreSQL is gone",
    facts,
  );
}

/** PostgreSQL's own error, code and all. */
export function errorFromServer(error: DatabaseError): BorealisError {
  return new BorealisError(error.code ?? sqlState.internal, error.message, {
    ...(error.detail === undefined ? {} : { detail: error.detail }),
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  });
}

/**
 * Opens a session of our own, as a superuser. Raises 08006 (safe to retry) when nobody listens, else PostgreSQL's own error: 57P03 while it
 * starts or stops, 3D000, 28000.
 */
export async function connectPg(options: PgConnectOptions): Promise<PgClient> {
  const timeoutMs = options.timeoutMs ?? 10_000;
  const bounds = options.signal
    ? [options.signal, AbortSignal.timeout(timeoutMs)]
    : [AbortSignal.timeout(timeoutMs)];
  const signal = AbortSignal.any(bounds);
  const path = pgSocketPath(options.address);
  const connection = await dial({ kind: "unix", path }, { signal, timeoutMs });
  const startup = serialize.startup({
    user: options.user,
    database: options.database,
    ...(options.applicationName === undefined ? {} : { application_name: options.applicationName }),
    options: plainSession(options.address.major, options),
  });
  const onAbort = (): void => connection.destroy(new Error("gave up waiting for PostgreSQL"));
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    return await new Promise<PgClient>((resolve, reject) => {
      const client = new PgClient(connection, startup, {
        sql: "",
        resolve: () => resolve(client),
        reject,
      });
    });
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
