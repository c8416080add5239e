import { findLsn, type Lsn, lsnZero } from "../base/lsn.ts";
import type { World } from "./messages.ts";

export interface SnapshotSource {
  readonly id: string;
  readonly role: "reader" | "writer";
  readonly socketDir: string;
}

/** The reader that has replayed most; the writer only when there is none. Undefined: nobody is there. */
export function findSource({ instances }: World): SnapshotSource | undefined {
  const there = instances.filter(({ isAvailable }) => isAvailable);
  const readers = there
    .filter(({ role }) => role === "reader")
    .toSorted((a, b) => compareLsn(replayed(b), replayed(a)));
  const [reader] = readers;
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
