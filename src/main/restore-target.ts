/** The data directory that a restore fills: empty before, whole afterwards, and known as half-made in between. */
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { BorealisError, sqlState } from "../base/errors.ts";
import type { Layout } from "../cluster/index.ts";
import { killProcesses } from "../engine/index.ts";
import { diskError, readState, removeInstances } from "./data-dir.ts";
import { isOfLock } from "./dir-lock.ts";
import { replaceFile } from "./replace-file.ts";
import { isOnlyLock, requireApart, takeDir } from "./target-dir.ts";

/** Says that what lies here is not whole. Written first; the state file, which comes last, makes it count no more. */
function markerOf({ controlDir }: Layout): string {
  return `${controlDir}/restore.json`;
}

/** Where the image is made; the engine's user can reach it. */
export function scratchDirOf(instancesDir: string): string {
  return join(instancesDir, ".restoring");
}

/** Whether what lies here was made by a restore that did not come to its end. */
export function isHalfRestored(layout: Layout): boolean {
  return existsSync(markerOf(layout)) && !readState(layout);
}

/** Raises 55000 where a restore was interrupted: what is there is no cluster, and must not become another one. */
export function requireNoHalfRestore(layout: Layout): void {
  if (!isHalfRestored(layout)) return;
  throw new BorealisError(
    sqlState.notInPrerequisiteState,
    `${layout.dataDir} holds a restore that was interrupted`,
    { hint: "repeat the restore: it begins anew; or remove the directory" },
  );
}

export interface RestoreTarget {
  readonly layout: Layout;
  /** What was made goes; the directory too, and the path to it, as far as it was not there before. */
  discard(): void;
  /** The state file is written: it is a cluster from here on. */
  complete(): void;
  release(): void;
}

export interface Taking {
  readonly apartFrom: string | undefined;
  /** For the marker. */
  readonly what: unknown;
  /** The cluster's own directory after a loss: what is in it is no reason to refuse, and stays but for what a restore makes. */
  readonly isOwn?: boolean;
}

/**
 * Takes an empty directory, or one in which a restore was interrupted, whose pieces are removed. Raises 55000 for any other,
 * and when it lies in a directory that it must be apart from (or the other way round).
 */
export async function takeTarget(layout: Layout, taking: Taking): Promise<RestoreTarget> {
  const { dataDir } = layout;
  const { apartFrom, what, isOwn = false } = taking;
  if (apartFrom !== undefined) requireApart(dataDir, apartFrom);
  const refuse = (why: string): BorealisError =>
    new BorealisError(sqlState.notInPrerequisiteState, `${dataDir} ${why}`, {
      hint: "choose an empty directory with --into, or one that does not exist yet",
    });
  if (readState(layout)) throw refuse("holds a cluster already");
  const wasThere = existsSync(dataDir);
  const isHalf = existsSync(markerOf(layout)) || (wasThere && isOnlyLock(layout));
  if (wasThere && !isHalf && !isOwn && readdirSync(dataDir).length > 0)
    throw refuse("is not empty");
  const taken = takeDir(layout);
  try {
    // The PostgreSQL of an attempt that was killed is told to quit by its watchdog, which takes a moment.
    await killProcesses(join(scratchDirOf(layout.instancesDir), "data"), undefined);
    clear(layout, isOwn);
    replaceFile(markerOf(layout), `${JSON.stringify({ format: 1, what })}\n`, { isDurable: true });
  } catch (error) {
    if (!isHalf && !isOwn)
      rmSync(wasThere ? layout.controlDir : dataDir, { recursive: true, force: true });
    taken.release();
    taken.giveBack();
    throw diskError(`cannot write to ${dataDir}`, error);
  }
  let isWhole = false;
  return {
    layout,
    discard: () => {
      if (isWhole) return;
      clear(layout, isOwn);
      rmSync(wasThere ? layout.controlDir : dataDir, { recursive: true, force: true });
      taken.giveBack();
    },
    complete: () => {
      isWhole = true;
      rmSync(markerOf(layout), { force: true });
    },
    release: () => taken.release(),
  };
}

/** All but the lock and the marker; of a cluster's own directory only what a restore makes there. */
function clear(layout: Layout, isOwn: boolean): void {
  const { dataDir, controlDir, instancesDir, storageDir, genesisDir } = layout;
  if (!isOwn) removeInstances(layout);
  else if (existsSync(instancesDir))
    for (const path of namesIn(instancesDir)) rmSync(path, { recursive: true, force: true });
  const made = isOwn ? [storageDir, instancesDir] : namesIn(dataDir);
  for (const path of made) if (path !== controlDir) rmSync(path, { recursive: true, force: true });
  // An image of a half-made cluster, among objects that stay.
  for (const dir of [genesisDir, `${genesisDir}.making`])
    rmSync(dir, { recursive: true, force: true });
  for (const name of readdirSync(controlDir)) {
    const path = join(controlDir, name);
    if (isOfLock(name) || path === markerOf(layout)) continue;
    rmSync(path, { recursive: true, force: true });
  }
}

function namesIn(dir: string): string[] {
  return readdirSync(dir).map((name) => join(dir, name));
}
