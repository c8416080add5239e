import { SleepWatch } from "../base/sleep-watch.ts";

/** How long a look for a sleep of the machine counts: looking costs more than a statement's gate may. */
const lookEveryMs = 100;

/**
 * A proxy's side of the lease gate (quorum-protocol.md, 14): until when results of one writer may go out. It knows
 * times that it is told and nothing else: whether it is open is found out at the moment of release, never by a timer.
 */
export class LeaseGate {
  private untilMs = Number.NEGATIVE_INFINITY;
  /** Leases that were asked for before this are void. */
  private voidBeforeMs = Number.NEGATIVE_INFINITY;
  private lookAtMs: number;
  private readonly watch: SleepWatch;

  constructor(nowMs: number, awakeOrAsleepMs: number) {
    this.watch = new SleepWatch(nowMs, awakeOrAsleepMs);
    this.lookAtMs = nowMs + lookEveryMs;
  }

  /** The writer's agent has answered a request of `askedAtMs`: valid for so long from then. It may be shorter than before. */
  extend(askedAtMs: number, validMs: number): void {
    this.untilMs = askedAtMs >= this.voidBeforeMs ? askedAtMs + validMs : Number.NEGATIVE_INFINITY;
  }

  /** This writer can have no lease any more. */
  close(): void {
    this.untilMs = Number.NEGATIVE_INFINITY;
    this.voidBeforeMs = Number.POSITIVE_INFINITY;
  }

  /** True: look() first, then ask isOpen(). */
  mustLook(nowMs: number): boolean {
    return nowMs >= this.lookAtMs;
  }

  /** A machine that slept has no lease (decisions.md D40). */
  look(nowMs: number, awakeOrAsleepMs: number): void {
    this.lookAtMs = nowMs + lookEveryMs;
    if (!this.watch.look(nowMs, awakeOrAsleepMs)) return;
    this.untilMs = Number.NEGATIVE_INFINITY;
    this.voidBeforeMs = Math.max(this.voidBeforeMs, nowMs);
  }

  /** Whether a result that has arrived may be released now. */
  isOpen(nowMs: number): boolean {
    return nowMs < this.untilMs;
  }
}

/**
 * A proxy's side of the round gate: each statement gets a ticket when it arrives, and its result goes out when a round
 * that was asked for after that is confirmed. One round serves all who wait for it.
 */
export class RoundGate {
  private lastTicket = 0;
  private confirmed = 0;

  /** A statement has arrived. */
  arrive(): number {
    return ++this.lastTicket;
  }

  /** Whom a round asked for now serves; undefined: nobody waits. */
  ticketToAsk(): number | undefined {
    return this.lastTicket > this.confirmed ? this.lastTicket : undefined;
  }

  /** The round that was asked for `ticket` is confirmed. */
  confirm(ticket: number): void {
    this.confirmed = Math.max(this.confirmed, ticket);
  }

  isOpen(ticket: number): boolean {
    return ticket <= this.confirmed;
  }
}
