import { assert } from "../base/assert.ts";
import { crc32c } from "../base/crc32c.ts";
import type { Epoch, Timeline } from "../base/ids.ts";
import { advance, type Lsn } from "../base/lsn.ts";
import { encodeFrameHeader, frameHeaderBytes, isRunOfZeros } from "./frame.ts";

/** Log to be framed: contiguous with what the batch holds already. */
export interface NewFrame {
  readonly epoch: Epoch;
  readonly timeline: Timeline;
  readonly payload: Buffer;
  /** crc32c of the payload, if it is known. */
  readonly payloadCrc?: number;
}

/**
 * Frames lined up for one write. The buffer may be the one that the payloads lie in: a message's header is longer
 * than a frame's, so each payload moves to the left or stays, and most batches are one frame that needs no move.
 */
export class FrameBatch {
  private readonly buffer: Buffer;
  private start = 0;
  private at = 0;
  private end: Lsn;
  private scl: Lsn;

  constructor(buffer: Buffer, scl: Lsn) {
    this.buffer = buffer;
    this.scl = scl;
    this.end = scl;
  }

  /** Empties the batch. Frames are laid down from `start` on; the log ends at `scl`. */
  begin(scl: Lsn, start = 0): void {
    this.start = start;
    this.at = start;
    this.scl = scl;
    this.end = scl;
  }

  /** End of the log once the batch is written. */
  get endLsn(): Lsn {
    return this.end;
  }
  get sizeBytes(): number {
    return this.at - this.start;
  }
  /** What to write; borrowed until the next `begin`. */
  get bytes(): Buffer {
    return this.buffer.subarray(this.start, this.at);
  }
  hasRoomFor(payloadBytes: number): boolean {
    return this.at + frameHeaderBytes + payloadBytes <= this.buffer.length;
  }

  add(frame: NewFrame): void {
    const { payload } = frame;
    assert(this.hasRoomFor(payload.length), "a frame goes only where it has room");
    const isZeros = isRunOfZeros(payload);
    const payloadCrc = isZeros ? 0 : (frame.payloadCrc ?? crc32c(payload));
    const payloadAt = this.at + frameHeaderBytes;
    // A payload in the same buffer lies here or to the right, so this never runs over what is still to be moved.
    if (!isZeros) this.buffer.set(payload, payloadAt);
    encodeFrameHeader(this.buffer, this.at, {
      lsn: this.end,
      epoch: frame.epoch,
      timeline: frame.timeline,
      lengthBytes: payload.length,
      isZeros,
      sclAtWrite: this.scl,
      payloadCrc,
    });
    this.at = payloadAt + (isZeros ? 0 : payload.length);
    this.end = advance(this.end, payload.length);
  }
}
