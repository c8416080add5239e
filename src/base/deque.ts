/** A queue with cheap ends: a ring that doubles when full. */
export class Deque<T> {
  private slots: (T | undefined)[] = Array.from({ length: 16 });
  private head = 0;
  private count = 0;

  get length(): number {
    return this.count;
  }

  pushBack(item: T): void {
    if (this.count === this.slots.length) this.grow();
    this.slots[(this.head + this.count) & (this.slots.length - 1)] = item;
    this.count++;
  }

  pushFront(item: T): void {
    if (this.count === this.slots.length) this.grow();
    this.head = (this.head - 1) & (this.slots.length - 1);
    this.slots[this.head] = item;
    this.count++;
  }

  popFront(): T | undefined {
    if (this.count === 0) return undefined;
    const item = this.slots[this.head];
    this.slots[this.head] = undefined;
    this.head = (this.head + 1) & (this.slots.length - 1);
    this.count--;
    return item;
  }

  front(): T | undefined {
    return this.count === 0 ? undefined : this.slots[this.head];
  }

  at(index: number): T | undefined {
    return index < this.count
      ? this.slots[(this.head + index) & (this.slots.length - 1)]
      : undefined;
  }

  back(): T | undefined {
    return this.at(this.count - 1);
  }

  clear(): void {
    this.slots = Array.from({ length: 16 });
    this.head = 0;
    this.count = 0;
  }

  private grow(): void {
    const items = this.slots.slice(this.head).concat(this.slots.slice(0, this.head));
    this.slots = items.concat(Array.from({ length: items.length }));
    this.head = 0;
  }
}
