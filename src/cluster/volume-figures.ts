import { bytesBetween, type Lsn, lsnMaxOf, lsnMin } from "../base/lsn.ts";

export interface LogSpan {
  readonly from: Lsn;
  readonly to: Lsn;
}

/** Extents as one copy of the volume has them. */
export interface ExtentBytes {
  readonly bytes: number;
  readonly sharedBytes: number;
}

/** Log that is another volume's too. */
export interface SharedLog {
  /** What is kept for clones. */
  readonly pins: readonly LogSpan[];
  /** Of a clone: its log up to here is its parent's too; undefined: it is none, or its parent is gone. */
  readonly branch: Lsn | undefined;
}

export interface VolumeParts extends SharedLog {
  /** The log that the volume's own path needs; undefined: no node says. */
  readonly log: LogSpan | undefined;
  /** Undefined: nobody has counted them yet. */
  readonly extents: ExtentBytes | undefined;
}

export interface VolumeFigures {
  readonly bytes: number;
  readonly logBytes: number;
  readonly extentBytes: number | null;
  readonly sharedBytes: number;
}

/**
 * How big a volume is: one copy of it, not the six and three that the nodes have. Log counts as positions, extents as they are
 * stored. `bytes` is both; `sharedBytes` is the part of it that is another volume's too, and is stored once for both.
 */
export function volumeFigures({ log, pins, branch, extents }: VolumeParts): VolumeFigures {
  const logBytes = unionBytes(log ? [log, ...pins] : pins);
  const inherited = log && branch !== undefined ? [{ ...log, to: lsnMin(log.to, branch) }] : [];
  return {
    bytes: logBytes + (extents?.bytes ?? 0),
    logBytes,
    extentBytes: extents?.bytes ?? null,
    sharedBytes: unionBytes([...pins, ...inherited]) + (extents?.sharedBytes ?? 0),
  };
}

/** Bytes that lie in at least one of them. */
function unionBytes(spans: readonly LogSpan[]): number {
  const inOrder = spans
    .filter(({ from, to }) => from < to)
    .toSorted((a, b) => (a.from < b.from ? -1 : a.from > b.from ? 1 : 0));
  let [sum, reached] = [0, inOrder[0]?.from];
  for (const { from, to } of inOrder) {
    if (reached === undefined || to <= reached) continue;
    sum += bytesBetween(lsnMaxOf(from, reached), to);
    reached = to;
  }
  return sum;
}
