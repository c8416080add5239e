/** States as rows of small integers, each once, in the order in which they were found. */
export class StateTable {
  private readonly width: number;
  private rows: Int32Array;
  /** Row by row: the row that it was found from, and by which event. */
  private parents: Int32Array;
  private events: Int32Array;
  private slots: Int32Array;
  private rowCount = 0;

  constructor(width: number) {
    this.width = width;
    const first = 1 << 12;
    this.rows = new Int32Array(first * width);
    this.parents = new Int32Array(first);
    this.events = new Int32Array(first);
    this.slots = new Int32Array(first * 2);
  }

  get count(): number {
    return this.rowCount;
  }

  parentOf(row: number): number {
    return this.parents[row] ?? -1;
  }
  eventOf(row: number): number {
    return this.events[row] ?? 0;
  }
  read(row: number, into: Int32Array): void {
    const at = row * this.width;
    for (let i = 0; i < this.width; i++) into[i] = this.rows[at + i] ?? 0;
  }

  /** True if the row is new; it is then the last one. */
  add(row: Int32Array, parent: number, event: number): boolean {
    const { slots, width } = this;
    const mask = slots.length - 1;
    let slot = hashOf(row, width) & mask;
    for (let found = slots[slot] ?? 0; found !== 0; found = slots[slot] ?? 0) {
      if (this.isRow(found - 1, row)) return false;
      slot = (slot + 1) & mask;
    }
    if (this.rowCount === this.parents.length) this.grow();
    const index = this.rowCount++;
    for (let i = 0; i < width; i++) this.rows[index * width + i] = row[i] ?? 0;
    this.parents[index] = parent;
    this.events[index] = event;
    slots[slot] = index + 1;
    if (this.rowCount * 2 > slots.length) this.rehash();
    return true;
  }

  private isRow(index: number, row: Int32Array): boolean {
    const { rows, width } = this;
    const at = index * width;
    for (let i = 0; i < width; i++) if (rows[at + i] !== row[i]) return false;
    return true;
  }

  private grow(): void {
    this.rows = doubled(this.rows);
    this.parents = doubled(this.parents);
    this.events = doubled(this.events);
  }

  private rehash(): void {
    const { width } = this;
    const slots = new Int32Array(this.slots.length * 2);
    const mask = slots.length - 1;
    const row = new Int32Array(width);
    for (let index = 0; index < this.rowCount; index++) {
      this.read(index, row);
      let slot = hashOf(row, width) & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = index + 1;
    }
    this.slots = slots;
  }
}

function hashOf(row: Int32Array, width: number): number {
  let hash = 0;
  for (let i = 0; i < width; i++) {
    hash = Math.imul(hash ^ (row[i] ?? 0), 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  return hash >>> 0;
}

function doubled(array: Int32Array): Int32Array {
  const next = new Int32Array(array.length * 2);
  next.set(array);
  return next;
}
