/** What a deleted cluster leaves in its object store, and what it is worth: decisions and words only. */

/** What a restore from what is kept needs to be told. */
export interface Kept {
  readonly store: string;
  readonly volume: string;
  /** The file of the master keys. Null: it goes with the cluster. */
  readonly keys: string | null;
  /** The store is not the folder of the data directory. */
  readonly isElsewhere: boolean;
}

export interface Leaving {
  readonly keepSnapshots: boolean;
  readonly isEncrypted: boolean;
}

/** What is there when the cluster is deleted; null: nothing. */
export function keptAfter(kept: Kept | undefined, { keepSnapshots }: Leaving): Kept | null {
  if (!kept) return null;
  if (keepSnapshots) return kept;
  return kept.isElsewhere ? { ...kept, keys: null } : null;
}

/**
 * What is said of objects that stay although nobody wanted to keep them. `tense`: asked before, or told behind. Undefined: none
 * stays.
 */
export function objectsLeft(
  kept: Kept | undefined,
  { keepSnapshots, isEncrypted }: Leaving,
  tense: "will" | "did",
): string | undefined {
  if (!kept || keepSnapshots || !kept.isElsewhere) return undefined;
  const { store, volume } = kept;
  const where = `its objects stay in ${store}, in the folder ${volume}`;
  if (!isEncrypted) return `${where}: whoever may read there can restore it; remove that yourself`;
  const why =
    tense === "will"
      ? "unreadable without keys/, which goes"
      : "unreadable without keys/, which is deleted";
  return `${where}, ${why} (--keep-snapshots keeps them of use): remove that yourself`;
}
