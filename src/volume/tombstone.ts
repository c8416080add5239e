/**
 * Tombstones: a snapshot that was deleted stays deleted, also where a store was away. The id may be used again, so a
 * tombstone names one incarnation of it. Its object is sealed JSON: {"deletedAt": ISO 8601}.
 */
import { createHash } from "node:crypto";
import { BorealisError, sqlState } from "../base/errors.ts";
import { findTombstoneName, type SnapshotIncarnation, tombstoneObject } from "./object-names.ts";

export interface Tombstone extends SnapshotIncarnation {
  /** On the clock of who deleted it, in milliseconds since 1970. */
  readonly deletedAtMs: number;
}

export const tombstoneBytesMax = 1024;

/** Of a sealed manifest: its bytes are the same in every store, and no two snapshots' are alike. */
export function incarnationOf(sealed: Uint8Array): string {
  return createHash("sha256").update(sealed).digest("hex").slice(0, 20);
}

export function encodeTombstone({ deletedAtMs }: Pick<Tombstone, "deletedAtMs">): Buffer {
  return Buffer.from(JSON.stringify({ deletedAt: new Date(deletedAtMs).toISOString() }));
}

/** Raises BorealisError XX001 if it is none. */
export function parseTombstone(name: string, plain: Buffer): Tombstone {
  const of = findTombstoneName(name);
  const deletedAtMs = timeIn(plain.toString("utf8"));
  if (of && !Number.isNaN(deletedAtMs)) return { ...of, deletedAtMs };
  throw new BorealisError(sqlState.dataCorrupted, `${name} is damaged: it is no tombstone`, {
    hint: "another store has it, or the snapshot has to be deleted again",
  });
}

function timeIn(text: string): number {
  try {
    const { deletedAt } = Object(JSON.parse(text)) as { readonly deletedAt?: unknown };
    return typeof deletedAt === "string" ? Date.parse(deletedAt) : Number.NaN;
  } catch {
    return Number.NaN;
  }
}

/** The deletions that are known, of whichever stores have told of them. */
export class Deletions {
  private readonly byName = new Map<string, Tombstone>();
  private readonly counts = new Map<string, number>();

  get all(): Tombstone[] {
    return [...this.byName.values()];
  }

  has(name: string): boolean {
    return this.byName.has(name);
  }

  add(tombstone: Tombstone): void {
    const name = tombstoneObject(tombstone);
    if (this.byName.has(name)) return;
    this.byName.set(name, tombstone);
    this.counts.set(tombstone.id, (this.counts.get(tombstone.id) ?? 0) + 1);
  }

  forget(name: string): void {
    const id = this.byName.get(name)?.id;
    if (id === undefined) return;
    this.byName.delete(name);
    const left = (this.counts.get(id) ?? 0) - 1;
    if (left > 0) this.counts.set(id, left);
    else this.counts.delete(id);
  }

  /** Whether a snapshot of that id was deleted: one that has it now may be that one, or another. */
  concerns(id: string): boolean {
    return this.counts.has(id);
  }

  /** Whether this manifest is of a snapshot that was deleted. */
  isDeleted(id: string, sealed: Uint8Array): boolean {
    return (
      this.concerns(id) && this.has(tombstoneObject({ id, incarnation: incarnationOf(sealed) }))
    );
  }

  /**
   * Names of the tombstones that nobody needs any more, once every store of the volume has all of them and no snapshot that
   * they name: whoever brings one back now has put it before it was deleted, which takes no longer than the grace time.
   */
  oldEnough({ nowMs, graceMs }: { readonly nowMs: number; readonly graceMs: number }): string[] {
    const old = [...this.byName].filter(([, { deletedAtMs }]) => deletedAtMs < nowMs - graceMs);
    return old.map(([name]) => name);
  }
}
