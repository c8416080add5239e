import { connect } from "node:net";
import pg from "pg";
import { serialize } from "pg-protocol";
import { Exchange, type Outcome, type Request } from "./exchange.ts";

export interface Notice {
  readonly code: string | undefined;
  readonly message: string;
}

export interface Notification {
  readonly channel: string;
  readonly payload: string;
}

export interface SessionOptions {
  readonly url: string;
  readonly database: string | undefined;
  /** Schemas, as a value of search_path; undefined for the server's own. */
  readonly searchPath: string | undefined;
  readonly timeoutMs: number;
}

/** One connection of a test file, with all that comes unasked kept for the records that ask for it. */
export class Session {
  readonly notices: Notice[] = [];
  readonly parsed = new Set<string>();
  background: Promise<Outcome> | undefined;
  private readonly notifications: Notification[] = [];
  private readonly client: pg.Client;
  private readonly timeoutMs: number;
  private awaited: ((notification: Notification) => void) | undefined;

  private constructor(client: pg.Client, timeoutMs: number) {
    this.client = client;
    this.timeoutMs = timeoutMs;
    client.on("notice", (notice) => {
      this.notices.push({ code: notice.code, message: notice.message ?? "" });
    });
    client.on("notification", ({ channel, payload = "" }) => {
      const take = this.awaited;
      this.awaited = undefined;
      if (take) take({ channel, payload });
      else this.notifications.push({ channel, payload });
    });
    // What fails on the socket fails the exchange under way; without one, the next says so.
    client.on("error", () => undefined);
  }

  static async open({ url, database, searchPath, timeoutMs }: SessionOptions): Promise<Session> {
    const target = new URL(url);
    if (database !== undefined) target.pathname = `/${encodeURIComponent(database)}`;
    const client = new pg.Client({
      connectionString: target.href,
      connectionTimeoutMillis: timeoutMs,
      ...(searchPath !== undefined && { options: `-c search_path=${searchPath}` }),
    });
    const session = new Session(client, timeoutMs);
    await client.connect();
    return session;
  }

  /** Resolves with an outcome in every case; one that does not come in time is an error, and ends the connection. */
  async run(request: Request): Promise<Outcome> {
    const exchange = new Exchange(request);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<Outcome>((resolve) => {
      timer = setTimeout(() => {
        const error = { code: undefined, message: `no answer within ${this.timeoutMs} ms` };
        resolve({ rows: [], columns: 0, affected: undefined, copyOut: [], error });
        this.destroy();
      }, this.timeoutMs);
    });
    this.client.query(exchange);
    const outcome = await Promise.race([exchange.outcome, late]);
    clearTimeout(timer);
    return outcome;
  }

  /** The first column of the first row of a simple query; undefined if there is none. */
  async value(sql: string): Promise<string | undefined> {
    const { rows, error } = await this.run({ sql, extended: undefined, copyIn: undefined });
    if (error) throw new Error(`${error.message} (${error.code ?? "no SQLSTATE"}): ${sql}`);
    return rows[0]?.[0] ?? undefined;
  }

  /** The oldest notification not yet taken, or the next to come within the time. */
  async nextNotification(timeoutMs: number): Promise<Notification | undefined> {
    const known = this.notifications.shift();
    if (known) return known;
    let timer: NodeJS.Timeout | undefined;
    const found = await new Promise<Notification | undefined>((resolve) => {
      this.awaited = resolve;
      timer = setTimeout(() => resolve(undefined), timeoutMs);
    });
    clearTimeout(timer);
    this.awaited = undefined;
    return found;
  }

  /** The backend's process, as the server told it at the start. */
  get processId(): number {
    return Number(Reflect.get(this.client, "processID"));
  }

  /** Sends a CancelRequest on a connection of its own, as drivers do. */
  async cancel(): Promise<void> {
    const request = serialize.cancel(this.processId, Number(Reflect.get(this.client, "secretKey")));
    await new Promise<void>((resolve, reject) => {
      const socket = connect({ host: this.client.host, port: this.client.port });
      socket.setTimeout(this.timeoutMs, () =>
        socket.destroy(new Error("no end of a cancel request")),
      );
      socket.once("error", reject);
      // The server closes it when the request has been handled.
      socket.once("close", () => resolve());
      socket.end(request);
    });
  }

  async close(): Promise<void> {
    if (this.background) this.destroy();
    await this.client.end();
  }

  private destroy(): void {
    // The typings leave out the client's connection; node-postgres itself documents `client.connection.stream`.
    const connection: unknown = Reflect.get(this.client, "connection");
    if (connection instanceof pg.Connection) connection.stream.destroy();
  }
}
