import { findLsn, type Lsn, lsnZero } from "../base/lsn.ts";
import type { World } from "./messages.ts";

export interface SnapshotSource {
  readonly id: string;
  readonly role: "reader" | "writer";
  readonly socketDir: string;
}

/** So far behind a reader may be for a while, under load; the writer has enough to do then. */
const behindBytesMin = 256 * 1024 * 1024;

/**
 * The reader that has replayed most; the writer only when there is none, or when even that one is far behind. Undefined: nobody
 * is there. `logBytes`: an automatic snapshot is due by so much log. One of a reader that is as far behind would be followed
 * by the next at once, and hold back all log that has come since: of a reader whose replay somebody has paused, and forgotten, for ever.
 */
export function findSource(
  { instances, durable }: Pick<World, "instances" | "durable">,
  { logBytes }: { readonly logBytes: number },
): SnapshotSource | undefined {
  const vdl = findLsn(durable?.vdl ?? "");
  const behindBytes = Math.max(logBytes, behindBytesMin);
  const [reader] = instances
    .filter(({ role, isAvailable }) => role === "reader" && isAvailable)
    .toSorted((a, b) => compareLsn(replayed(b), replayed(a)))
    .filter((one) => vdl === undefined || vdl - replayed(one) < BigInt(behindBytes));
  if (reader) return { id: reader.id, role: "reader", socketDir: reader.socketDir };
  const writer = findWriter({ instances });
  return writer && { id: writer.id, role: "writer", socketDir: writer.socketDir };
}

/** The writer that takes sessions. */
export function findWriter({
  instances,
}: Pick<World, "instances">): { readonly id: string; readonly socketDir: string } | undefined {
  return instances.find(({ role, isAvailable }) => role === "writer" && isAvailable);
}

function replayed({ replayLsn }: World["instances"][number]): Lsn {
  return findLsn(replayLsn ?? "") ?? lsnZero;
}

function compareLsn(a: Lsn, b: Lsn): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
