/**
 * A file `INCREMENTAL.<name>` of an incremental base backup (PostgreSQL 17 and later, basebackup_incremental.c), numbers
 * little-endian:
 *
 *     offset  size
 *          0     4  magic d3ae1f0d
 *          4     4  count of blocks
 *          8     4  truncation block length: so many blocks of the older file may be taken over
 *         12   4·n  their numbers in the segment, rising
 *          .     .  zeros up to a multiple of 8192, if there are blocks
 *          .     .  the blocks
 */
import { BorealisError, sqlState } from "../base/errors.ts";

export const blockBytes = 8192;
/** Blocks of a relation's segment: 1 GiB. */
const blocksMax = 131_072;
const magic = 0xd3ae_1f0d;
const headBytes = 12;
const incrementalPrefix = "INCREMENTAL.";

/** The file that an incremental one changes; undefined: it is a whole one. */
export function findIncrementalTarget(name: string): string | undefined {
  const slash = name.lastIndexOf("/") + 1;
  if (!name.startsWith(incrementalPrefix, slash)) return undefined;
  return name.slice(0, slash) + name.slice(slash + incrementalPrefix.length);
}

export interface IncrementalBlock {
  readonly number: number;
  /** Borrowed until the next call. */
  readonly bytes: Buffer;
}

/** Takes such a file as it comes, in pieces of any size. Raises BorealisError XX001 for what is none. */
export class IncrementalFile {
  private readonly name: string;
  private readonly sizeBytes: number;
  private head: Buffer = Buffer.alloc(headBytes);
  private headFill = 0;
  private numbers: number[] | undefined;
  private truncationBlocks = 0;
  private paddingRest = 0;
  private readonly block = Buffer.alloc(blockBytes);
  private blockFill = 0;
  private taken = 0;

  constructor(name: string, sizeBytes: number) {
    this.name = name;
    this.sizeBytes = sizeBytes;
  }

  /** How much of the older file may be taken over, in bytes; known at the end. */
  get keepBytes(): number {
    return this.truncationBlocks * blockBytes;
  }

  *push(bytes: Buffer): Generator<IncrementalBlock> {
    for (let at = 0; at < bytes.length;) {
      if (!this.numbers) {
        at += this.takeHead(bytes.subarray(at));
        continue;
      }
      if (this.paddingRest > 0) {
        const used = Math.min(this.paddingRest, bytes.length - at);
        this.paddingRest -= used;
        at += used;
        continue;
      }
      const used = bytes.copy(this.block, this.blockFill, at);
      this.blockFill += used;
      at += used;
      if (this.blockFill < blockBytes) continue;
      this.blockFill = 0;
      const number = this.numbers[this.taken++];
      if (number === undefined) throw this.damaged("it has more blocks than it says");
      yield { number, bytes: this.block };
    }
  }

  /** Raises unless all of it came. */
  end(): void {
    if (!this.numbers || this.taken !== this.numbers.length || this.blockFill > 0)
      throw this.damaged("it was cut off");
  }

  private takeHead(bytes: Buffer): number {
    const used = bytes.copy(this.head, this.headFill);
    this.headFill += used;
    if (this.headFill < this.head.length) return used;
    const count = this.head.readUInt32LE(4);
    if (this.head.length === headBytes) {
      if (this.head.readUInt32LE(0) !== magic) throw this.damaged("it has another magic number");
      if (count > blocksMax) throw this.damaged(`it claims ${count} blocks`);
      this.truncationBlocks = this.head.readUInt32LE(8);
      if (this.truncationBlocks > blocksMax)
        throw this.damaged(`it claims a length of ${this.truncationBlocks} blocks`);
      const wholeBytes = headBytes + 4 * count;
      this.paddingRest = count > 0 ? -wholeBytes & (blockBytes - 1) : 0;
      if (wholeBytes + this.paddingRest + count * blockBytes !== this.sizeBytes)
        throw this.damaged(`it claims ${count} blocks in ${this.sizeBytes} bytes`);
      if (count > 0) {
        this.head = Buffer.concat([this.head, Buffer.alloc(4 * count)]);
        return used;
      }
    }
    this.numbers = this.numbersOf(count);
    return used;
  }

  private numbersOf(count: number): number[] {
    const numbers: number[] = [];
    let before = -1;
    for (let i = 0; i < count; i++) {
      const number = this.head.readUInt32LE(headBytes + 4 * i);
      if (number <= before || number >= blocksMax) throw this.damaged(`block ${number} in it`);
      numbers.push(number);
      before = number;
    }
    return numbers;
  }

  private damaged(why: string): BorealisError {
    const message = `an incremental backup cannot be used: ${this.name}: ${why}`;
    return new BorealisError(sqlState.dataCorrupted, message);
  }
}
