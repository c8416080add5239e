/** Parts of an object on their way to the disk, in order. */
export class PartQueue {
  private readonly release: (bytes: number) => void;
  private parts: Uint8Array[] = [];
  private atWorkBytes = 0;
  private isOpen = true;
  private wake: (() => void) | undefined;

  /** `release` hears of bytes that need no memory any more. */
  constructor(release: (bytes: number) => void) {
    this.release = release;
  }

  push(part: Uint8Array): void {
    if (!this.isOpen) return this.release(part.length);
    this.parts.push(part);
    this.wake?.();
  }

  /** The next part, when it is there; undefined: the queue was closed. What it gave before is done with. */
  async next(): Promise<Uint8Array | undefined> {
    this.finishLast();
    while (this.isOpen && this.parts.length === 0) {
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
    const part = this.parts.shift();
    this.atWorkBytes = part?.length ?? 0;
    return part;
  }

  /** Nobody takes any more: what is here, and what still comes, is dropped. */
  close(): void {
    this.isOpen = false;
    this.finishLast();
    for (const part of this.parts.splice(0)) this.release(part.length);
    this.wake?.();
  }

  private finishLast(): void {
    if (this.atWorkBytes > 0) this.release(this.atWorkBytes);
    this.atWorkBytes = 0;
  }
}
