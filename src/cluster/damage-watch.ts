import type { Lsn } from "../base/lsn.ts";

/** Repair moves the end of a damaged node's log within a second or two, if any peer has what it lacks. */
const standstillMs = 60_000;

interface Standstill {
  readonly scl: Lsn;
  readonly sinceMs: number;
}

/**
 * Tells nodes that are damaged beyond repair from those that are being repaired: the log of the former stands still though
 * their peers are well. Pure.
 */
export class DamageWatch {
  private readonly standing = new Map<string, Standstill>();

  /** True if this node cannot be repaired by its peers. `isOpen`: a write quorum of them is well. */
  look(
    node: string,
    seen: { readonly isDamaged: boolean; readonly scl: Lsn; readonly isOpen: boolean } | undefined,
    nowMs: number,
  ): boolean {
    const before = this.standing.get(node);
    if (!seen?.isDamaged || !seen.isOpen) {
      this.standing.delete(node);
      return false;
    }
    if (before?.scl === seen.scl) return nowMs - before.sinceMs >= standstillMs;
    this.standing.set(node, { scl: seen.scl, sinceMs: nowMs });
    return false;
  }
}
