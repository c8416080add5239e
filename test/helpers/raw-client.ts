import { connect, type Socket } from "node:net";
import { backend, MessageScanner, parseReport } from "../../src/wire/index.ts";
import { rawLogin } from "./raw-login.ts";

/** A client of an endpoint that sends bytes, and shows what it hears as text: "C(INSERT 0 1) Z(I)". */
export class RawClient {
  private readonly socket: Socket;
  private readonly scanner = new MessageScanner((_, totalBytes) => totalBytes);
  private heard: string[] = [];
  private wake: (() => void) | undefined;
  hasClosed = false;

  private constructor(socket: Socket) {
    this.socket = socket;
  }

  /** Logs in as postgres, with the tests' password unless told. */
  static async open(port: number, password?: string): Promise<RawClient> {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    const client = new RawClient(socket);
    await rawLogin(socket, 0, password);
    socket.on("close", () => {
      client.hasClosed = true;
      client.wake?.();
    });
    socket.on("data", (chunk: Buffer) => client.onData(chunk));
    return client;
  }

  send(...messages: Buffer[]): this {
    this.socket.write(Buffer.concat(messages));
    return this;
  }

  /** What it hears up to the next ReadyForQuery; "closed" at the end if the socket closes before. */
  async answer(): Promise<string> {
    for (;;) {
      const end = this.heard.findIndex((each) => each.startsWith("Z"));
      if (end >= 0) return this.heard.splice(0, end + 1).join(" ");
      if (this.hasClosed) return [...this.heard.splice(0), "closed"].join(" ");
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  /** Messages that `answer` has not given yet. */
  get heardCount(): number {
    return this.heard.length;
  }

  /** Sends, and hears the answer. */
  ask(...messages: Buffer[]): Promise<string> {
    return this.send(...messages).answer();
  }

  end(): void {
    this.socket.destroy();
  }

  private onData(chunk: Buffer): void {
    const { scanner } = this;
    scanner.begin(chunk);
    while (scanner.next()) {
      const body = scanner.buffer.subarray(scanner.start + 5, scanner.end);
      this.heard.push(shown(scanner.type, body));
    }
    this.wake?.();
  }
}

/** Letters for most; errors by their code, completions by their tag, rows by their values. */
function shown(type: number, body: Buffer): string {
  const letter = String.fromCharCode(type);
  if (type === backend.error) return `E(${parseReport(body).get("C")})`;
  if (type === backend.commandComplete) return `C(${body.toString("utf8", 0, body.length - 1)})`;
  if (type === backend.readyForQuery) return `Z(${body.toString("utf8")})`;
  if (type !== backend.dataRow) return letter;
  const values: string[] = [];
  for (let at = 2; at < body.length;) {
    const length = body.readInt32BE(at);
    values.push(length < 0 ? "null" : body.toString("utf8", at + 4, at + 4 + length));
    at += 4 + Math.max(length, 0);
  }
  return `D(${values.join(",")})`;
}
