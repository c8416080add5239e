import { createCipheriv, createDecipheriv, createHmac } from "node:crypto";
import type { NodeId, VolumeId } from "../base/ids.ts";
import type { Lsn } from "../base/lsn.ts";
import type { Entropy } from "../io/index.ts";
import type { DataKeyId } from "../keys/index.ts";
import {
  encodeFileHeader,
  frameAt,
  frameHeaderBytes,
  frameNonceBytes,
  frameTagBytes,
} from "./frame.ts";

/**
 * How a frame is encrypted: AES-256-GCM over the payload, with the header up to and including the key id as
 * associated data, so that no frame can be given another LSN, epoch, timeline or length.
 *
 *     data key ── HMAC-SHA-256 over the file's header ──▶ file key ── random nonce ──▶ one frame
 *
 * A key for each file has two uses. A frame cannot be moved to another file, node or volume, since the header that
 * makes its key names all three. And random nonces stay safe however much is written: a key sees as many frames as a
 * file has room for (200,000 of 16 MiB), where 2^32 would be too many and six nodes that share one data key would get
 * there within days. A run of zeros stores nothing, and is authenticated all the same.
 */
const algorithm = "aes-256-gcm";
const keyLabel = Buffer.from("borealis frame key 1\0", "latin1");

/** The file that a frame lies in. */
export interface FrameFile {
  readonly volumeId: VolumeId;
  readonly nodeId: NodeId;
  readonly sequence: number;
  readonly firstLsn: Lsn;
}

/** What encrypts the frames of one file. */
export interface FrameKey {
  readonly id: DataKeyId;
  readonly secret: Buffer;
  /** A nonce that no other frame has; borrowed until the next call. */
  readonly nextNonce: () => Buffer;
}

/** Gives the key of frames that are laid down now; undefined: they are not encrypted. */
export interface FrameSealer {
  current(): FrameKey | undefined;
}

/** For volumes without encryption. */
export const plainSealer: FrameSealer = { current: () => undefined };

export function fileKey(dataKey: Buffer, file: FrameFile): Buffer {
  return createHmac("sha256", dataKey).update(keyLabel).update(encodeFileHeader(file)).digest();
}

/**
 * Encrypts `payload` (empty for a run of zeros) behind the frame head at `at`, which is written already, and puts
 * nonce and tag into it. The payload may lie where the result goes.
 */
export function sealFrame(into: Buffer, at: number, payload: Buffer, key: FrameKey): void {
  const nonce = key.nextNonce();
  const cipher = createCipheriv(algorithm, key.secret, nonce);
  cipher.setAAD(into.subarray(at, at + frameAt.nonce));
  if (payload.length > 0) into.set(cipher.update(payload), at + frameHeaderBytes);
  cipher.final();
  into.set(nonce, at + frameAt.nonce);
  into.set(cipher.getAuthTag(), at + frameAt.tag);
}

/** The payload (empty for a run of zeros) of the frame at `at`; undefined: it is not what was written here. */
export function openFrame(
  bytes: Buffer,
  at: number,
  storedBytes: number,
  secret: Buffer,
): Buffer | undefined {
  const nonce = bytes.subarray(at + frameAt.nonce, at + frameAt.nonce + frameNonceBytes);
  const decipher = createDecipheriv(algorithm, secret, nonce);
  decipher.setAAD(bytes.subarray(at, at + frameAt.nonce));
  decipher.setAuthTag(bytes.subarray(at + frameAt.tag, at + frameAt.tag + frameTagBytes));
  const payloadAt = at + frameHeaderBytes;
  const payload = decipher.update(bytes.subarray(payloadAt, payloadAt + storedBytes));
  try {
    decipher.final();
  } catch {
    return undefined; // this is how Node says that the tag does not fit
  }
  return payload;
}

/** Random nonces, drawn in blocks: one call of the system for hundreds of frames. */
export function nonceSource(entropy: Pick<Entropy, "bytes">): () => Buffer {
  let block: Buffer = Buffer.alloc(0);
  let at = 0;
  return () => {
    if (at >= block.length) {
      block = entropy.bytes(nonceBlock * frameNonceBytes);
      at = 0;
    }
    at += frameNonceBytes;
    return block.subarray(at - frameNonceBytes, at);
  };
}
const nonceBlock = 256;
