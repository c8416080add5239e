import { BorealisError, sqlState } from "../base/errors.ts";

/** Length of a data key: AES-256. */
export const dataKeyBytes = 32;
/** Data keys are numbered from 1 in the order in which they were made; frames carry the number. */
export type DataKeyId = number;
const dataKeyIdMax = 0xffff_ffff;

/** A volume's data keys as its processes hold them: unwrapped, in memory only. */
export interface DataKeys {
  /** The one that new frames are encrypted with. */
  readonly current: DataKeyId;
  readonly keys: ReadonlyMap<DataKeyId, Buffer>;
  /** The volume was written without encryption once: unencrypted frames are its own, not a forger's. */
  readonly acceptsPlain: boolean;
}

/** Data keys as they travel to a child process, in its configuration: JSON over a pipe. Never logged. */
export interface DataKeysMessage {
  readonly current: number;
  readonly acceptsPlain: boolean;
  readonly keys: readonly { readonly id: number; readonly key: string }[];
}

export function encodeDataKeys(keys: DataKeys): DataKeysMessage {
  const rows = [...keys.keys].map(([id, key]) => ({ id, key: key.toString("base64") }));
  return { current: keys.current, acceptsPlain: keys.acceptsPlain, keys: rows };
}

/** By hand, since storage nodes load no zod. Raises BorealisError 22023, which holds nothing of what was given. */
export function parseDataKeys(raw: unknown): DataKeys {
  const fields = fieldsOf(raw);
  const { current, acceptsPlain, keys: rows } = fields;
  if (!Array.isArray(rows) || typeof acceptsPlain !== "boolean") throw malformed();
  const keys = new Map<DataKeyId, Buffer>();
  for (const row of rows) {
    const { id, key } = fieldsOf(row);
    const bytes = typeof key === "string" ? Buffer.from(key, "base64") : Buffer.alloc(0);
    if (!isDataKeyId(id) || bytes.length !== dataKeyBytes) throw malformed();
    keys.set(id, bytes);
  }
  if (!isDataKeyId(current) || !keys.has(current)) throw malformed();
  return { current, keys, acceptsPlain };
}

export function isDataKeyId(value: unknown): value is DataKeyId {
  return (
    typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= dataKeyIdMax
  );
}

function fieldsOf(raw: unknown): Record<string, unknown> {
  if (typeof raw !== "object" || raw === null) throw malformed();
  return { ...raw };
}

function malformed(): BorealisError {
  return new BorealisError(sqlState.invalidParameter, "the data keys given are malformed");
}
