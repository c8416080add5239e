import { epoch, isUuid, timeline, volumeId } from "../base/ids.ts";
import { findLsn, formatLsn, type Lsn } from "../base/lsn.ts";
import { isSoundPath, type LogPath, type PathEntry } from "./log-path.ts";
import type { SnapshotFacts, SnapshotKind } from "./manifest.ts";
import { isSnapshotId } from "./object-names.ts";

/** A snapshot's facts as JSON. */
export function encodeHead(facts: SnapshotFacts): string {
  const { id, kind, volumeId: volume, history, startLsn, endLsn, takenAtMs } = facts;
  const { postgresMajor, catalogVersion, systemIdentifier, addressing } = facts;
  return JSON.stringify({
    id,
    kind,
    volumeId: volume,
    startLsn: formatLsn(startLsn),
    endLsn: formatLsn(endLsn),
    takenAt: new Date(takenAtMs).toISOString(),
    postgresMajor,
    catalogVersion,
    systemIdentifier: systemIdentifier.toString(),
    addressing,
    history: history.map((entry) => ({ ...entry, start: formatLsn(entry.start) })),
  });
}

/** Undefined: it is not what encodeHead wrote. */
export function parseHead(text: string): SnapshotFacts | undefined {
  const head = fieldsOf(parseJson(text));
  const { id, kind, volumeId: volume, takenAt, systemIdentifier, addressing } = head;
  const startLsn = lsnOf(head["startLsn"]);
  const endLsn = lsnOf(head["endLsn"]);
  const history = historyOf(head["history"]);
  const takenAtMs = typeof takenAt === "string" ? Date.parse(takenAt) : Number.NaN;
  const { postgresMajor, catalogVersion } = head;
  if (startLsn === undefined || endLsn === undefined || endLsn < startLsn || !history)
    return undefined;
  if (typeof id !== "string" || !isSnapshotId(id) || !isKind(kind) || !(takenAtMs >= 0))
    return undefined;
  if (typeof volume !== "string" || !isUuid(volume) || !isCount(postgresMajor)) return undefined;
  if (typeof systemIdentifier !== "string" || !/^\d{1,20}$/.test(systemIdentifier))
    return undefined;
  if (typeof addressing !== "string" || !isCount(catalogVersion)) return undefined;
  return {
    id,
    kind,
    volumeId: volumeId(volume),
    history,
    startLsn,
    endLsn,
    takenAtMs,
    postgresMajor,
    catalogVersion,
    systemIdentifier: BigInt(systemIdentifier),
    addressing,
  };
}

function historyOf(raw: unknown): LogPath | undefined {
  if (!Array.isArray(raw)) return undefined;
  const path: PathEntry[] = [];
  for (const one of raw as unknown[]) {
    const { epoch: number, timeline: branch, start, kind, volumeId: volume } = fieldsOf(one);
    const from = lsnOf(start);
    const isBranch = isCount(branch) && branch <= 0xffff_ffff;
    if (from === undefined || !isCount(number) || !isBranch) return undefined;
    if (kind !== "branch" && kind !== "backtrack") return undefined;
    if (volume !== undefined && (typeof volume !== "string" || !isUuid(volume))) return undefined;
    const own: PathEntry = { epoch: epoch(number), timeline: timeline(branch), start: from, kind };
    path.push(volume === undefined ? own : { ...own, volumeId: volumeId(volume) });
  }
  return isSoundPath(path) ? path : undefined;
}

function isKind(value: unknown): value is SnapshotKind {
  return value === "genesis" || value === "automatic" || value === "manual";
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function lsnOf(value: unknown): Lsn | undefined {
  return typeof value === "string" ? findLsn(value) : undefined;
}

function fieldsOf(raw: unknown): Record<string, unknown> {
  return typeof raw === "object" && raw !== null ? { ...raw } : {};
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // the caller sees that there is nothing
  }
}
