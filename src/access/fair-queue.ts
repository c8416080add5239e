import { Deque } from "../base/deque.ts";

/** What waits for something, of many addresses: they take turns, however much of one of them waits. */
export class FairQueue<T> {
  /** In the order of their turns. */
  private readonly lines = new Map<string, Deque<T>>();

  push(address: string, item: T): void {
    let line = this.lines.get(address);
    if (!line) {
      line = new Deque();
      this.lines.set(address, line);
    }
    line.pushBack(item);
  }

  /** The oldest of whose turn it is; undefined: nobody waits. */
  take(): T | undefined {
    for (const [address, line] of this.lines) {
      const item = line.popFront();
      this.lines.delete(address);
      if (line.length > 0) this.lines.set(address, line);
      return item;
    }
    return undefined;
  }
}
