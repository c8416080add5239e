import { assert } from "../base/assert.ts";
import type { Lsn } from "../base/lsn.ts";
import { findHexLsn, formatHexLsn } from "./hex-lsn.ts";

/** The snapshot that a volume is born with: the genesis image. */
export const genesisSnapshotId = "genesis";

/** `auto-20261128t201530z-00000000014a2b78`: in the order of their taking, and no two alike. */
export function automaticSnapshotId(takenAtMs: number, startLsn: Lsn): string {
  const iso = new Date(takenAtMs).toISOString();
  assert(iso.length === 24, "snapshots are taken in years of four digits");
  const stamp = `${iso.slice(0, 19).replace(/[-:]/g, "")}z`.toLowerCase();
  return `auto-${stamp}-${formatHexLsn(startLsn)}`;
}

const automaticForm = /^auto-(\d{4})(\d{2})(\d{2})t(\d{2})(\d{2})(\d{2})z-([0-9a-f]{16})$/;

/** When an automatic snapshot was taken, to the second, and where its redo starts, by its name. Undefined: it is no such name. */
export function automaticSnapshotFacts(
  id: string,
): { readonly takenAtMs: number; readonly startLsn: Lsn } | undefined {
  const [, year, month, day, hour, minute, second, hex = ""] = automaticForm.exec(id) ?? [];
  const startLsn = findHexLsn(hex);
  const takenAtMs = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  return startLsn === undefined || Number.isNaN(takenAtMs) ? undefined : { takenAtMs, startLsn };
}
