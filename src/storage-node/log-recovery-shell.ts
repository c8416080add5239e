import { BorealisError, sqlState } from "../base/errors.ts";
import { type Lsn, lsnMaxOf, lsnMin, lsnZero } from "../base/lsn.ts";
import type { Disk } from "../io/index.ts";
import { type FileHeader, fileHeaderBytes, frameEnd } from "./frame.ts";
import { judgeTail, reachOf, scanFrame, searchDebris } from "./frame-scan.ts";
import type { FoundFile, LogFiles } from "./log-files-shell.ts";
import { learn, type Segment, SegmentTable } from "./segment-table.ts";

/** What the state file and the sync mark say about the log. */
export interface LogClaims {
  readonly base: Lsn;
  /** Log of files up to this sequence ends at `to`, whatever they hold beyond it. */
  readonly cut: { readonly to: Lsn; readonly sequence: number } | undefined;
  /** The log of file `sequence` was synced up to `lsn`. */
  readonly mark: { readonly lsn: Lsn; readonly sequence: number } | undefined;
}

export interface RecoveredLog {
  readonly table: SegmentTable;
  readonly scl: Lsn;
  /** Offset behind the last frame, if the last file may be written on; else the next frame begins a new file. */
  readonly writeAt: number | undefined;
  readonly sequenceMax: number;
  /** A torn tail was left behind. */
  readonly suspectTail: boolean;
  /** Synced log has rotted from `scl` on; it reached at least this. */
  readonly rotKnownEnd: Lsn | undefined;
  /** Files all of whose log was cut off or lies below the base. */
  readonly dead: number[];
  /** Files without a good header: spares that were never begun, as a rule. */
  readonly headless: number[];
}

interface LiveFile extends FileHeader {
  /** Where its log ends because a later file, or a cut, says so; undefined: wherever its frames end. */
  readonly limit: Lsn | undefined;
}

/**
 * Finds out at start what the log is (section 15): walks the frames from the sync mark's file on, tells a torn tail
 * from rot, and syncs what it walked, since it may have read what is only in the page cache.
 */
export async function recoverLog(
  disk: Disk,
  files: LogFiles,
  claims: LogClaims,
): Promise<RecoveredLog> {
  const found = await files.find();
  const { live, dead, headless } = sortOut(found, claims);
  const table = new SegmentTable();
  for (const file of live) table.push(file.sequence, file.firstLsn);
  const proof = await proofInHeadless(files, headless);
  const used = [...dead, ...live.map((file) => file.sequence)];
  const sequenceMax = Math.max(claims.cut?.sequence ?? 0, ...used);
  const markLsn = believedMark(claims);
  let scl = claims.base;
  let writeAt: number | undefined;
  let suspectTail = false;
  let rotKnownEnd: Lsn | undefined;
  for (const [index, file] of live.entries()) {
    const next = live[index + 1];
    // Files before the mark's were complete, and synced, when the next one was begun.
    if (next !== undefined && next.firstLsn <= markLsn) continue;
    const segment = table.all[index];
    if (!segment) break;
    const isLast = next === undefined;
    const scanned = await scanFile(files, { file, segment, markLsn, isLast, proof });
    await syncWhole(disk, files.pathOf(file.sequence));
    scl = scanned.end;
    ({ writeAt, suspectTail, rotKnownEnd } = scanned);
    if (rotKnownEnd === undefined) continue;
    for (const { sequence, limit } of live.slice(index + 1)) {
      const reach = reachOf(await readWhole(files, sequence), limit);
      if (reach !== undefined) rotKnownEnd = lsnMaxOf(rotKnownEnd, reach);
    }
    break;
  }
  if (scl < claims.base) {
    // Nothing of it reaches the base: the log begins anew there.
    dead.push(...table.cut(lsnZero).map((segment) => segment.sequence));
    scl = claims.base;
    writeAt = undefined;
  }
  return { table, scl, writeAt, sequenceMax, suspectTail, rotKnownEnd, dead, headless };
}

function believedMark(claims: LogClaims): Lsn {
  const { mark, cut, base } = claims;
  if (mark === undefined) return base;
  const isBeforeCut = cut !== undefined && mark.sequence <= cut.sequence;
  return lsnMaxOf(base, isBeforeCut ? lsnMin(mark.lsn, cut.to) : mark.lsn);
}

