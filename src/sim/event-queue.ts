import { Dice, hashOf } from "./dice.ts";

/** Something that will happen. Its name is stable: channel and number in that channel, not a place in a list. */
export interface SimEvent {
  readonly dueMs: number;
  readonly order: number;
  readonly channel: string;
  /** Of the channel's name. */
  readonly hash: number;
  readonly count: number;
  readonly run: (dice: Dice) => void;
  /** Instead of `run` while a failure is shrunk: a timer starts again, a message is lost. */
  readonly drop: (() => void) | undefined;
}

export function nameOf(event: SimEvent): string {
  return `${event.channel}#${event.count}`;
}

interface Channel {
  readonly hash: number;
  /** How many events it has had. */
  count: number;
}

/** What will happen, by virtual time; nothing here ever sleeps. */
export class EventQueue {
  nowMs = 0;
  private readonly seed: number;
  private readonly heap: SimEvent[] = [];
  private readonly channels = new Map<string, Channel>();
  private order = 0;

  constructor(seed: number) {
    this.seed = seed;
  }

  get size(): number {
    return this.heap.length;
  }

  /** Dice of the next event of this channel: what its sender decides about it. */
  diceFor(name: string): Dice {
    const { hash, count } = this.channelOf(name);
    return new Dice(this.seed, hash, count + 1);
  }

  after(ms: number, name: string, run: (dice: Dice) => void, drop?: () => void): void {
    const channel = this.channelOf(name);
    const count = ++channel.count;
    const { hash } = channel;
    const dueMs = this.nowMs + ms;
    this.push({ dueMs, order: this.order++, channel: name, hash, count, run, drop });
  }

  private channelOf(name: string): Channel {
    const known = this.channels.get(name);
    if (known) return known;
    const channel = { hash: hashOf(name), count: 0 };
    this.channels.set(name, channel);
    return channel;
  }

  /** The next event; time goes on to it. */
  pop(): SimEvent | undefined {
    const { heap } = this;
    const [first] = heap;
    const last = heap.pop();
    if (!first || !last) return undefined;
    if (heap.length > 0) {
      heap[0] = last;
      this.sink();
    }
    this.nowMs = Math.max(this.nowMs, first.dueMs);
    return first;
  }

  diceAt(event: SimEvent): Dice {
    return new Dice(this.seed ^ 0x5bd1e995, event.hash, event.count);
  }

  private push(event: SimEvent): void {
    const { heap } = this;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const up = (at - 1) >> 1;
      const parent = heap[up];
      if (!parent || !isBefore(event, parent)) break;
      heap[at] = parent;
      at = up;
    }
    heap[at] = event;
  }

  private sink(): void {
    const { heap } = this;
    const [event] = heap;
    if (!event) return;
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      const a = heap[left];
      const b = heap[left + 1];
      if (!a) break;
      const [child, index] = b && isBefore(b, a) ? [b, left + 1] : [a, left];
      if (!isBefore(child, event)) break;
      heap[at] = child;
      at = index;
    }
    heap[at] = event;
  }
}

function isBefore(a: SimEvent, b: SimEvent): boolean {
  return a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.order < b.order);
}
