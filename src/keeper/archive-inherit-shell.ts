import { BorealisError, messageOf } from "../base/errors.ts";
import {
  type ArchivedRange,
  type ArchiveIndex,
  inheritedRanges,
  listArchivedLog,
  logObject,
  type LogPath,
  type ObjectStore,
  type Relative,
} from "../volume/index.ts";
import type { KeeperContext } from "./keeper-shell.ts";

/** Between two looks whether the keeper stops. */
const batchObjects = 200;

export interface Inheritance {
  readonly store: ObjectStore;
  /** What `store` has; what is taken over is added. */
  readonly index: ArchiveIndex;
  readonly path: LogPath;
  readonly signal: AbortSignal;
}

/**
 * Has the store of a clone copy from its parent's archive what is of the clone's path: once, before it archives anything. What
 * cannot be had so it archives as any other log. Raises what the store raises, if that may be otherwise in a moment.
 */
export async function inheritArchive(context: KeeperContext, order: Inheritance): Promise<void> {
  for (const relative of context.relatives()) {
    const taken = await takeFrom(context, order, relative);
    if (taken === 0) continue;
    context.logger.info({ event: "archive.inherited", from: relative.volumeId, objects: taken });
  }
}

async function takeFrom(
  context: KeeperContext,
  { store, index, path, signal }: Inheritance,
  relative: Relative,
): Promise<number> {
  const theirs = await listOf(context, relative.store);
  const inherited = theirs ? inheritedRanges(theirs, path, relative.volumeId) : [];
  // A keeper that was killed in the middle of this has left what it had; the parent may have merged it since.
  const wanted = inherited.filter(({ from, to }) => index.nextHole(path, from, to) !== undefined);
  let taken = 0;
  for (let at = 0; at < wanted.length; at += batchObjects) {
    if (signal.aborted) throw signal.reason;
    const batch = new Map(wanted.slice(at, at + batchObjects).map((one) => [nameOf(one), one]));
    const names = await store.copyFrom?.(relative, [...batch.keys()]);
    for (const name of names ?? []) {
      const range = batch.get(name);
      if (!range) continue;
      index.add({ ...range, putAtMs: context.clock.wallMs() });
      taken++;
    }
  }
  return taken;
}

/** A relative's folder that may not be read costs only bytes. */
async function listOf(
  { logger }: KeeperContext,
  store: ObjectStore,
): Promise<ArchiveIndex | undefined> {
  try {
    return await listArchivedLog(store);
  } catch (error) {
    if (!(error instanceof BorealisError)) throw error;
    logger.warn({ event: "archive.notInherited", store: store.label }, messageOf(error));
    return undefined;
  }
}

function nameOf({ epoch, from, to }: ArchivedRange): string {
  return logObject(epoch, from, to);
}
