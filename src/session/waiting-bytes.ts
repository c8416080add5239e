import { frontend } from "../wire/index.ts";

/** What a client may send while it has no server, before it is read no more. */
const waitingBytesMax = 256 * 1024;

/** What a client has sent since its server was lost, in order. */
export class WaitingBytes {
  private parts: Buffer[] = [];
  private sizeBytes = 0;
  private skippedBytes = 0;

  get isEmpty(): boolean {
    return this.parts.length === 0 && this.skippedBytes === 0;
  }

  /** full: with this chunk, it is to be read no more. */
  add(chunk: Buffer): "full" | undefined {
    const wasFull = this.sizeBytes > waitingBytesMax;
    this.parts.push(chunk);
    this.sizeBytes += chunk.length;
    return !wasFull && this.sizeBytes > waitingBytesMax ? "full" : undefined;
  }

  /** The first message that waits is a simple Query, or a Parse of the unnamed statement. */
  get replacesUnnamed(): boolean {
    const [first] = this.parts;
    if (!first) return false;
    // Behind the type and the length stands the name.
    return first[0] === frontend.query || (first[0] === frontend.parse && first[5] === 0);
  }

  /** All of it, without its first `skippedBytes`: the rest of a message that was given up. What is not here yet follows. */
  takeAll(skippedBytes: number): Buffer[] {
    const { parts } = this;
    this.parts = [];
    this.sizeBytes = 0;
    this.skippedBytes = skippedBytes;
    return parts.map((part) => this.withoutSkipped(part)).filter(({ length }) => length > 0);
  }

  /** `chunk`, which comes while there is a server again, without what still belongs to that message. */
  withoutSkipped(chunk: Buffer): Buffer {
    if (this.skippedBytes === 0) return chunk;
    const skipped = Math.min(this.skippedBytes, chunk.length);
    this.skippedBytes -= skipped;
    return chunk.subarray(skipped);
  }
}
