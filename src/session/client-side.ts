import { encodeReadyForQuery, frontend, MessageScanner } from "../wire/index.ts";
import { clientHeadOf } from "./client-heads.ts";
import { ClientMessages, dropped, type Verdict } from "./client-messages.ts";
import type { Exchange } from "./exchange.ts";

/** The direction client to server: passes bytes on, and puts our questions among them where a commit needs one. */
export class ClientSide {
  private readonly exchange: Exchange;
  private readonly messages: ClientMessages;
  private readonly scanner = new MessageScanner(clientHeadOf);
  private backlog: Buffer[] = [];
  private isWaiting = false;
  /** A batch has failed before its Sync: up to that nothing is looked at, then this state is told. */
  private skipsToSync: number | undefined;

  constructor(exchange: Exchange) {
    this.exchange = exchange;
    this.messages = new ClientMessages(exchange, this.scanner);
  }

  /** Raises ProtocolViolation for what is not the protocol; the session then ends. */
  push(chunk: Buffer): void {
    if (this.isWaiting) this.backlog.push(chunk);
    else this.scan(chunk);
  }

  /** The server owes nothing any more: go on with what had to wait. */
  goOn(): void {
    if (!this.isWaiting || this.exchange.cycles.length > (this.exchange.openBatch ? 1 : 0)) return;
    this.isWaiting = false;
    const chunks = this.backlog;
    this.backlog = [];
    for (const chunk of chunks) this.push(chunk);
    if (!this.isWaiting) this.exchange.add({ kind: "resumeClient" });
  }

  /** What comes up to the next Sync belongs to a batch whose error the client has; with Sync it hears `state`. */
  skipToSync(state: number): void {
    this.skipsToSync = state;
  }

  get skippedState(): number | undefined {
    return this.skipsToSync;
  }

  /** What has come and was not passed on, in order. */
  takeRest(): Buffer[] {
    const rest = [...this.scanner.takeKept(), ...this.backlog];
    this.backlog = [];
    this.isWaiting = false;
    return rest;
  }

  /** So many bytes of a message that was begun are still to come. */
  get missingBytes(): number {
    return this.scanner.missingBytes;
  }

  /** Between two messages, with nothing that waits. */
  get isAtBoundary(): boolean {
    return this.scanner.isAtBoundary && !this.isWaiting;
  }

  /** Forgets the bytes that it saw last; only at a boundary. */
  letGo(): void {
    this.scanner.letGo();
  }

  private scan(chunk: Buffer): void {
    const { scanner, exchange } = this;
    scanner.begin(chunk);
    let from = 0;
    let keptTo = 0;
    while (scanner.next()) {
      const { openedCount } = exchange;
      const verdict = this.onMessage();
      if (exchange.openedCount > openedCount) {
        exchange.journal.addBeforeLast(scanner.buffer.subarray(keptTo, scanner.start));
        keptTo = scanner.start;
      }
      if (verdict.kind === "wait") {
        exchange.journal.add(scanner.buffer.subarray(keptTo, scanner.start));
        this.forward(from, scanner.start);
        this.isWaiting = true;
        // A copy would be as large; the view pins one chunk, and the client is not read meanwhile.
        this.backlog.push(scanner.takeBack());
        exchange.add({ kind: "pauseClient" });
        return;
      }
      if (verdict.kind === "pass") continue;
      this.forward(from, scanner.start);
      from = scanner.start;
      if (verdict.bytes.length > 0) exchange.add({ kind: "toServer", bytes: verdict.bytes });
      if (verdict.kind === "replace") from = scanner.end;
      if (verdict === dropped) {
        exchange.journal.add(scanner.buffer.subarray(keptTo, scanner.start));
        keptTo = scanner.end;
      }
    }
    exchange.journal.add(scanner.buffer.subarray(keptTo, Math.max(keptTo, scanner.forwardEnd)));
    this.forward(from, scanner.forwardEnd);
  }

  private onMessage(): Verdict {
    const { scanner, skipsToSync } = this;
    if (skipsToSync === undefined) return this.messages.next();
    if (scanner.type === frontend.terminate) this.exchange.hasTerminated = true;
    else if (scanner.type === frontend.sync) {
      this.skipsToSync = undefined;
      this.exchange.tellAside(encodeReadyForQuery(skipsToSync));
    }
    return dropped;
  }

  private forward(from: number, to: number): void {
    if (to <= from) return;
    const { buffer } = this.scanner;
    const bytes = from === 0 && to === buffer.length ? buffer : buffer.subarray(from, to);
    this.exchange.add({ kind: "toServer", bytes });
  }
}
