/**
 * What the keeper writes down of objects that are good in no store, so that its end does not make them sound again:
 *
 *     {"format": 1, "isMet": false, "isCut": false, "lost": [{"name": "extents/7f/7f3a…", "snapshots": ["auto-…"]}]}
 */
import { BorealisError, sqlState } from "../base/errors.ts";
import { findExtentId, findSnapshotId, isSnapshotId, type LostObject } from "../volume/index.ts";

export interface LossRecord {
  /** Since the newest of these losses was found a snapshot has stored everything anew. */
  readonly isMet: boolean;
  /** More is lost than is written down: the snapshots that are hurt are all there, what hurts them is not. */
  readonly isCut: boolean;
  readonly lost: readonly LostObject[];
}

const recordFormat = 1;
/** Of objects with the snapshots that each one hurts. A store that is gone has more; to plan, the hurt snapshots are enough. */
const pairsMax = 10_000;
/** A longer file is not ours. */
export const lossBytesMax = 16 * 1024 * 1024;

/** The record's text: bounded, which it says; every snapshot that is hurt is in it, though not by every object. */
export function encodeLosses({ isMet, isCut: wasCut, lost }: LossRecord): string {
  const bounded = boundedLosses(lost);
  const isCut = wasCut || pairsOf(bounded) < pairsOf(lost);
  return `${JSON.stringify({ format: recordFormat, isMet, isCut, lost: bounded })}\n`;
}

function pairsOf(lost: readonly LostObject[]): number {
  return lost.reduce((sum, { snapshots }) => sum + snapshots.length, 0);
}

/** Beyond the bound an object is written down with those snapshots alone that no other one hurts. */
export function boundedLosses(lost: readonly LostObject[], max = pairsMax): LostObject[] {
  const bounded: LostObject[] = [];
  const hurt = new Set<string>();
  let pairs = 0;
  for (const { name, snapshots: all } of lost) {
    const isRoom = pairs + all.length <= max;
    const snapshots = isRoom ? all : all.filter((id) => !hurt.has(id));
    if (snapshots.length === 0) continue;
    for (const id of snapshots) hurt.add(id);
    pairs += snapshots.length;
    bounded.push({ name, snapshots });
  }
  return bounded;
}

/** Raises BorealisError XX001 for what is no such record, 0A000 for one that a newer Borealis wrote. */
export function parseLosses(text: string): LossRecord {
  // An earlier Borealis did not say.
  const { format, isMet, isCut = false, lost } = fieldsOf(parseJson(text));
  if (typeof format === "number" && format > recordFormat) throw tooNew(format);
  if (format !== recordFormat || typeof isMet !== "boolean" || !Array.isArray(lost))
    throw damaged();
  if (typeof isCut !== "boolean") throw damaged();
  return { isMet, isCut, lost: lost.map(parseLost) };
}

function parseLost(value: unknown): LostObject {
  const { name, snapshots } = fieldsOf(value);
  if (typeof name !== "string" || !isOfSnapshots(name)) throw damaged();
  if (!Array.isArray(snapshots) || !snapshots.every(isId)) throw damaged();
  return { name, snapshots };
}

/** Whether it may be the name of something that snapshots are made of: an extent, or a manifest. */
export function isOfSnapshots(name: string): boolean {
  return findExtentId(name) !== undefined || findSnapshotId(name) !== undefined;
}

function isId(value: unknown): value is string {
  return typeof value === "string" && isSnapshotId(value);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw damaged();
  }
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null) throw damaged();
  return value as Readonly<Record<string, unknown>>;
}

function damaged(): BorealisError {
  return new BorealisError(sqlState.dataCorrupted, "the record of lost objects is damaged", {
    hint: "the next snapshot stores everything anew; what is lost, borealis storage scrub tells",
  });
}

function tooNew(format: number): BorealisError {
  const why = `the record of lost objects has format ${format}, and this Borealis knows ${recordFormat}`;
  return new BorealisError(sqlState.notSupported, why, { hint: "use the version that wrote it" });
}
