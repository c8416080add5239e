/**
 * Stands between a client and a real HTTP server and does to single requests what networks and tired services do. The
 * request that a fault is for is the next one whose first line matches; its connection ends with it.
 */
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { present } from "../../src/base/assert.ts";

export type HttpFault =
  /** The server never sees it; the connection breaks. */
  | { readonly kind: "drop" }
  /** The server never sees it; the client is told this. */
  | { readonly kind: "answer"; readonly status: number; readonly code: string }
  /** The server never sees it, and nobody answers. */
  | { readonly kind: "silence" }
  /** The server does it; the connection breaks instead of its answer. */
  | { readonly kind: "loseAnswer" }
  /** The connection breaks after so many bytes of the answer. */
  | { readonly kind: "truncate"; readonly afterBytes: number }
  /** One bit of this byte of the answer, head and all, is another. */
  | { readonly kind: "flip"; readonly atByte: number };

interface Plan {
  readonly fault: HttpFault;
  readonly line: RegExp;
  left: number;
}

const firstLine = /^(?:GET|HEAD|PUT|POST|DELETE) [^\r\n]*/;

export class HttpShim {
  private readonly serverPort: number;
  private readonly plans: Plan[] = [];
  private readonly sockets = new Set<Socket>();
  private server: Server | undefined;
  /** First lines of all requests so far. */
  readonly seen: string[] = [];
  /** Heads and bodies of all requests that have come so far. */
  bytesToServer = 0;

  constructor(serverPort: number) {
    this.serverPort = serverPort;
  }

  get port(): number {
    const bound = present(this.server, "the shim listens").address();
    return typeof bound === "object" && bound ? bound.port : 0;
  }

  /** On a free port, or again on the one that it had. */
  async listen(port = 0): Promise<void> {
    const server = createServer((client) => this.accept(client));
    this.server = server;
    await new Promise<void>((resolve) => {
      server.listen(port, "127.0.0.1", resolve);
    });
  }

  /** `times` requests whose first line matches get `fault`. */
  plan(fault: HttpFault, line: RegExp = /./, times = 1): void {
    this.plans.push({ fault, line, left: times });
  }

  /** Whether all that was planned has happened. */
  get isSpent(): boolean {
    return this.plans.every((plan) => plan.left <= 0);
  }

  forget(): void {
    this.plans.length = 0;
    this.seen.length = 0;
    this.bytesToServer = 0;
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise<void>((resolve) => {
      present(this.server, "the shim listens").close(() => resolve());
    });
  }

  private accept(client: Socket): void {
    const server = createConnection({ port: this.serverPort, host: "127.0.0.1" });
    let fault: HttpFault | undefined;
    const end = (): void => {
      client.destroy();
      server.destroy();
    };
    for (const socket of [client, server]) {
      this.sockets.add(socket);
      socket.on("error", end);
      socket.on("close", () => {
        this.sockets.delete(socket);
        end();
      });
    }
    let answered = 0;
    client.on("data", (chunk: Buffer) => {
      this.bytesToServer += chunk.length;
      const line = firstLine.exec(chunk.toString("latin1"))?.[0];
      if (line !== undefined && !fault) fault = this.take(line);
      if (fault?.kind === "drop") end();
      else if (fault?.kind === "answer" && line !== undefined) {
        const body = `<?xml version="1.0"?><Error><Code>${fault.code}</Code><Message>planned</Message></Error>`;
        client.end(
          `HTTP/1.1 ${fault.status} Planned\r\ncontent-type: application/xml\r\nconnection: close\r\n` +
            `content-length: ${body.length}\r\n\r\n${line.startsWith("HEAD") ? "" : body}`,
        );
      } else if (fault?.kind !== "silence" && fault?.kind !== "answer") server.write(chunk);
    });
    server.on("data", (chunk: Buffer) => {
      if (fault?.kind === "loseAnswer") return end();
      if (fault?.kind === "truncate" && answered + chunk.length > fault.afterBytes) {
        client.end(chunk.subarray(0, fault.afterBytes - answered));
        server.destroy();
        return;
      }
      if (fault?.kind === "flip" && answered + chunk.length > fault.atByte) {
        const at = fault.atByte - answered;
        chunk.writeUInt8((chunk[at] ?? 0) ^ 1, at);
        fault = undefined;
      }
      answered = fault ? answered + chunk.length : 0;
      client.write(chunk);
    });
  }

  private take(line: string): HttpFault | undefined {
    this.seen.push(line);
    const plan = this.plans.find((one) => one.left > 0 && one.line.test(line));
    if (plan) plan.left--;
    return plan?.fault;
  }
}
