import { createHash } from "node:crypto";
import { assert } from "../base/assert.ts";
import { isUuid, type VolumeId, volumeId } from "../base/ids.ts";
import { type DataKeyId, isDataKeyId } from "./data-keys.ts";

/**
 * A volume's data keys, wrapped: no secret without the key provider. Kept in control/ and beside each node's log, so
 * that it lives as long as any log does. The copy with the highest version counts.
 */
export interface KeyRing {
  readonly version: number;
  readonly volumeId: VolumeId;
  readonly current: DataKeyId;
  /** The volume was written without encryption once. */
  readonly acceptsPlain: boolean;
  readonly keys: readonly RingKey[];
}

export interface RingKey {
  readonly id: DataKeyId;
  /** ISO 8601. */
  readonly createdAt: string;
  readonly wrapped: string;
}

const format = 1;

export function encodeKeyRing(ring: KeyRing): string {
  const text = JSON.stringify(ring);
  return `${JSON.stringify({ format, sha256: digest(text), ring }, null, 2)}\n`;
}

/** Undefined: not a key ring, or a damaged one; another copy is as good. */
export function parseKeyRing(text: string): KeyRing | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const outer = fieldsOf(value);
  if (outer["format"] !== format) return undefined;
  if (outer["sha256"] !== digest(JSON.stringify(outer["ring"]) ?? "")) return undefined;
  const { version, volumeId: volume, current, acceptsPlain, keys } = fieldsOf(outer["ring"]);
  if (typeof volume !== "string" || !isUuid(volume) || !isCount(version)) return undefined;
  if (!Array.isArray(keys) || !isDataKeyId(current)) return undefined;
  const parsed = keys.map(parseRingKey);
  const whole = parsed.filter((key) => key !== undefined);
  if (whole.length < keys.length || !whole.some((key) => key.id === current)) return undefined;
  return {
    version,
    volumeId: volumeId(volume),
    current,
    acceptsPlain: acceptsPlain === true,
    keys: whole,
  };
}

/** The ring that counts among copies of it. */
export function newestRing(copies: readonly string[], volume: VolumeId): KeyRing | undefined {
  let newest: KeyRing | undefined;
  for (const text of copies) {
    const ring = parseKeyRing(text);
    if (ring?.volumeId !== volume) continue;
    if (newest === undefined || ring.version > newest.version) newest = ring;
  }
  return newest;
}

/** The ring with one more key, which is the current one from now on. */
export function withNewKey(ring: KeyRing, key: RingKey): KeyRing {
  assert(key.id === nextKeyId(ring), "data keys are numbered upwards");
  return { ...ring, version: ring.version + 1, current: key.id, keys: [...ring.keys, key] };
}

export function nextKeyId(ring: KeyRing): DataKeyId {
  return Math.max(...ring.keys.map((key) => key.id)) + 1;
}

/** The ring with the same keys, wrapped anew. */
export function withWrapped(ring: KeyRing, wrapped: ReadonlyMap<DataKeyId, string>): KeyRing {
  const keys = ring.keys.map((key) => ({ ...key, wrapped: wrapped.get(key.id) ?? key.wrapped }));
  return { ...ring, version: ring.version + 1, keys };
}

function parseRingKey(raw: unknown): RingKey | undefined {
  const { id, createdAt, wrapped } = fieldsOf(raw);
  if (!isDataKeyId(id) || typeof createdAt !== "string" || typeof wrapped !== "string") {
    return undefined;
  }
  return { id, createdAt, wrapped };
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 1;
}

function fieldsOf(raw: unknown): Record<string, unknown> {
  return typeof raw === "object" && raw !== null ? { ...raw } : {};
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
