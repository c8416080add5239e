import { BorealisError, sqlState } from "../base/errors.ts";
import type { VolumeId } from "../base/ids.ts";
import { realClock, realDisk, realPath, realRng } from "../io/index.ts";
import { FolderStore } from "./folder-store-shell.ts";
import { volumeObject } from "./object-names.ts";
import type { ObjectStore } from "./object-store-shell.ts";
import { type Env, s3UrlBelow, storeVariables } from "./s3-location.ts";
import { locateS3Store, openS3Store, type S3Limits } from "./s3-open-shell.ts";
import { isSamePlace, type StorePlace } from "./store-place.ts";

/** A kind of URL that names the root under which volumes have their stores. Both raise 22023 for one that cannot be taken. */
interface Scheme {
  open(url: string, volume: VolumeId, env: Env, limits: Partial<S3Limits>): Promise<ObjectStore>;
  locate(url: string, volume: VolumeId, env: Env): Promise<StorePlace>;
}

const schemes: ReadonlyMap<string, Scheme> = new Map<string, Scheme>([
  ["file:", { open: openFolder, locate: locateFolder }],
  ["s3:", { open: openS3, locate: locateBucket }],
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
  return schemeOf(url).open(url, volume, env, limits);
}

function schemeOf(url: string): Scheme {
  const scheme = schemes.get(/^[a-z][a-z0-9+.-]*:/.exec(url)?.[0] ?? "");
  if (!scheme) throw noStore(url);
  return scheme;
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

/** A store's URL, with what opening it takes from the environment. */
export interface StoreAddress {
  readonly url: string;
  readonly env: Env;
}

/**
 * Whether a volume's objects are in the same place at both, however these are written. Services are not asked: two names of one
 * host are two, but for Amazon's and this machine's. Raises 22023 for a URL that openObjectStore would not take.
 */
export async function isSameStore(
  volume: VolumeId,
  one: StoreAddress,
  other: StoreAddress,
): Promise<boolean> {
  const locate = ({ url, env }: StoreAddress): Promise<StorePlace> =>
    schemeOf(url).locate(url, volume, env);
  return isSamePlace(await locate(one), await locate(other));
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

function openFolder(url: string, volume: VolumeId): Promise<ObjectStore> {
  return Promise.resolve(new FolderStore(`${folderOf(url)}/${volume}`));
}

async function locateFolder(url: string, volume: VolumeId): Promise<StorePlace> {
  return { kind: "folder", path: await realPath(`${folderOf(url)}/${volume}`) };
}

async function locateBucket(url: string, _: VolumeId, env: Env): Promise<StorePlace> {
  return { kind: "bucket", ...(await locateS3Store({ url, env, disk: realDisk })) };
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
