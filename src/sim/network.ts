import { ProtocolViolation } from "../base/errors.ts";
import { decodeMessage, type ReceivedMessage } from "../quorum/index.ts";
import type { Counters } from "./counters.ts";
import type { EventQueue } from "./event-queue.ts";
import { SimFailure } from "./failure.ts";

/** Probabilities of what happens to one message. */
export interface NetworkFaults {
  readonly drop: number;
  readonly double: number;
  readonly corrupt: number;
  /** A message that takes very long, and so arrives after later ones. */
  readonly straggle: number;
}

export const noNetworkFaults: NetworkFaults = { drop: 0, double: 0, corrupt: 0, straggle: 0 };

export type Receive = (from: string, received: ReceivedMessage) => void;

const delayMs = { low: 0.2, high: 12, straggler: 2_500 };

/** Encoded messages between processes: lost, doubled, late, out of order, altered, or cut off one way. */
export class Network {
  faults: NetworkFaults = noNetworkFaults;
  private readonly queue: EventQueue;
  private readonly counters: Counters;
  private readonly receivers = new Map<string, Receive>();
  private readonly cut = new Set<string>();

  constructor(queue: EventQueue, counters: Counters) {
    this.queue = queue;
    this.counters = counters;
  }

  attach(name: string, receive: Receive): void {
    this.receivers.set(name, receive);
  }
  detach(name: string): void {
    this.receivers.delete(name);
  }

  /** One way; both ways are two calls. */
  partition(from: string, to: string): void {
    this.cut.add(`${from}>${to}`);
  }
  heal(): void {
    this.cut.clear();
  }
  isCut(from: string, to: string): boolean {
    return this.cut.has(`${from}>${to}`);
  }

  send(from: string, to: string, kind: string, bytes: Buffer): void {
    const channel = `${from}>${to} ${kind}`;
    const dice = this.queue.diceFor(channel);
    const { drop, double, corrupt, straggle } = this.faults;
    const roll = dice.next();
    if (roll < drop) {
      this.counters.note("messages lost");
      return this.post(channel, -1, from, to, bytes);
    }
    const copies = dice.isBelow(double) ? 2 : 1;
    if (copies > 1) this.counters.note("messages doubled");
    for (let copy = 0; copy < copies; copy++) {
      const isLate = dice.isBelow(straggle);
      const ms = isLate
        ? dice.between(delayMs.high, delayMs.straggler)
        : dice.between(delayMs.low, delayMs.high);
      const isAltered = dice.isBelow(corrupt);
      this.post(
        channel,
        ms,
        from,
        to,
        isAltered ? altered(bytes, dice.below(bytes.length * 8)) : bytes,
      );
    }
  }

  /** A lost message (-1) still takes its number. */
  private post(channel: string, ms: number, from: string, to: string, bytes: Buffer): void {
    const run = ms < 0 ? () => undefined : () => this.deliver(from, to, bytes);
    this.queue.after(Math.max(0, ms), channel, run);
  }

  private deliver(from: string, to: string, bytes: Buffer): void {
    if (this.isCut(from, to)) return this.counters.note("messages cut off");
    const receive = this.receivers.get(to);
    if (!receive) return;
    let received: ReceivedMessage;
    try {
      received = decodeMessage(bytes);
    } catch (error) {
      if (!(error instanceof ProtocolViolation)) throw error;
      return this.counters.note("messages altered");
    }
    if (alteredBytes.has(bytes))
      throw new SimFailure("codec", "altered bytes were taken for a message");
    receive(from, received);
  }
}

const alteredBytes = new WeakSet<Buffer>();

function altered(bytes: Buffer, bit: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  alteredBytes.add(copy);
  return copy;
}
