import { ProtocolViolation } from "./errors.ts";
import { lsn, type Lsn } from "./lsn.ts";

function viewOf({ buffer, byteOffset, length }: Buffer): DataView {
  return new DataView(buffer, byteOffset, length);
}

/** Reads a view front to back; big-endian unless the name says so. Raises ProtocolViolation past its end. */
export class ByteReader {
  private readonly bytes: Buffer;
  /** Of the same bytes: Node's own u64 methods are several times slower than a DataView's. */
  private readonly words: DataView;
  private at = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
    this.words = viewOf(bytes);
  }

  get remainingBytes(): number {
    return this.bytes.length - this.at;
  }

  u8(): number {
    return this.bytes.readUInt8(this.take(1));
  }
  u16(): number {
    return this.bytes.readUInt16BE(this.take(2));
  }
  u32(): number {
    return this.bytes.readUInt32BE(this.take(4));
  }
  i32(): number {
    return this.bytes.readInt32BE(this.take(4));
  }
  u64(): bigint {
    return this.words.getBigUint64(this.take(8));
  }
  lsn(): Lsn {
    return lsn(this.u64());
  }

  /** A borrowed view of the next `length` bytes. */
  view(length: number): Buffer {
    const start = this.take(length);
    return this.bytes.subarray(start, start + length);
  }

  /** A borrowed view of all that is left. */
  rest(): Buffer {
    return this.view(this.remainingBytes);
  }

  /** Text up to a zero byte, which is consumed. */
  cString(): string {
    const end = this.bytes.indexOf(0, this.at);
    if (end < 0) throw new ProtocolViolation("string without its terminating zero");
    const text = this.bytes.toString("utf8", this.at, end);
    this.at = end + 1;
    return text;
  }

  /** Text with a u16 length before it. */
  shortString(): string {
    return this.view(this.u16()).toString("utf8");
  }

  /** Raises ProtocolViolation if bytes are left over. */
  end(): void {
    if (this.remainingBytes > 0)
      throw new ProtocolViolation(`${this.remainingBytes} bytes too many`);
  }

  private take(length: number): number {
    const start = this.at;
    if (length < 0 || length > this.bytes.length - start) {
      throw new ProtocolViolation(`needs ${length} bytes, has ${this.bytes.length - start}`);
    }
    this.at = start + length;
    return start;
  }
}

/** Grows as it is written; big-endian. */
export class ByteWriter {
  private bytes: Buffer;
  private words: DataView;
  private at = 0;

  constructor(sizeBytes = 256) {
    this.bytes = Buffer.allocUnsafe(sizeBytes);
    this.words = viewOf(this.bytes);
  }

  get lengthBytes(): number {
    return this.at;
  }

  u8(value: number): this {
    const at = this.room(1);
    this.bytes.writeUInt8(value, at);
    return this;
  }
  u16(value: number): this {
    const at = this.room(2);
    this.bytes.writeUInt16BE(value, at);
    return this;
  }
  u32(value: number): this {
    const at = this.room(4);
    this.bytes.writeUInt32BE(value, at);
    return this;
  }
  i32(value: number): this {
    const at = this.room(4);
    this.bytes.writeInt32BE(value, at);
    return this;
  }
  u64(value: bigint): this {
    const at = this.room(8);
    this.words.setBigUint64(at, value);
    return this;
  }
  raw(value: Uint8Array): this {
    const at = this.room(value.length);
    this.bytes.set(value, at);
    return this;
  }
  zeros(length: number): this {
    const start = this.room(length);
    this.bytes.fill(0, start, start + length);
    return this;
  }
  cString(text: string): this {
    return this.text(text).u8(0);
  }
  shortString(text: string): this {
    return this.u16(Buffer.byteLength(text)).text(text);
  }
  text(text: string): this {
    const start = this.room(Buffer.byteLength(text));
    this.bytes.write(text, start, "utf8");
    return this;
  }
  /** Overwrites a u32 written earlier: lengths are known last. */
  patchU32(at: number, value: number): this {
    this.bytes.writeUInt32BE(value, at);
    return this;
  }

  /** What was written so far; the writer must not be used after it. */
  finish(): Buffer {
    return this.bytes.subarray(0, this.at);
  }

  /** Where the next bytes go. It may replace `bytes`, so callers take it before they name the buffer. */
  private room(length: number): number {
    const start = this.at;
    if (start + length > this.bytes.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.bytes.length * 2, start + length));
      this.bytes.copy(grown, 0, 0, start);
      this.bytes = grown;
      this.words = viewOf(grown);
    }
    this.at = start + length;
    return start;
  }
}
