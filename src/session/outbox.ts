import type { Exchange } from "./exchange.ts";

/** Held completions are some dozen bytes each; notices and rows of a long Query behind them are let go in pieces. */
export const heldBytesMax = 64 * 1024;
/** Of a server that is lost, more than this is not kept: what it is the answer to has to do without. */
const drainedBytesMax = 1024 * 1024;

/** What is on its way from the server to the client: told, or held until more is known. */
export class Outbox {
  private readonly exchange: Exchange;
  private held: Buffer[] = [];
  private completionAt: number | undefined;
  heldBytes = 0;
  /** The server is lost: what is held may never be told. */
  isDraining = false;
  /** ... and was too much to be kept. */
  hasOverflowed = false;
  /** From here on what comes is held. */
  isCollecting = false;

  constructor(exchange: Exchange) {
    this.exchange = exchange;
  }

  put(bytes: Buffer, isHeld: boolean): void {
    if (!isHeld) {
      this.exchange.tell(bytes);
      return;
    }
    if (this.hasOverflowed) return;
    this.held.push(bytes);
    this.heldBytes += bytes.length;
    if (this.heldBytes > drainedBytesMax && this.isDraining) {
      this.hasOverflowed = true;
      this.held = [];
    }
  }

  /** What is put from here on is told only if the commit succeeds. */
  markCompletion(): void {
    this.completionAt ??= this.held.length;
  }

  /** What is held is told, but for the completion: it is told behind what came after it, where PostgreSQL has it, too. */
  letGoAroundCompletion(): void {
    if (this.completionAt === undefined) return;
    const [completion] = this.held.splice(this.completionAt, 1);
    this.letGo();
    if (!completion) return;
    this.markCompletion();
    this.put(completion, true);
  }

  /** ... and it has not. */
  dropCompletion(): void {
    if (this.completionAt === undefined) return;
    // What came behind it stays: notices, and the beginning of one that goes on in what comes next.
    const [dropped] = this.held.splice(this.completionAt, 1);
    this.heldBytes -= dropped?.length ?? 0;
    this.completionAt = undefined;
  }

  /** Nothing that is held will be told. */
  drop(): void {
    this.held = [];
    this.heldBytes = 0;
    this.completionAt = undefined;
  }

  letGo(): void {
    const { held } = this;
    this.completionAt = undefined;
    if (held.length === 0) return;
    this.held = [];
    this.heldBytes = 0;
    for (const bytes of held) this.exchange.tell(bytes);
  }
}
