/** Which object store a cluster has, and what it takes to open it. */
import { pathToFileURL } from "node:url";
import { adviceOf, BorealisError, sqlState } from "../base/errors.ts";
import { volumeId } from "../base/ids.ts";
import type { Layout } from "../cluster/index.ts";
import {
  isSameStore,
  objectStoreEnv,
  openObjectStore,
  type StoreAddress,
  tryObjectStore,
} from "../volume/index.ts";
import { environment } from "./environment.ts";
import { fileSettings, resolveSettings, type Settings } from "./config.ts";
import type { UpOptions } from "./options.ts";
import { replaceFile } from "./replace-file.ts";
import { findRemembered } from "./resume.ts";

export interface ObjectStorePlace {
  readonly objectStoreUrl: string;
  /** Of this process's environment: it may hold keys, so it goes through pipes only and is never logged. */
  readonly objectStoreEnv: Record<string, string>;
}

/** The object store as settings say: the folder of the data directory unless told. */
export function objectStoreOf(layout: Layout, settings: Settings): ObjectStorePlace {
  const objectStoreUrl = settings["objectStore.url"] || pathToFileURL(layout.objectsDir).href;
  return { objectStoreUrl, objectStoreEnv: objectStoreEnv(objectStoreUrl, environment()) };
}

/** That of a cluster that may be down: as its next start would have it, if nothing else is said. */
export function resumedObjectStore(layout: Layout): ObjectStorePlace {
  return objectStoreOf(layout, resumedSettings(layout));
}

/**
 * Whether a store, however its URL is written, is the own one of the cluster in a data directory, running or not. Raises 22023 for
 * a URL that is none.
 */
export function isOwnStore(layout: Layout, volume: string, asked: StoreAddress): Promise<boolean> {
  const { objectStoreUrl: url, objectStoreEnv: env } = resumedObjectStore(layout);
  return isSameStore(volumeId(volume), { url, env }, asked);
}

/** The settings of a cluster that may be down: as its next start would have them, if nothing else is said. */
export function resumedSettings(layout: Layout): Settings {
  const flags = objectStoreFlags(findRemembered(layout) ?? {});
  return resolveSettings({ file: layout.configFile, env: environment(), flags });
}

/** `--object-store`, given now or remembered, as a setting; `--set objectStore.url` says it last. */
export function objectStoreFlags({ objectStore }: Pick<UpOptions, "objectStore">): string[] {
  return objectStore === undefined ? [] : [`objectStore.url=${objectStore}`];
}

/**
 * Says at a start what is wrong with the store. Raises 22023 for a URL that is none. For a cluster that is to be made it raises
 * 58030 too, if the store is away, refuses, or its keys are not here; to one that is there this is no reason not to start: a
 * line on stderr tells it, unless `isQuiet`, and status while it runs. But a store that is named now has to have its keys.
 */
export async function requireObjectStore(
  layout: Layout,
  settings: Settings,
  { given, isNew, isQuiet }: Pick<UpOptions, "given"> & { isNew: boolean; isQuiet: boolean },
): Promise<void> {
  const { objectStoreUrl, objectStoreEnv: env } = objectStoreOf(layout, settings);
  const isNamed = given.includes("objectStore");
  try {
    const store = await openObjectStore(objectStoreUrl, anyVolume, env);
    await store.close();
  } catch (error) {
    if (!isAway(error) || isNamed || isNew) throw error;
    if (!isQuiet) tellAway(error);
    return;
  }
  // The folder of a data directory that is to be made says no more than that directory will.
  const isOwn = isNew && objectStoreUrl === pathToFileURL(layout.objectsDir).href;
  if ((isQuiet && !isNew) || isOwn) return;
  try {
    await tryObjectStore(objectStoreUrl, anyVolume, env);
  } catch (error) {
    if (!isAway(error) || isNew) throw error;
    if (!isQuiet) tellAway(error);
  }
}

const anyVolume = volumeId("00000000-0000-0000-0000-000000000000");

function isAway(error: unknown): boolean {
  return error instanceof BorealisError && error.code === sqlState.ioError;
}

function tellAway(error: unknown): void {
  process.stderr.write(
    `borealis: starting without the object store, log stays on the storage nodes meanwhile: ${adviceOf(error)}\n`,
  );
}

/** Makes a store the setting of a data directory, as `borealis config objectStore.url` would; empty: as it is by default. */
export function keepObjectStore({ configFile }: Layout, store: string): void {
  const known = fileSettings(configFile);
  if (store === "" || known["objectStore.url"] === store) return;
  const text = `${JSON.stringify({ ...known, "objectStore.url": store }, null, 2)}\n`;
  replaceFile(configFile, text, { isDurable: true });
}
