import { rmSync } from "node:fs";
import { z } from "zod";
import { BorealisError, sqlState } from "../base/errors.ts";
import type { ClusterState, Layout } from "../cluster/index.ts";
import type { KeeperConfig } from "../keeper/index.ts";
import { findNoteText, readNote } from "./control-note.ts";
import { readState, resolveLayout } from "./data-dir.ts";
import { replaceFile } from "./replace-file.ts";
import { readSalvage } from "./salvage-file.ts";

/**
 * What a data directory that is a clone, or is only becoming one, knows of its parent: `control/clone.json`. It is written
 * before anything is asked of the parent, so that whatever the clone made the parent keep can be released, however far the
 * making came.
 */
const originSchema = z.object({
  format: z.literal(1),
  /** Of the parent's pin; also the clone's volume id. */
  pinId: z.uuid(),
  parent: z.object({ dataDir: z.string(), volumeId: z.uuid() }),
});
export type CloneOrigin = z.infer<typeof originSchema>;

function fileOf(layout: Layout): string {
  return `${layout.controlDir}/clone.json`;
}

/** Undefined: it is no clone. Raises XX001 for a file that cannot be used. */
export function readOrigin(layout: Layout): CloneOrigin | undefined {
  return readNote(
    fileOf(layout),
    originSchema,
    "remove it; if its parent still lists this clone, borealis storage unpin releases it",
  );
}

/** Whether it is a clone of a cluster that still is where it was. */
export function hasParent(layout: Layout): boolean {
  try {
    const origin = readOrigin(layout);
    if (!origin) return false;
    const { dataDir, volumeId } = origin.parent;
    return readState(resolveLayout(dataDir))?.volumeId === volumeId;
  } catch {
    return false; // a file that cannot be read here says nothing of a parent
  }
}

/**
 * The volume that a clone, or the successor of a volume, has its bytes of. A clone has the keys that its parent had when it was
 * made; of older ancestors it has older ones, and when theirs changed is not known here. A volume that was left for a successor is no more.
 */
export function relativesOf(
  layout: Layout,
  { ancestorVolumeId: oldest, createdAt }: ClusterState,
): KeeperConfig["relatives"] {
  if (oldest === undefined) return [];
  const parent = parentOf(layout);
  const putBeforeMs = parent === undefined ? null : Date.parse(createdAt);
  return [{ volumeId: parent ?? oldest, putBeforeMs }];
}

function parentOf(layout: Layout): string | undefined {
  try {
    return readOrigin(layout)?.parent.volumeId;
  } catch {
    return undefined; // a file that cannot be read costs only bytes that are put again
  }
}

export function writeOrigin(layout: Layout, origin: CloneOrigin): void {
  replaceFile(fileOf(layout), `${JSON.stringify(origin, null, 2)}\n`, { isDurable: true });
}

export function forgetOrigin(layout: Layout): void {
  rmSync(fileOf(layout), { force: true });
}

/** What was begun in a data directory and has to come to its end before a cluster runs there. */
const deletionFile = "deleting.json";
const deletionSchema = z.object({ keepSnapshots: z.boolean() });
export type Deletion = z.infer<typeof deletionSchema>;

export function readDeletion(layout: Layout): Deletion | undefined {
  const text = findNoteText(`${layout.controlDir}/${deletionFile}`);
  if (text === undefined) return undefined;
  return deletionSchema.safeParse(parseJson(text)).data ?? { keepSnapshots: true };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // it was begun all the same
  }
}

export function writeDeletion(layout: Layout, deletion: Deletion): void {
  const file = `${layout.controlDir}/${deletionFile}`;
  replaceFile(file, `${JSON.stringify(deletion)}\n`, { isDurable: true });
}

/** The cluster's state. Raises 55000 where a clone was begun and not finished, or a salvage, or a deletion. */
export function requireWhole(layout: Layout): ClusterState | undefined {
  const { dataDir } = layout;
  if (readDeletion(layout)) {
    throw new BorealisError(
      sqlState.notInPrerequisiteState,
      `the cluster in ${dataDir} was being deleted`,
      { hint: `repeat: borealis delete --data-dir ${dataDir}` },
    );
  }
  if (readSalvage(layout)) {
    throw new BorealisError(
      sqlState.notInPrerequisiteState,
      `a salvage of the cluster in ${dataDir} was begun and is not at its end`,
      { hint: `repeat: borealis storage salvage --data-dir ${dataDir}` },
    );
  }
  const state = readState(layout);
  const origin = state ? undefined : readOrigin(layout);
  if (!origin) return state;
  throw new BorealisError(
    sqlState.notInPrerequisiteState,
    `the clone in ${dataDir} was not made to its end`,
    {
      hint: `repeat: borealis clone --data-dir ${origin.parent.dataDir} --into ${dataDir}; or borealis delete --data-dir ${dataDir}`,
    },
  );
}
