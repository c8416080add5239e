import { findHexLsn, formatHexLsn } from "./hex-lsn.ts";
import { type Epoch, epoch } from "../base/ids.ts";
import type { Lsn } from "../base/lsn.ts";

/**
 * What objects are called, in every store alike (an object store puts `VOLUME-ID/` before them):
 *
 *     extents/7f/7f3a…             an extent, by the keyed hash of its plain content (64 hex digits)
 *     snapshots/ID.manifest        a snapshot: there is one if and only if all its extents are there
 *     deleted/ID.INCARNATION       a tombstone: that snapshot is deleted, wherever it shows itself
 *     log/EPOCH/FROM-TO            archived log of one epoch (object stores only), LSNs in 16 hex digits
 *     volume.json                  who the volume is: what a restore without the cluster needs (object stores only)
 *     reached                      a moment up to which the archived log is whole (object stores only)
 */
export const extentPrefix = "extents/";
export const snapshotPrefix = "snapshots/";
export const tombstonePrefix = "deleted/";
export const logPrefix = "log/";
export const volumeObject = "volume.json";
export const reachedObject = "reached";

const extentForm = /^extents\/([0-9a-f]{2})\/([0-9a-f]{64})$/;
const snapshotForm = /^snapshots\/([a-z0-9][a-z0-9.-]{0,127})\.manifest$/;
const tombstoneForm = /^deleted\/([a-z0-9][a-z0-9.-]{0,127})\.([0-9a-f]{20})$/;
const logForm = /^log\/([0-9]{16})\/([0-9a-f]{16})-([0-9a-f]{16})$/;

/** Longest name that any store must take. */
export const objectNameBytesMax = 160;

export function extentObject(id: string): string {
  return `${extentPrefix}${id.slice(0, 2)}/${id}`;
}

/** Undefined: not an extent's name. */
export function findExtentId(name: string): string | undefined {
  const [, shelf, id] = extentForm.exec(name) ?? [];
  return id !== undefined && id.startsWith(shelf ?? "-") ? id : undefined;
}

export function snapshotObject(id: string): string {
  return `${snapshotPrefix}${id}.manifest`;
}

/** Undefined: not a snapshot's name. */
export function findSnapshotId(name: string): string | undefined {
  return snapshotForm.exec(name)?.[1];
}

/** Whether it may be a snapshot's id: lower-case letters, digits, dots and hyphens, 128 at most. */
export function isSnapshotId(id: string): boolean {
  return snapshotForm.test(snapshotObject(id));
}

/** One snapshot of all that ever had its id. */
export interface SnapshotIncarnation {
  readonly id: string;
  /** incarnationOf its manifest, 20 hex digits. */
  readonly incarnation: string;
}

export function tombstoneObject({ id, incarnation }: SnapshotIncarnation): string {
  return `${tombstonePrefix}${id}.${incarnation}`;
}

/** Undefined: not a tombstone's name. */
export function findTombstoneName(name: string): SnapshotIncarnation | undefined {
  const [, id, incarnation] = tombstoneForm.exec(name) ?? [];
  return id !== undefined && incarnation !== undefined ? { id, incarnation } : undefined;
}

export function logObject(epoch: Epoch, from: Lsn, to: Lsn): string {
  return `${logPrefix}${String(epoch).padStart(16, "0")}/${formatHexLsn(from)}-${formatHexLsn(to)}`;
}

export interface LogRange {
  readonly epoch: Epoch;
  readonly from: Lsn;
  readonly to: Lsn;
}

/** Undefined: not the name of archived log. */
export function findLogRange(name: string): LogRange | undefined {
  const [, number, first, end] = logForm.exec(name) ?? [];
  const from = findHexLsn(first ?? "");
  const to = findHexLsn(end ?? "");
  if (from === undefined || to === undefined || from >= to) return undefined;
  const value = Number(number);
  return Number.isSafeInteger(value) ? { epoch: epoch(value), from, to } : undefined;
}

/** Whether a store has to take a name that somebody sent. */
export function isObjectName(name: string): boolean {
  const forms = [extentForm, snapshotForm, tombstoneForm, logForm];
  return forms.some((form) => form.test(name)) || name === volumeObject || name === reachedObject;
}
