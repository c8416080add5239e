import { assert } from "../base/assert.ts";
import type { Lsn } from "../base/lsn.ts";
import { formatHexLsn } from "./hex-lsn.ts";

/** The snapshot that a volume is born with: the genesis image. */
export const genesisSnapshotId = "genesis";

/** `auto-20261128t201530z-00000000014a2b78`: in the order of their taking, and no two alike. */
export function automaticSnapshotId(takenAtMs: number, startLsn: Lsn): string {
  const iso = new Date(takenAtMs).toISOString();
  assert(iso.length === 24, "snapshots are taken in years of four digits");
  const stamp = `${iso.slice(0, 19).replace(/[-:]/g, "")}z`.toLowerCase();
  return `auto-${stamp}-${formatHexLsn(startLsn)}`;
}
