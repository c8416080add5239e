import type { Clock, Timer } from "../io/index.ts";
import type { Target } from "./topology.ts";

/**
 * Whether what one life of a writer says may be told (quorum-protocol.md, 14): it may have been fenced without knowing
 * it, and its answers be stale.
 */
export interface ReadGate {
  /** A statement has arrived: what is told for it passes with this ticket, or with a later one. */
  arrive(): number;
  /** To be asked after the result has arrived, directly before it is told. */
  isOpen(ticket: number): boolean;
  /** Calls `fn` once when the gate may have opened: ask isOpen() then. Until the returned function is called. */
  onceMoved(fn: () => void): () => void;
}

export interface ReadGates {
  /** Undefined: no gate. Readers show what is durable, and nothing else is promised of them. */
  find(target: Target): ReadGate | undefined;
}

/**
 * What a backend has said while its gate was closed: not yet looked at. Bounded, since the backend is not read
 * meanwhile.
 */
export class HeldOutput {
  private readonly gate: ReadGate;
  private readonly clock: Clock;
  private readonly holdTimeoutMs: number;
  private readonly onOpen: (chunk: Buffer) => void;
  private readonly onExpired: () => void;
  /** Of the last statement that arrived. */
  private ticket = 0;
  private chunks: Buffer[] = [];
  private heldTicket = 0;
  private timer: Timer | undefined;
  private stopWatching: (() => void) | undefined;

  constructor(options: {
    readonly gate: ReadGate;
    readonly clock: Clock;
    readonly holdTimeoutMs: number;
    readonly onOpen: (chunk: Buffer) => void;
    /** Held for too long; nothing more comes out. */
    readonly onExpired: () => void;
  }) {
    this.gate = options.gate;
    this.clock = options.clock;
    this.holdTimeoutMs = options.holdTimeoutMs;
    this.onOpen = options.onOpen;
    this.onExpired = options.onExpired;
  }

  /** The backend must not be read. */
  get isHolding(): boolean {
    return this.chunks.length > 0;
  }

  noteStatement(): void {
    this.ticket = this.gate.arrive();
  }

  /** True: tell it now. False: it is held, and comes to onOpen later. */
  admits(chunk: Buffer): boolean {
    if (this.chunks.length === 0 && this.gate.isOpen(this.ticket)) return true;
    this.hold(chunk);
    return false;
  }

  /** Gives back what is held; nothing comes to onOpen any more. */
  drop(): Buffer[] {
    const { chunks } = this;
    this.chunks = [];
    this.timer?.cancel();
    this.timer = undefined;
    this.stopWatching?.();
    this.stopWatching = undefined;
    return chunks;
  }

  private hold(chunk: Buffer): void {
    this.chunks.push(chunk);
    if (this.chunks.length > 1) return;
    // Statements that arrive from now on are answered later: what is held does not wait for them.
    this.heldTicket = this.ticket;
    this.timer = this.clock.after(this.holdTimeoutMs, () => {
      this.drop();
      this.onExpired();
    });
    this.look();
  }

  private look(): void {
    if (this.chunks.length === 0) return;
    if (!this.gate.isOpen(this.heldTicket)) {
      this.stopWatching = this.gate.onceMoved(() => this.look());
      return;
    }
    for (const chunk of this.drop()) this.onOpen(chunk);
  }
}
