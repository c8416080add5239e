/** Which object store a cluster has, and what it takes to open it. */
import { pathToFileURL } from "node:url";
import { BorealisError, sqlState } from "../base/errors.ts";
import { volumeId } from "../base/ids.ts";
import type { Layout } from "../cluster/index.ts";
import { objectStoreEnv, openObjectStore } from "../volume/index.ts";
import { resolveSettings, type Settings } from "./config.ts";
import type { UpOptions } from "./options.ts";
import { findRemembered } from "./resume.ts";

export interface ObjectStorePlace {
  readonly objectStoreUrl: string;
  /** Of this process's environment: it may hold keys, so it goes through pipes only and is never logged. */
  readonly objectStoreEnv: Record<string, string>;
}

/** The object store as settings say: the folder of the data directory unless told. */
export function objectStoreOf(layout: Layout, settings: Settings): ObjectStorePlace {
  const objectStoreUrl = settings["objectStore.url"] || pathToFileURL(layout.objectsDir).href;
  return { objectStoreUrl, objectStoreEnv: objectStoreEnv(objectStoreUrl, process.env) };
}

/** That of a cluster that may be down: as its next start would have it, if nothing else is said. */
export function resumedObjectStore(layout: Layout): ObjectStorePlace {
  return objectStoreOf(layout, resumedSettings(layout));
}

/** The settings of a cluster that may be down: as its next start would have them, if nothing else is said. */
export function resumedSettings(layout: Layout): Settings {
  const flags = objectStoreFlags(findRemembered(layout) ?? {});
  return resolveSettings({ file: layout.configFile, env: process.env, flags });
}

/** `--object-store`, given now or remembered, as a setting; `--set objectStore.url` says it last. */
export function objectStoreFlags({ objectStore }: Pick<UpOptions, "objectStore">): string[] {
  return objectStore === undefined ? [] : [`objectStore.url=${objectStore}`];
}

/**
 * Whether the store may be opened: 22023 for a URL that is none, 58030 for one whose keys are not there. It is not asked for
 * anything: a store that is away is no reason not to start, and neither are keys that are missing when a cluster resumes.
 */
export async function requireObjectStore(
  layout: Layout,
  settings: Settings,
  { given }: Pick<UpOptions, "given">,
): Promise<void> {
  const { objectStoreUrl, objectStoreEnv: env } = objectStoreOf(layout, settings);
  const anyVolume = volumeId("00000000-0000-0000-0000-000000000000");
  try {
    const store = await openObjectStore(objectStoreUrl, anyVolume, env);
    await store.close();
  } catch (error) {
    const isKeys = error instanceof BorealisError && error.code === sqlState.ioError;
    if (!isKeys || given.includes("objectStore")) throw error;
  }
}
