import { connect, type Socket } from "node:net";
import {
  backend,
  encodeStartup,
  MessageScanner,
  type PgAddress,
  pgSocketPath,
} from "../../src/wire/index.ts";

export interface RawMessage {
  readonly type: number;
  readonly body: Buffer;
}

/** A session with a stock PostgreSQL (trust), message by message. */
export class RawSession {
  private readonly socket: Socket;
  private readonly scanner = new MessageScanner((_, totalBytes) => totalBytes);
  private readonly messages: RawMessage[] = [];
  private wake: (() => void) | undefined;
  private failure: Error | undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
    const fail = (error?: Error): void => {
      this.failure ??= error ?? new Error("PostgreSQL has closed the session");
      this.wake?.();
    };
    socket.on("error", fail);
    socket.on("close", () => fail());
    socket.on("data", (chunk: Buffer) => {
      const { scanner } = this;
      scanner.begin(chunk);
      while (scanner.next()) {
        const body = Buffer.from(scanner.buffer.subarray(scanner.start + 5, scanner.end));
        this.messages.push({ type: scanner.type, body });
      }
      this.wake?.();
    });
  }

  /** Gives the session and what came before its first ReadyForQuery. */
  static async open(
    address: PgAddress,
    parameters: Readonly<Record<string, string>>,
  ): Promise<{ session: RawSession; greeting: RawMessage[] }> {
    const session = new RawSession(connect(pgSocketPath(address)));
    const all = Object.entries(parameters).map(([name, value]) => ({
      name,
      value: Buffer.from(value),
    }));
    session.send(encodeStartup(0, all));
    return { session, greeting: await session.cycle() };
  }

  send(bytes: Buffer): void {
    this.socket.write(bytes);
  }

  /** All messages up to the next ReadyForQuery, that included. */
  async cycle(): Promise<RawMessage[]> {
    for (;;) {
      const end = this.messages.findIndex(({ type }) => type === backend.readyForQuery);
      if (end >= 0) return this.messages.splice(0, end + 1);
      if (this.failure) throw this.failure;
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }

  end(): void {
    this.socket.destroy();
  }
}
