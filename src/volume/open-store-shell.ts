import { BorealisError, sqlState } from "../base/errors.ts";
import type { VolumeId } from "../base/ids.ts";
import { FolderStore } from "./folder-store-shell.ts";
import type { ObjectStore } from "./object-store-shell.ts";

/** Opens the store of a volume under the root that a URL names. Raises BorealisError 22023 for a URL that it cannot take. */
type OpenScheme = (url: string, volume: VolumeId) => Promise<ObjectStore>;

const schemes: ReadonlyMap<string, OpenScheme> = new Map([
  ["file:", (url, volume) => Promise.resolve(new FolderStore(`${folderOf(url)}/${volume}`))],
]);

/**
 * The object store of one volume: `file:` and an absolute path; see `schemes` for the others. Raises BorealisError 22023 for
 * a URL of another form.
 */
export async function openObjectStore(url: string, volume: VolumeId): Promise<ObjectStore> {
  const scheme = /^[a-z][a-z0-9+.-]*:/.exec(url)?.[0] ?? "";
  const open = schemes.get(scheme);
  if (!open) throw noStore(url);
  return open(url, volume);
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
    { hint: `say file:/path/to/a/folder; known are ${[...schemes.keys()].join(" ")}`, cause },
  );
}
