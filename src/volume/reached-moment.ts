/**
 * The moment that an archive is known to reach. Its log says when something was committed, not until when nothing was: a
 * volume at rest has all seconds behind its last commit, and only who saw it rest can say so.
 *
 * The object is sealed JSON: {"format": 1, "epoch": 3, "lsn": "0/5A3B7C8", "at": ISO 8601}. It is a help, never a need:
 * what is damaged, or of another format, says nothing, and the last commit's time remains.
 */
import { type Epoch, epoch } from "../base/ids.ts";
import { findLsn, formatLsn, type Lsn } from "../base/lsn.ts";
import type { LogPath } from "./log-path.ts";

export const reachedBytesMax = 1024;
const reachedFormat = 1;

/** Everything that was acknowledged before `atMs` lies below `lsn`, on a path that has that LSN in that epoch. */
export interface ReachedMoment {
  readonly epoch: Epoch;
  readonly lsn: Lsn;
  /** On the writer's clock, in milliseconds since 1970. */
  readonly atMs: number;
}

export function encodeReached({ epoch: of, lsn, atMs }: ReachedMoment): Buffer {
  const at = new Date(atMs).toISOString();
  const json = { format: reachedFormat, epoch: of, lsn: formatLsn(lsn), at };
  return Buffer.from(JSON.stringify(json));
}

/** Undefined: it is none that this version knows. */
export function parseReached(plain: Uint8Array): ReachedMoment | undefined {
  let fields: Readonly<Record<string, unknown>>;
  try {
    fields = Object(JSON.parse(Buffer.from(plain).toString("utf8"))) as Record<string, unknown>;
  } catch {
    return undefined;
  }
  const { format, epoch: number, lsn: place, at } = fields;
  const lsn = typeof place === "string" ? findLsn(place) : undefined;
  const atMs = typeof at === "string" ? Date.parse(at) : Number.NaN;
  const isEpoch = typeof number === "number" && Number.isSafeInteger(number) && number > 0;
  if (format !== reachedFormat || !isEpoch || lsn === undefined || !(atMs > 0)) return undefined;
  return { epoch: epoch(number), lsn, atMs };
}

/** Whether log of this path up to `to` has it. A backtrack may have left what it speaks of, or the log be gone. */
export function isReachedBy(
  { epoch: of, lsn }: ReachedMoment,
  { path, to }: { readonly path: LogPath; readonly to: Lsn },
): boolean {
  const at = path.findIndex((entry) => entry.epoch === of);
  const [own, next] = at < 0 ? [] : path.slice(at, at + 2);
  return own !== undefined && own.start <= lsn && lsn <= (next?.start ?? to) && lsn <= to;
}
