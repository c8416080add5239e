import { existsSync, mkdirSync, readdirSync, realpathSync } from "node:fs";
import { dirname, join, sep } from "node:path";
import { BorealisError, sqlState } from "../base/errors.ts";
import type { Layout } from "../cluster/index.ts";
import { diskError, lockDataDir, removeIfEmpty } from "./data-dir.ts";
import { isOfLock } from "./dir-lock.ts";

/** The directory that a clone or a restore fills. */
export interface TakenDir {
  /** Lets go of its lock. */
  release(): void;
  /** Nothing came of it: what was made of the path to it goes, as far as nothing lies there. */
  giveBack(): void;
}

/** Makes it where it is missing, and takes its lock. Raises 53100, 58030, and 55000 as lockDataDir does; then nothing is left. */
export function takeDir(layout: Layout): TakenDir {
  const { dataDir, controlDir } = layout;
  const hadControl = existsSync(controlDir);
  let firstMade: string | undefined;
  const giveBack = (): void => {
    if (!hadControl) removeIfEmpty(controlDir);
    if (firstMade === undefined) return;
    for (let dir = dataDir; isInside(dir, firstMade); dir = dirname(dir)) removeIfEmpty(dir);
  };
  try {
    firstMade = mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw diskError(`cannot make ${dataDir}`, error);
  }
  try {
    return { release: lockDataDir(layout), giveBack };
  } catch (error) {
    giveBack();
    throw error;
  }
}

/** Whether a lock is all that lies there: so much an attempt may leave that ended before it knew what it was. */
export function isOnlyLock({ dataDir, controlDir }: Layout): boolean {
  return readdirSync(dataDir).join() === "control" && readdirSync(controlDir).every(isOfLock);
}

/** Raises 22023 where one lies in the other, with which it would go. `its`: of the cluster that it is made from. */
export function requireApart(dataDir: string, its: string): void {
  const [own, from] = [realPathOf(dataDir), realPathOf(its)];
  if (!isInside(own, from) && !isInside(from, own)) return;
  throw new BorealisError(
    sqlState.invalidParameter,
    `--into: ${dataDir} and the cluster's own directory lie in each other`,
    { hint: "choose a directory beside it" },
  );
}

/** ... or the same. */
function isInside(inner: string, outer: string): boolean {
  return `${inner}${sep}`.startsWith(outer.endsWith(sep) ? outer : `${outer}${sep}`);
}

/** Of a path that need not exist yet. */
function realPathOf(path: string): string {
  if (existsSync(path)) return realpathSync(path);
  const above = dirname(path);
  return above === path ? path : join(realPathOf(above), path.slice(above.length));
}
