/**
 * A tar stream (ustar) as PostgreSQL's BASE_BACKUP sends it: 512-byte blocks, a header before each entry, contents
 * padded with zeros, two blocks of zeros at the end. Header fields that count, by offset: name 0 (100 bytes), size 124
 * (12; octal, or binary when the first bit is set), checksum 148 (8), type 156 (1), prefix 345 (155).
 *
 * What comes is not trusted: only files and directories, under relative names that go nowhere but down.
 */
import { BorealisError, sqlState } from "../base/errors.ts";

export type TarPart =
  | { readonly kind: "directory"; readonly name: string }
  | { readonly kind: "file"; readonly name: string; readonly sizeBytes: number }
  /** The next bytes of the file begun last; a view of what was pushed. */
  | { readonly kind: "bytes"; readonly bytes: Buffer }
  | { readonly kind: "fileEnd" };

const blockBytes = 512;
/** PostgreSQL's files are at most 1 GB; a base backup holds no bigger one. */
const fileBytesMax = 2 * 1024 * 1024 * 1024;

export class TarReader {
  private pending: Buffer = Buffer.alloc(0);
  private fileRest = 0;
  private paddingRest = 0;
  private zeroBlocks = 0;

  /** True after the two blocks of zeros: nothing was cut off. */
  get isComplete(): boolean {
    return this.zeroBlocks >= 2;
  }

  /** What `chunk` brings. Raises BorealisError XX001 on what no base backup holds. */
  push(chunk: Buffer): TarPart[] {
    const parts: TarPart[] = [];
    let rest = this.pending.length === 0 ? chunk : Buffer.concat([this.pending, chunk]);
    this.pending = Buffer.alloc(0);
    while (rest.length > 0) {
      const used = this.take(rest, parts);
      if (used === 0) {
        this.pending = Buffer.from(rest);
        break;
      }
      rest = rest.subarray(used);
    }
    return parts;
  }

  /** Bytes used; 0 if a header is not whole yet. */
  private take(bytes: Buffer, parts: TarPart[]): number {
    if (this.fileRest > 0) {
      const piece = bytes.subarray(0, this.fileRest);
      this.fileRest -= piece.length;
      parts.push({ kind: "bytes", bytes: piece });
      if (this.fileRest === 0) parts.push({ kind: "fileEnd" });
      return piece.length;
    }
    if (this.paddingRest > 0) {
      const used = Math.min(this.paddingRest, bytes.length);
      this.paddingRest -= used;
      return used;
    }
    if (bytes.length < blockBytes) return 0;
    this.header(bytes.subarray(0, blockBytes), parts);
    return blockBytes;
  }

  private header(block: Buffer, parts: TarPart[]): void {
    if (block.every((byte) => byte === 0)) {
      this.zeroBlocks++;
      return;
    }
    if (this.zeroBlocks > 0) throw damaged("it goes on behind its end");
    if (checksumOf(block) !== octal(block, 148, 8)) throw damaged("a header has a wrong checksum");
    const name = nameOf(block);
    const type = String.fromCharCode(block[156] ?? 0);
    const sizeBytes = sizeOf(block);
    if (type === "5") {
      if (sizeBytes !== 0) throw damaged(`directory "${name}" has contents`);
      parts.push({ kind: "directory", name });
      return;
    }
    if (type !== "0" && type !== "\0") throw damaged(`"${name}" is neither file nor directory`);
    parts.push({ kind: "file", name, sizeBytes });
    this.fileRest = sizeBytes;
    this.paddingRest = (blockBytes - (sizeBytes % blockBytes)) % blockBytes;
    if (sizeBytes === 0) parts.push({ kind: "fileEnd" });
  }
}

function nameOf(block: Buffer): string {
  const prefix = text(block, 345, 155);
  const whole = prefix === "" ? text(block, 0, 100) : `${prefix}/${text(block, 0, 100)}`;
  const name = whole.replace(/^\.\//, "").replace(/\/+$/, "");
  const steps = name.split("/");
  const isReadable = !/\p{Cc}|\uFFFD/u.test(name);
  if (!isReadable || steps.some((step) => step === "" || step === "." || step === "..")) {
    throw damaged(`"${name}" is no name of a file in a data directory`);
  }
  return name;
}

function sizeOf(block: Buffer): number {
  const isBinary = ((block[124] ?? 0) & 0x80) !== 0;
  const sizeBytes = isBinary ? Number(block.readBigUInt64BE(128)) : octal(block, 124, 12);
  if (!(sizeBytes >= 0 && sizeBytes <= fileBytesMax)) throw damaged(`a file of ${sizeBytes} bytes`);
  return sizeBytes;
}

/** The sum of the header's bytes, with its own field taken for blanks. */
function checksumOf(block: Buffer): number {
  let sum = 8 * 0x20;
  for (let at = 0; at < blockBytes; at++) if (at < 148 || at >= 156) sum += block[at] ?? 0;
  return sum;
}

function octal(block: Buffer, at: number, length: number): number {
  const digits = text(block, at, length).trim();
  if (!/^[0-7]+$/.test(digits)) throw damaged(`"${digits}" is no octal number`);
  return Number.parseInt(digits, 8);
}

function text(block: Buffer, at: number, length: number): string {
  const field = block.subarray(at, at + length);
  const end = field.indexOf(0);
  return field.toString("utf8", 0, end < 0 ? length : end);
}

function damaged(why: string): BorealisError {
  return new BorealisError(sqlState.dataCorrupted, `a base backup cannot be used: ${why}`);
}