/** Which files hold log, up to where each of them does; which do no more; which have no header. */
export function sortOut(found: readonly FoundFile[], claims: Pick<LogClaims, "base" | "cut">) {
  const live: LiveFile[] = [];
  const dead: number[] = [];
  const headless: number[] = [];
  let limit: Lsn | undefined;
  for (const { sequence, header } of found.toReversed()) {
    const isCutOff = claims.cut !== undefined && sequence <= claims.cut.sequence;
    if (header.kind !== "good") {
      // The newest may be a spare, or one whose first write was torn; one found before is covered by its cut.
      if (isCutOff) dead.push(sequence);
      else if (live.length > 0) throw unreadable(sequence);
      else headless.push(sequence);
      continue;
    }
    const { cut, base } = claims;
    if (cut !== undefined && isCutOff) {
      limit = limit === undefined ? cut.to : lsnMin(limit, cut.to);
    }
    const { firstLsn } = header.header;
    const isDead = limit !== undefined && (firstLsn >= limit || limit <= base);
    if (isDead) dead.push(sequence);
    else live.unshift({ ...header.header, limit });
    limit = limit === undefined ? firstLsn : lsnMin(limit, firstLsn);
  }
  return { live, dead, headless };
}

/**
 * A file's header is synced before its first frame is written, so frames without it mean that it has rotted. Gives the
 * highest SCL that such frames knew of.
 */
async function proofInHeadless(files: LogFiles, headless: readonly number[]) {
  let proof: Lsn | undefined;
  for (const sequence of headless) {
    const bytes = await readWhole(files, sequence);
    const { sclSeen } = searchDebris(bytes);
    if (sclSeen === undefined) continue;
    proof = lsnMaxOf(proof ?? sclSeen, lsnMaxOf(sclSeen, reachOf(bytes, undefined) ?? sclSeen));
  }
  return proof;
}

function unreadable(sequence: number): BorealisError {
  return new BorealisError(sqlState.dataCorrupted, `log file ${sequence} has no readable header`, {
    hint: "replace this storage node; the others hold its log",
  });
}

interface Scanned {
  readonly end: Lsn;
  readonly writeAt: number | undefined;
  readonly suspectTail: boolean;
  readonly rotKnownEnd: Lsn | undefined;
}

interface FileScan {
  readonly file: LiveFile;
  readonly segment: Segment;
  readonly markLsn: Lsn;
  readonly isLast: boolean;
  /** What frames in files without a header knew of. */
  readonly proof: Lsn | undefined;
}

async function scanFile(files: LogFiles, scan: FileScan): Promise<Scanned> {
  const { file, segment } = scan;
  const bytes = await readWhole(files, file.sequence);
  let end = file.firstLsn;
  let at = fileHeaderBytes;
  while (file.limit === undefined || end < file.limit) {
    const step = scanFrame(bytes, at, end);
    if (step.kind !== "frame") break;
    learn(segment, { lsn: end, at });
    end = frameEnd(step.header);
    at = step.nextAt;
  }
  if (file.limit !== undefined && end >= file.limit) {
    return { end: file.limit, writeAt: undefined, suspectTail: false, rotKnownEnd: undefined };
  }
  segment.hint = { lsn: end, at };
  const debris = searchDebris(bytes.subarray(at));
  // A cut may only lie at or below what the log reached, so log missing below a limit was there once.
  const verdict = judgeTail(end, {
    debris,
    syncMark: scan.markLsn,
    laterStart: file.limit ?? scan.proof,
  });
  return {
    end,
    writeAt: verdict.kind === "clean" && scan.isLast ? at : undefined,
    suspectTail: verdict.kind === "torn",
    rotKnownEnd:
      verdict.kind === "rot"
        ? lsnMaxOf(verdict.knownEnd, reachOf(bytes.subarray(at), file.limit) ?? end)
        : undefined,
  };
}

async function readWhole(files: LogFiles, sequence: number): Promise<Buffer> {
  const whole = Buffer.allocUnsafe(await files.sizeOf(sequence));
  return whole.subarray(0, await files.read(sequence, whole, 0));
}

async function syncWhole(disk: Disk, path: string): Promise<void> {
  const file = await disk.open(path, "write");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
