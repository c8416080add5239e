import { BorealisError, sqlState } from "../base/errors.ts";
import { genesisSnapshotId, isSnapshotId } from "../volume/index.ts";

/** `snapshot-20261128t201530z`: for a user who gives none. */
export function userSnapshotId(wallMs: number): string {
  const stamp = new Date(wallMs).toISOString().slice(0, 19).replace(/[-:]/g, "").toLowerCase();
  return `snapshot-${stamp}z`;
}

/** Raises 22023 unless a user may call a new snapshot so. */
export function requireFreeId(id: string, taken: { has(id: string): boolean }): void {
  if (!isSnapshotId(id)) {
    throw new BorealisError(sqlState.invalidParameter, `"${id}" cannot be a snapshot's id`, {
      hint: "use lower-case letters, digits, dots and hyphens, 128 at most, and begin with a letter or a digit",
    });
  }
  if (id === genesisSnapshotId || id.startsWith("auto-")) {
    throw new BorealisError(
      sqlState.invalidParameter,
      `"${id}" cannot be a snapshot's id: automatic ones are called so`,
      { hint: "choose another id" },
    );
  }
  if (taken.has(id)) {
    throw new BorealisError(sqlState.invalidParameter, `there is a snapshot "${id}" already`, {
      hint: `choose another id, or delete that one: borealis snapshot delete ${id}`,
    });
  }
}

export function unknownSnapshot(id: string): BorealisError {
  return new BorealisError(sqlState.invalidParameter, `there is no snapshot "${id}"`, {
    hint: "see which there are: borealis snapshot list",
  });
}

export function notLooked(): BorealisError {
  const why = "the stores of the snapshots have not been looked at yet";
  return new BorealisError(sqlState.cannotConnectNow, why, {
    hint: "try again in a moment; borealis logs keeper says what stands in the way",
  });
}
