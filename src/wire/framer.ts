import { ProtocolViolation } from "../base/errors.ts";

/** PostgreSQL's own MAX_STARTUP_PACKET_LENGTH. */
export const startupBytesMax = 10_000;
/** Nothing that a client sends before it is authenticated needs more. */
export const loginBytesMax = 64 * 1024;
/** PostgreSQL's own limit of a message body (1 GiB - 1). */
export const messageBytesMax = 0x3fff_ffff;

/**
 * What a scanner asks of its reader: how many bytes of a message (type byte and length word included) must lie in one
 * piece before it is presented. Raises ProtocolViolation for a type or length that cannot be.
 */
export type HeadPolicy = (type: number, totalBytes: number) => number;

const headerBytes = 5;
const looseChunksMax = 64;

/**
 * Walks the message headers of one direction without decoding or collecting bodies. Per chunk: `begin(chunk)`, then
 * `next()` until it says false; between the calls `type`, `start` and `end` describe the message at hand, in
 * `buffer`. `end` lies beyond the buffer for a message whose body goes on in later chunks: those bytes are skipped
 * by themselves. What was cut off before its head was complete is kept, bounded by the policy, and comes back in
 * front of the next chunk; `forwardEnd` is where it starts.
 */
export class MessageScanner {
  buffer: Buffer = Buffer.alloc(0);
  type = 0;
  start = 0;
  end = 0;
  private at = 0;
  private bodyLeftBytes = 0;
  private kept: Buffer[] = [];
  private keptBytes = 0;
  /** The last of `kept`, which were not put together yet. */
  private looseChunks = 0;
  private neededBytes = headerBytes;
  private tailStart = 0;
  private readonly headOf: HeadPolicy;

  constructor(headOf: HeadPolicy) {
    this.headOf = headOf;
  }

  /** Up to here the buffer may be passed on; valid once `next` has said false. */
  get forwardEnd(): number {
    return this.tailStart;
  }

  /** True between messages: nothing is cut off and no body is under way. */
  get isAtBoundary(): boolean {
    return this.keptBytes === 0 && this.bodyLeftBytes === 0;
  }

  begin(chunk: Buffer): void {
    this.buffer = chunk;
    if (this.keptBytes > 0) {
      this.keepMore(chunk);
      // Joined only when enough is there, so that a head that arrives byte by byte is not copied at each byte.
      this.buffer = this.keptBytes < this.neededBytes ? nothing : Buffer.concat(this.kept);
      if (this.buffer !== nothing) this.dropKept();
    }
    this.at = Math.min(this.bodyLeftBytes, this.buffer.length);
    this.bodyLeftBytes -= this.at;
    this.tailStart = this.buffer.length;
  }

  next(): boolean {
    const { buffer, at } = this;
    const availableBytes = buffer.length - at;
    if (availableBytes === 0) return false;
    if (availableBytes < headerBytes) return this.keep(headerBytes);
    const type = buffer[at] ?? 0;
    const length = buffer.readUInt32BE(at + 1);
    if (length < 4) throw new ProtocolViolation("invalid message length");
    const totalBytes = length + 1;
    const head = this.headOf(type, totalBytes);
    if (availableBytes < head) return this.keep(head);
    this.type = type;
    this.start = at;
    this.end = at + totalBytes;
    this.at = Math.min(this.end, buffer.length);
    this.bodyLeftBytes = this.end - this.at;
    return true;
  }

  /** Stops before the message at hand: everything from its start on, to be given to `begin` again later. */
  takeBack(): Buffer {
    const rest = this.buffer.subarray(this.start);
    this.bodyLeftBytes = 0;
    this.at = this.buffer.length;
    this.tailStart = this.start;
    return rest;
  }

  /** Forgets the last chunk, which the buffer would keep alive; only at a boundary. */
  letGo(): void {
    this.buffer = nothing;
  }

  /** What was cut off before its head was complete. */
  takeKept(): Buffer[] {
    const { kept } = this;
    this.dropKept();
    return kept;
  }

  /** Of the body that is under way, so much is still to come. */
  get missingBytes(): number {
    return this.bodyLeftBytes;
  }

  private keep(neededBytes: number): false {
    // A copy: the view would pin its whole chunk for as long as the peer leaves the message unfinished.
    this.kept = [Buffer.from(this.buffer.subarray(this.at))];
    this.looseChunks = 0;
    this.keptBytes = this.buffer.length - this.at;
    this.neededBytes = neededBytes;
    this.tailStart = this.at;
    this.at = this.buffer.length;
    return false;
  }

  /** A peer may send byte by byte, and each chunk alone is some hundred bytes: so many of them become one. */
  private keepMore(chunk: Buffer): void {
    this.kept.push(chunk);
    this.keptBytes += chunk.length;
    if (++this.looseChunks < looseChunksMax) return;
    this.kept.push(Buffer.concat(this.kept.splice(-looseChunksMax)));
    this.looseChunks = 0;
  }

  private dropKept(): void {
    this.kept = [];
    this.looseChunks = 0;
    this.keptBytes = 0;
  }
}

const nothing = Buffer.alloc(0);
