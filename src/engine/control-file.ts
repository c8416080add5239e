/**
 * global/pg_control, read from its bytes: the embedded PostgreSQL brings no pg_controldata. Layout as in
 * catalog/pg_control.h; 15 and 16 share version 1300, 17 put a field where nothing was (1700), 18 one near the end (1800). Fields are in the byte
 * order of the machine, and every machine that we run on is little-endian.
 */
import { crc32c } from "../base/crc32c.ts";
import { BorealisError, sqlState } from "../base/errors.ts";
import { timeline, type Timeline } from "../base/ids.ts";
import { lsn, type Lsn, segmentStart } from "../base/lsn.ts";

/** What the cluster was doing when the file was last written; the order is PostgreSQL's DBState. */
const states = [
  "startingUp",
  "shutDown",
  "shutDownInRecovery",
  "shuttingDown",
  "inCrashRecovery",
  "inArchiveRecovery",
  "inProduction",
] as const;
export type ControlState = (typeof states)[number];

export interface ControlFile {
  readonly systemIdentifier: bigint;
  readonly controlVersion: number;
  readonly catalogVersion: number;
  readonly state: ControlState;
  /** Start of the latest checkpoint record, and where its redo begins. */
  readonly checkpointLsn: Lsn;
  readonly redoLsn: Lsn;
  readonly timeline: Timeline;
  readonly previousTimeline: Timeline;
  /** The next transaction id at that checkpoint, its epoch included. */
  readonly nextXid: bigint;
  /** Recovery must pass this LSN before the cache is consistent; zero outside recovery. */
  readonly minRecoveryLsn: Lsn;
  readonly minRecoveryTimeline: Timeline;
  readonly backupStartLsn: Lsn;
  readonly backupEndLsn: Lsn;
  readonly isBackupEndRequired: boolean;
  readonly maxConnections: number;
  readonly blockBytes: number;
  readonly walSegmentBytes: number;
  readonly hasChecksums: boolean;
}

const crcAt: Readonly<Record<number, number>> = { 1300: 288, 1700: 288, 1800: 292 };

/** Reads pg_control. Raises BorealisError: 0A000 for a version we do not know, XX001 if its CRC does not match. */
export function parseControlFile(bytes: Buffer): ControlFile {
  if (bytes.length < 296) {
    throw new BorealisError(
      sqlState.dataCorrupted,
      `pg_control has ${bytes.length} bytes, too few`,
    );
  }
  const controlVersion = bytes.readUInt32LE(8);
  const crcStart = crcAt[controlVersion];
  if (crcStart === undefined) {
    throw new BorealisError(
      sqlState.notSupported,
      `pg_control version ${controlVersion} is not one of PostgreSQL 15 to 18`,
    );
  }
  if (crc32c(bytes, 0, 0, crcStart) !== bytes.readUInt32LE(crcStart)) {
    throw new BorealisError(sqlState.dataCorrupted, "pg_control does not match its checksum", {
      hint: "the cache is damaged: it is rebuilt from storage",
    });
  }
  const state = states[bytes.readUInt32LE(16)];
  if (state === undefined)
    throw new BorealisError(sqlState.dataCorrupted, "pg_control has no valid state");
  return {
    systemIdentifier: bytes.readBigUInt64LE(0),
    controlVersion,
    catalogVersion: bytes.readUInt32LE(12),
    state,
    checkpointLsn: lsn(bytes.readBigUInt64LE(32)),
    redoLsn: lsn(bytes.readBigUInt64LE(40)),
    timeline: timeline(bytes.readUInt32LE(48)),
    previousTimeline: timeline(bytes.readUInt32LE(52)),
    nextXid: bytes.readBigUInt64LE(64),
    minRecoveryLsn: lsn(bytes.readBigUInt64LE(136)),
    minRecoveryTimeline: timeline(bytes.readUInt32LE(144)),
    backupStartLsn: lsn(bytes.readBigUInt64LE(152)),
    backupEndLsn: lsn(bytes.readBigUInt64LE(160)),
    isBackupEndRequired: bytes.readUInt8(168) !== 0,
    maxConnections: bytes.readUInt32LE(180),
    blockBytes: bytes.readUInt32LE(216),
    walSegmentBytes: bytes.readUInt32LE(228),
    hasChecksums: bytes.readUInt32LE(252) !== 0,
  };
}

/** Where the log of a volume begins that is born from this cluster: the segment that holds its checkpoint (D1). */
export function baseLsn(control: ControlFile): Lsn {
  return segmentStart(control.redoLsn, control.walSegmentBytes);
}
