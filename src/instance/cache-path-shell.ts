import { z } from "zod";
import { findLsn, formatLsn, type Lsn } from "../base/lsn.ts";
import { realDisk } from "../io/index.ts";
import { type History, newestBacktrack } from "../quorum/index.ts";
import type { AgentConfig } from "./messages.ts";

/**
 * Which path a reader's cache followed last, kept beside it: a backtrack while its instance was down may have removed log
 * that it has replayed, and nothing in PostgreSQL's own files would tell.
 */
const noteSchema = z.object({
  volumeId: z.string(),
  /** Epoch of the newest backtrack on the path; 0: none. */
  backtrack: z.number().int(),
  /** It has not been given log from here on; null: no bound is known. */
  cappedAt: z.string().nullable(),
});
type Note = z.infer<typeof noteSchema>;

function fileOf(config: AgentConfig): string {
  return `${config.instanceDir}/borealis-path.json`;
}

/** Before the cache is given log of this path; with `cap`: only of what lies below. */
export async function noteCachePath(config: AgentConfig, path: History, cap?: Lsn): Promise<void> {
  await write(config, {
    volumeId: config.volumeId,
    backtrack: newestBacktrack(path)?.epoch ?? 0,
    cappedAt: cap === undefined ? null : formatLsn(cap),
  });
}

/** The same while nobody says which path it is: what it has replayed already is of the old one. */
export async function noteCapGone(config: AgentConfig): Promise<void> {
  const note = await find(config);
  if (note && note.cappedAt !== null) await write(config, { ...note, cappedAt: null });
}

/** Whether a reader's cache may be read on from on this path. */
export async function isCacheOnPath(config: AgentConfig, path: History): Promise<boolean> {
  const note = await find(config);
  const before = note?.backtrack ?? 0;
  const cap = findLsn(note?.cappedAt ?? "");
  return path.every(
    ({ kind, epoch, start }) =>
      kind !== "backtrack" || epoch <= before || (cap !== undefined && cap <= start),
  );
}

async function write(config: AgentConfig, note: Note): Promise<void> {
  await realDisk.remove(`${fileOf(config)}.making`);
  const file = await realDisk.open(`${fileOf(config)}.making`, "create");
  try {
    await file.write(Buffer.from(`${JSON.stringify(note)}\n`), 0);
  } finally {
    await file.close();
  }
  await realDisk.rename(`${fileOf(config)}.making`, fileOf(config));
}

async function find(config: AgentConfig): Promise<Note | undefined> {
  try {
    const bytes = await realDisk.readWhole(fileOf(config));
    const note = noteSchema.parse(JSON.parse(bytes?.toString("utf8") ?? ""));
    return note.volumeId === config.volumeId ? note : undefined;
  } catch {
    // None, or half of one: as of a cache that never met a backtrack.
    return undefined;
  }
}
