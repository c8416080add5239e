import zlib from "node:zlib";
import { BorealisError, sqlState } from "../base/errors.ts";
import type { Codec } from "./extent-format.ts";

/** Compresses off this thread's loop: Node does it in its pool. */
export interface Compression {
  /** What `pack` uses. */
  readonly codec: Codec;
  pack(plain: Uint8Array): Promise<Buffer>;
  /** Undefined: it is not what somebody packed, or not of this length. Raises 0A000 for a codec that this Node has not. */
  unpack(codec: Codec, packed: Buffer, plainBytes: number): Promise<Buffer | undefined>;
}

type Done = (error: Error | null, result: Buffer) => void;
type PackZstd = (bytes: Uint8Array, done: Done) => void;
type UnpackZstd = (
  bytes: Uint8Array,
  options: { maxOutputLength: number; chunkSize: number },
  done: Done,
) => void;

/** Since Node 22.15 and 23.8; the types that we build with are those of Node 20. */
const zstd = zlib as {
  zstdCompress?: PackZstd;
  zstdCompressSync?: (bytes: Uint8Array) => Buffer;
  zstdDecompress?: UnpackZstd;
};

/** Node goes to its pool once for each chunk of output: with its 16 KiB, unpacking a MiB takes four times the CPU. */
const chunkSize = 64 * 1024;

/** PostgreSQL's pages at level 1 are hardly bigger than at 6, in a fifth of the time. */
const level = 1;

/** What this Node does best: zstd where it has it, else deflate. */
export function bestCompression(): Compression {
  return zstd.zstdCompress ? withZstd : withDeflate;
}

/** As bestCompression does, in this thread, which waits. */
export function packHere(plain: Uint8Array): Buffer {
  return zstd.zstdCompressSync?.(plain) ?? zlib.deflateRawSync(plain, { level, chunkSize });
}

/** For peers that may be older. */
export const withDeflate: Compression = {
  codec: "deflate",
  pack: (plain) => called((done) => zlib.deflateRaw(plain, { level, chunkSize }, done)),
  unpack,
};

const withZstd: Compression = {
  codec: "zstd",
  pack: (plain) => called((done) => zstd.zstdCompress?.(plain, done)),
  unpack,
};

async function unpack(
  codec: Codec,
  packed: Buffer,
  plainBytes: number,
): Promise<Buffer | undefined> {
  if (codec === "none") return packed.length === plainBytes ? packed : undefined;
  // In one go, with room to see that it ends there.
  const limits = { maxOutputLength: Math.max(1, plainBytes), chunkSize: plainBytes + 64 };
  const { zstdDecompress } = zstd;
  if (codec === "zstd" && !zstdDecompress) throw noZstd();
  try {
    const plain = await called((done) => {
      if (codec === "deflate") zlib.inflateRaw(packed, limits, done);
      else zstdDecompress?.(packed, limits, done);
    });
    return plain.length === plainBytes ? plain : undefined;
  } catch {
    return undefined; // Node's word for what is no such stream, or is longer than it says
  }
}

function called(call: (done: Done) => void): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    call((error, result) => (error ? reject(error) : resolve(result)));
  });
}

function noZstd(): BorealisError {
  return new BorealisError(
    sqlState.notSupported,
    "an object of this volume is compressed with zstd, which this Node.js does not have",
    { hint: "run Borealis with Node.js 22.15 or newer, as the process that wrote it did" },
  );
}
