import { createCipheriv, createDecipheriv } from "node:crypto";
import { dataKeyBytes } from "./data-keys.ts";
import type { KeyContext } from "./key-provider-shell.ts";

/**
 * How the key file's provider wraps a data key: AES-256-GCM, in base64.
 *
 *     offset size
 *          0    1  format, 1
 *          1   16  id of the master key
 *         17   12  nonce, random
 *         29   32  the data key, encrypted
 *         61   16  tag
 *
 * Associated data: a label, the bytes before the nonce, the volume's id and the data key's number. Master keys are
 * random and wrap a few keys each, so random nonces are safe.
 */
const at = { id: 1, nonce: 17, key: 29, tag: 61 } as const;
const wrappedBytes = 77;
const format = 1;
const algorithm = "aes-256-gcm";

export interface MasterKey {
  /** 16 bytes in hex. */
  readonly id: string;
  readonly key: Buffer;
}

export function wrapKey(
  key: Buffer,
  master: MasterKey,
  use: { readonly context: KeyContext; readonly nonce: Buffer },
): string {
  const head = Buffer.alloc(at.nonce);
  head.writeUInt8(format, 0);
  head.write(master.id, at.id, "hex");
  const cipher = createCipheriv(algorithm, master.key, use.nonce);
  cipher.setAAD(associated(head, use.context));
  const body = Buffer.concat([cipher.update(key), cipher.final()]);
  return Buffer.concat([head, use.nonce, body, cipher.getAuthTag()]).toString("base64");
}

/** Id of the master key that is needed; undefined: this is no wrapped key. */
export function masterIdOf(wrapped: string): string | undefined {
  const bytes = Buffer.from(wrapped, "base64");
  if (bytes.length !== wrappedBytes || bytes.readUInt8(0) !== format) return undefined;
  return bytes.toString("hex", at.id, at.nonce);
}

/** Undefined: another master key, or for another use. */
export function unwrapKey(
  wrapped: string,
  master: MasterKey,
  context: KeyContext,
): Buffer | undefined {
  if (masterIdOf(wrapped) !== master.id) return undefined;
  const bytes = Buffer.from(wrapped, "base64");
  const decipher = createDecipheriv(algorithm, master.key, bytes.subarray(at.nonce, at.key));
  decipher.setAAD(associated(bytes.subarray(0, at.nonce), context));
  decipher.setAuthTag(bytes.subarray(at.tag));
  const key = decipher.update(bytes.subarray(at.key, at.key + dataKeyBytes));
  try {
    decipher.final();
  } catch {
    return undefined; // this is how Node says that the tag does not fit
  }
  return key;
}

function associated(head: Buffer, { volumeId, dataKey }: KeyContext): Buffer {
  return Buffer.concat([Buffer.from(`borealis data key ${dataKey} of ${volumeId}\0`), head]);
}
