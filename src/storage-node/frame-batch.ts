import { assert } from "../base/assert.ts";
import type { Epoch, Timeline } from "../base/ids.ts";
import { advance, type Lsn } from "../base/lsn.ts";
import {
  beginFrameHeader,
  finishFrameHeader,
  frameHeaderBytes,
  isRunOfZeros,
  payloadCrcOf,
} from "./frame.ts";
import { type FrameSealer, sealFrame } from "./frame-cipher.ts";

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
  private readonly sealer: FrameSealer;
  private start = 0;
  private at = 0;
  private end: Lsn;
  private scl: Lsn;

  constructor(buffer: Buffer, scl: Lsn, sealer: FrameSealer) {
    this.buffer = buffer;
    this.sealer = sealer;
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
    const { buffer, at } = this;
    assert(this.hasRoomFor(payload.length), "a frame goes only where it has room");
    const isZeros = isRunOfZeros(payload);
    const stored = isZeros ? payload.subarray(0, 0) : payload;
    const payloadAt = at + frameHeaderBytes;
    const key = this.sealer.current();
    const keyId = key?.id ?? 0;
    // A payload in the same buffer lies here or to the right, so this never runs over what is still to be moved.
    if (!key) buffer.set(stored, payloadAt);
    beginFrameHeader(buffer, at, {
      lsn: this.end,
      epoch: frame.epoch,
      timeline: frame.timeline,
      lengthBytes: payload.length,
      isZeros,
      sclAtWrite: this.scl,
      keyId,
    });
    this.at = payloadAt + stored.length;
    if (key) sealFrame(buffer, at, stored, key);
    const known = key || isZeros ? undefined : frame.payloadCrc;
    finishFrameHeader(buffer, at, known ?? payloadCrcOf(keyId, buffer, payloadAt, this.at));
    this.end = advance(this.end, payload.length);
  }
}
