/** Stand-ins for both ends of a session: a server that speaks a little of PostgreSQL's protocol, and a client's socket. */
import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BorealisError } from "../../src/base/errors.ts";
import type { ClientLink } from "../../src/session/client-link.ts";
import type { Target } from "../../src/session/topology.ts";
import {
  backend,
  encodeAuthenticationOk,
  encodeBackendKey,
  encodeCommandComplete,
  encodeError,
  encodeMessage,
  encodeReadyForQuery,
  frontend,
  MessageScanner,
  parseReport,
  pgSocketPath,
  transactionState,
} from "../../src/wire/index.ts";
import { eventually } from "./eventually.ts";

const ready = encodeReadyForQuery(transactionState.idle);
const key = Buffer.alloc(4);
const cancelCode = 80_877_102;
const quiet: Readonly<Record<number, Buffer>> = {
  [frontend.describe]: encodeMessage(backend.noData),
  [frontend.functionCall]: Buffer.concat([encodeMessage(0x56, (body) => body.i32(-1)), ready]),
};
/** "ok", "dies", "ends" (with 57P05), or an SQLSTATE. */
export type Verdict = string;

/** Runs each text as `onText` says: "ok", "dies", "ends", or an SQLSTATE that it fails with. */
export class FakePostgres {
  readonly log: string[] = [];
  readonly sockets = new Set<Socket>();
  readonly address: Target["address"];
  onText: (text: string) => Verdict | Promise<Verdict> = () => "ok";
  private readonly directory = mkdtempSync(join(tmpdir(), "fake-pg-"));
  private readonly server: Server;
  private connections = 0;
  cancels = 0;

  constructor() {
    this.address = { socketDir: this.directory, port: 5432, major: 18 };
    this.server = createServer({ allowHalfOpen: true }, (socket) => this.serve(socket));
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.server.listen(pgSocketPath(this.address), resolve));
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
    await rm(this.directory, { recursive: true, force: true });
  }

  private serve(socket: Socket): void {
    this.sockets.add(socket);
    const id = ++this.connections;
    let isGreeted = false;
    let isFailed = false;
    let bound = "";
    let chain = Promise.resolve();
    const statements = new Map<string, string>();
    const scanner = new MessageScanner((_, totalBytes) => totalBytes);
    const say = (...parts: Buffer[]): void => {
      if (!socket.destroyed && !socket.writableEnded) socket.write(Buffer.concat(parts));
    };
    const failed = (code: string): Buffer => encodeError(new BorealisError(code, code), "ERROR");
    const runs = async (text: string): Promise<boolean> => {
      this.log.push(`${id}: ${text}`);
      const verdict = await this.onText(text);
      if (verdict === "dies") socket.destroy();
      else if (verdict === "ends") {
        say(encodeError(new BorealisError("57P05", "57P05"), "FATAL"));
        socket.end();
      } else if (verdict === "ok") say(encodeCommandComplete("OK"));
      else say(failed(verdict));
      return verdict === "ok";
    };
    const answer = async (type: number, body: Buffer): Promise<void> => {
      const textAt = (from: number): string => body.toString("latin1", from, body.indexOf(0, from));
      const name = textAt(0);
      if (socket.destroyed) return;
      if (type === frontend.query) {
        await runs(name);
        say(ready);
      } else if (type === frontend.sync) {
        isFailed = false;
        say(ready);
      } else if (isFailed) return;
      else if (type === frontend.parse) {
        const verdict = statements.has(name) && name !== "" ? "42P05" : await this.parses(body);
        isFailed = verdict !== "ok";
        if (!isFailed) statements.set(name, textAt(name.length + 1));
        say(isFailed ? failed(verdict) : encodeMessage(backend.parseComplete));
      } else if (type === frontend.bind) {
        bound = textAt(name.length + 1);
        isFailed = !statements.has(bound);
        say(isFailed ? failed("26000") : encodeMessage(backend.bindComplete));
      } else if (type === frontend.execute) isFailed = !(await runs(statements.get(bound) ?? ""));
      else if (type === frontend.close) {
        if (body[0] === 83) statements.delete(textAt(1));
        say(encodeMessage(backend.closeComplete));
      } else say(quiet[type] ?? Buffer.alloc(0));
    };
    socket.on("error", () => undefined);
    socket.on("end", () => {
      chain = chain.then(() => void socket.end());
    });
    socket.on("data", (chunk: Buffer) => {
      if (!isGreeted) {
        isGreeted = true;
        if (chunk.readInt32BE(4) === cancelCode) {
          this.cancels++;
          socket.end();
          return;
        }
        say(encodeAuthenticationOk(), encodeBackendKey({ pid: id, key }), ready);
        return;
      }
      scanner.begin(Buffer.from(chunk));
      while (scanner.next()) {
        const { type } = scanner;
        const body = Buffer.from(scanner.buffer.subarray(scanner.start + 5, scanner.end));
        chain = chain.then(() => answer(type, body));
      }
    });
  }

  private parses(body: Buffer): Verdict | Promise<Verdict> {
    const text = body.toString("latin1", body.indexOf(0) + 1);
    return this.onText(`parse ${text.slice(0, text.indexOf("\0"))}`);
  }
}

/** Hears its session: the types of messages, and the SQLSTATEs of errors. */
export class FakeClient implements ClientLink {
  closed = false;
  hasEnded = false;
  private heard: string[] = [];
  private readonly scanner = new MessageScanner((_, totalBytes) => totalBytes);
  private tell: (chunk: Buffer) => void = () => undefined;
  private leave: () => void = () => undefined;

  write(bytes: Buffer): boolean {
    const { scanner } = this;
    scanner.begin(Buffer.from(bytes));
    while (scanner.next()) {
      const body = scanner.buffer.subarray(scanner.start + 5, scanner.end);
      const type = String.fromCharCode(scanner.type);
      this.heard.push(type === "E" ? (parseReport(body).get("C") ?? "") : type);
    }
    return true;
  }

  /** Sends, and gives what it hears up to ReadyForQuery or its end. */
  async ask(...parts: Buffer[]): Promise<string> {
    this.send(...parts);
    return this.hear();
  }

  send(...parts: Buffer[]): void {
    this.heard = [];
    this.tell(Buffer.concat(parts));
  }

  async hear(): Promise<string> {
    await eventually("it is answered", () => this.heard.includes("Z") || this.hasEnded);
    return this.heard.join(" ");
  }

  /** Its socket breaks. */
  reset(): void {
    this.closed = true;
    this.leave();
  }

  end(): void {
    this.hasEnded = true;
  }
  onData(tell: (chunk: Buffer) => void): void {
    this.tell = tell;
  }
  onClose(leave: () => void): void {
    this.leave = leave;
  }
  onEnd(): void {}
  onDrain(): void {}
  cork(): void {}
  uncork(): void {}
  pause(): void {}
  resume(): void {}
  destroy(): void {
    this.closed = true;
  }
}
