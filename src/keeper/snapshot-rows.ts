import { type BorealisError, messageOf } from "../base/errors.ts";
import { formatLsn } from "../base/lsn.ts";
import {
  automaticSnapshotFacts,
  genesisSnapshotId,
  sizeOfSnapshot,
  type SnapshotManifest,
} from "../volume/index.ts";
import type { ListedSnapshot, SnapshotRow } from "./messages.ts";

/** As `snapshot list` shows it. */
export function rowOf(manifest: SnapshotManifest): SnapshotRow {
  const { id, kind, startLsn, endLsn, takenAtMs } = manifest;
  const { dataBytes, storedBytes } = sizeOfSnapshot(manifest);
  return {
    id,
    kind,
    startLsn: formatLsn(startLsn),
    endLsn: formatLsn(endLsn),
    takenAt: isoOf(takenAtMs),
    dataBytes,
    storedBytes,
  };
}

/** One that is there, and whose manifest cannot be read: what its name says of it, and why. */
export function unreadRowOf(id: string, error: BorealisError): ListedSnapshot {
  const automatic = automaticSnapshotFacts(id);
  const byName = automatic ? "automatic" : "manual";
  return {
    id,
    kind: id === genesisSnapshotId ? "genesis" : byName,
    startLsn: automatic ? formatLsn(automatic.startLsn) : null,
    endLsn: null,
    takenAt: automatic ? isoOf(automatic.takenAtMs) : null,
    dataBytes: null,
    storedBytes: null,
    problem: `it cannot be read: ${messageOf(error)}`,
  };
}

/** Those of which nobody knows when they were taken come last, where people look. */
export function oldestFirst(rows: readonly ListedSnapshot[]): ListedSnapshot[] {
  const timeOf = ({ takenAt }: ListedSnapshot): string => takenAt ?? "~";
  return rows.toSorted((a, b) => (timeOf(a) < timeOf(b) ? -1 : timeOf(a) > timeOf(b) ? 1 : 0));
}

function isoOf(ms: number): string {
  return new Date(ms).toISOString();
}
