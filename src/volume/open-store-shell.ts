import { BorealisError, sqlState } from "../base/errors.ts";
import type { VolumeId } from "../base/ids.ts";
import { realClock, realDisk, realRng } from "../io/index.ts";
import { FolderStore } from "./folder-store-shell.ts";
import { volumeObject } from "./object-names.ts";
import type { ObjectStore } from "./object-store-shell.ts";
import { type Env, s3UrlBelow, storeVariables } from "./s3-location.ts";
import { openS3Store, type S3Limits } from "./s3-open-shell.ts";

/** Opens the store of a volume under the root that a URL names. Raises BorealisError 22023 for a URL that it cannot take. */
type OpenScheme = (
  url: string,
  volume: VolumeId,
  env: Env,
  limits: Partial<S3Limits>,
) => Promise<ObjectStore>;

const schemes: ReadonlyMap<string, OpenScheme> = new Map<string, OpenScheme>([
  ["file:", (url, volume) => Promise.resolve(new FolderStore(`${folderOf(url)}/${volume}`))],
  ["s3:", openS3],
]);

/** For somebody who waits for an answer: a service that is well gives one at once. */
const brief: Partial<S3Limits> = { connectTimeoutMs: 3_000, idleTimeoutMs: 5_000, retryMs: 2_000 };

/**
 * The object store of one volume: `file:` and an absolute path, or `s3:` as s3-location.ts reads it, with keys from `env`.
 * Nothing is asked of it yet. Raises BorealisError 22023 for a URL of another form, and what openS3Store raises.
 */
export async function openObjectStore(
  url: string,
  volume: VolumeId,
  env: Env = {},
  limits: Partial<S3Limits> = {},
): Promise<ObjectStore> {
  const scheme = /^[a-z][a-z0-9+.-]*:/.exec(url)?.[0] ?? "";
  const open = schemes.get(scheme);
  if (!open) throw noStore(url);
  return open(url, volume, env, limits);
}

/**
 * Asks the store that openObjectStore would open whether it answers, within some seconds: raises what opening it raises, and
 * 58030 if it is away or refuses. A folder that is not there yet is well: the first put makes it.
 */
export async function tryObjectStore(url: string, volume: VolumeId, env: Env = {}): Promise<void> {
  const store = await openObjectStore(url, volume, env, brief);
  try {
    await store.has([volumeObject]);
  } finally {
    await store.close();
  }
}

/** What of a process's environment opening this store looks at; nothing for a folder. */
export function objectStoreEnv(url: string, env: Env): Record<string, string> {
  if (!url.startsWith("s3:")) return {};
  const found: Record<string, string> = {};
  for (const name of storeVariables) {
    const value = env[name];
    if (value !== undefined) found[name] = value;
  }
  return found;
}

function openS3(
  url: string,
  volume: VolumeId,
  env: Env,
  limits: Partial<S3Limits>,
): Promise<ObjectStore> {
  const own = s3UrlBelow(url, volume);
  return openS3Store({ url: own, env, limits, disk: realDisk, clock: realClock, rng: realRng });
}

function folderOf(url: string): string {
  // One slash or three: file:/srv/objects, file:///srv/objects.
  if (!/^file:\/(?:[^/]|\/\/|\/localhost\/)/.test(url)) throw noStore(url);
  try {
    return decodeURIComponent(new URL(url).pathname).replace(/(?<=.)\/+$/, "");
  } catch (cause) {
    throw noStore(url, cause);
  }
}

function noStore(url: string, cause?: unknown): BorealisError {
  return new BorealisError(
    sqlState.invalidParameter,
    `"${url}" is no object store that can be used here`,
    { hint: "say file:/path/to/a/folder, or s3://bucket/prefix", cause },
  );
}
