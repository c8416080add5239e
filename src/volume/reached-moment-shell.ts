import { BorealisError, sqlState } from "../base/errors.ts";
import type { ExtentSealer } from "./extent-sealer-shell.ts";
import { reachedObject } from "./object-names.ts";
import type { ObjectStore } from "./object-store-shell.ts";
import {
  encodeReached,
  parseReached,
  reachedBytesMax,
  type ReachedMoment,
} from "./reached-moment.ts";

/** Replaces what was there. Raises what the store raises. */
export async function writeReached(
  store: ObjectStore,
  sealer: ExtentSealer,
  reached: ReachedMoment,
): Promise<void> {
  await store.put(reachedObject, await sealer.seal(reachedObject, encodeReached(reached)));
}

/** Undefined: nobody has said one, or nobody can read it. Raises what the store raises. */
export async function readReached(
  store: ObjectStore,
  sealer: ExtentSealer,
): Promise<ReachedMoment | undefined> {
  const sealed = await store.get(reachedObject);
  if (!sealed) return undefined;
  try {
    return parseReached((await sealer.open(reachedObject, sealed, reachedBytesMax)).plain);
  } catch (error) {
    // Damaged, of a newer version, or sealed with a key that is not here.
    const silent: readonly string[] = [
      sqlState.dataCorrupted,
      sqlState.notSupported,
      sqlState.notInPrerequisiteState,
    ];
    if (error instanceof BorealisError && silent.includes(error.code)) return undefined;
    throw error;
  }
}
