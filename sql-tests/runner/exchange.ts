import { serialize } from "pg-protocol";
import type { Connection, Submittable } from "pg";

/** One conversation with the server: a Query, or Parse to Sync. */
export interface Request {
  readonly sql: string;
  /** Undefined: the simple protocol. */
  readonly extended: ExtendedRequest | undefined;
  readonly copyIn: readonly string[] | undefined;
}

export interface ExtendedRequest {
  readonly values: readonly (string | null)[];
  /** Empty: the unnamed statement. */
  readonly name: string;
  readonly isParsed: boolean;
  /** Rows per Execute; 0 for all. */
  readonly fetch: number;
  readonly onParsed: () => void;
}

export interface ServerError {
  readonly code: string | undefined;
  readonly message: string;
}

/** What came back: the last result set, the last count, and the error if one came. */
export interface Outcome {
  rows: (string | null)[][];
  columns: number;
  affected: number | undefined;
  copyOut: string[];
  error: ServerError | undefined;
}

interface CompleteMessage {
  readonly text: string;
}

/**
 * A query object for node-postgres that sends exactly what it is told and keeps every value as the server's text. The
 * client calls the handlers by name; that is its contract for custom queries such as pg-cursor.
 */
export class Exchange implements Submittable {
  readonly outcome: Promise<Outcome>;
  private readonly request: Request;
  private readonly answered: Outcome = {
    rows: [],
    columns: 0,
    affected: undefined,
    copyOut: [],
    error: undefined,
  };
  private copied = "";
  private settle: (outcome: Outcome) => void = () => undefined;

  constructor(request: Request) {
    this.request = request;
    this.outcome = new Promise((resolve) => (this.settle = resolve));
  }

  submit(connection: Connection): void {
    const { sql, extended } = this.request;
    if (!extended) {
      connection.stream.write(serialize.query(sql));
      return;
    }
    const { name, isParsed, values, fetch, onParsed } = extended;
    const messages: Buffer[] = [];
    if (!isParsed && (sql !== "" || name === "")) {
      messages.push(serialize.parse({ name, text: sql, types: [] }));
      connection.once("parseComplete", onParsed);
    }
    messages.push(
      serialize.bind({ statement: name, values: [...values] }),
      serialize.describe({ type: "P", name: "" }),
      serialize.execute({ portal: "", rows: fetch }),
      fetch > 0 ? serialize.flush() : serialize.sync(),
    );
    connection.stream.write(Buffer.concat(messages));
  }

  handleRowDescription(message: { fields: readonly unknown[] }): void {
    this.answered.rows = [];
    this.answered.columns = message.fields.length;
  }

  handleDataRow(message: { fields: (string | null)[] }): void {
    this.answered.rows.push(message.fields);
  }

  handleCommandComplete(message: CompleteMessage, connection: Connection): void {
    const count = / (\d+)$/.exec(message.text);
    this.answered.affected = count ? Number(count[1]) : undefined;
    if (this.isFetching()) connection.stream.write(serialize.sync());
  }

  handleEmptyQuery(connection: Connection): void {
    if (this.isFetching()) connection.stream.write(serialize.sync());
  }

  handlePortalSuspended(connection: Connection): void {
    const rows = this.request.extended?.fetch ?? 0;
    connection.stream.write(
      Buffer.concat([serialize.execute({ portal: "", rows }), serialize.flush()]),
    );
  }

  handleCopyInResponse(connection: Connection): void {
    const { copyIn, extended } = this.request;
    const messages = copyIn
      ? [
          serialize.copyData(Buffer.from(copyIn.map((line) => `${line}\n`).join(""))),
          serialize.copyDone(),
        ]
      : [serialize.copyFail("the record has no rows for COPY")];
    // A server that copies in ignores Sync: the one sent with Execute is lost.
    if (extended) messages.push(serialize.sync());
    connection.stream.write(Buffer.concat(messages));
  }

  handleCopyData(message: { chunk: Buffer }): void {
    this.copied += message.chunk.toString("utf8");
  }

  handleError(error: Error & { code?: string }, connection: Connection): void {
    if (this.isFetching() && connection.stream.writable) connection.stream.write(serialize.sync());
    this.answered.error = { code: error.code, message: error.message };
    this.finish();
  }

  handleReadyForQuery(): void {
    this.finish();
  }

  private isFetching(): boolean {
    return (this.request.extended?.fetch ?? 0) > 0;
  }

  private finish(): void {
    this.answered.copyOut = this.copied === "" ? [] : this.copied.replace(/\n$/, "").split("\n");
    this.settle(this.answered);
  }
}
