import { BorealisError, sqlState } from "../base/errors.ts";
import { genesisSnapshotId, isSnapshotId } from "../volume/index.ts";
import type { KnownSnapshot } from "./snapshot-retention.ts";

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

/** Raises 55000 for the last automatic one: without any an instance whose cache is lost could not be built again. */
export function requireNotNeeded(id: string, known: readonly KnownSnapshot[]): void {
  const others = known.filter((one) => one.kind !== "manual" && one.id !== id);
  const mine = known.find((one) => one.id === id);
  if (!mine || mine.kind === "manual") return;
  if (others.some((one) => one.endLsn >= mine.endLsn)) return;
  throw new BorealisError(
    sqlState.notInPrerequisiteState,
    `snapshot ${id} is the newest one that instances are built from`,
    { hint: "it goes by itself when there is a newer one and retention.days have passed" },
  );
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
