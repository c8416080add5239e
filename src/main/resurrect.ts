/**
 * Total loss (D30): everything is gone but the object store and the keys. `up` notices it, since the keys' folder says which
 * volumes it was for, and goes on from the end of the archive: in the same directory, as a new volume, and never in silence.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { isUuid } from "../base/ids.ts";
import { formatLsn } from "../base/lsn.ts";
import type { ClusterState, Layout } from "../cluster/index.ts";
import { openLogger, realClock } from "../io/index.ts";
import { openEngine } from "./create.ts";
import type { Settings } from "./config.ts";
import { readState } from "./data-dir.ts";
import { formatTimeUs } from "./moment-text.ts";
import { keepObjectStore, objectStoreOf } from "./object-store.ts";
import type { UpOptions } from "./options.ts";
import { print } from "./print.ts";
import { Progress } from "./progress.ts";
import { replaceFile } from "./replace-file.ts";
import { asDiskFull } from "./disk-full.ts";
import { buildRestored, type Restored } from "./restore-build.ts";
import { pointOfMoment } from "./restore-point.ts";
import type { RestoreSource } from "./restore-source.ts";
import { openStoreSource, type StorePlace } from "./restore-store-source.ts";
import { isHalfRestored, takeTarget } from "./restore-target.ts";
import { passedOverLines } from "./restore-tries.ts";

/** Beside the key file: which volumes these keys are for, and where their objects lie. Newest first. */
const notesSchema = z.object({
  format: z.literal(1),
  /** `store` as the setting objectStore.url was: empty for the folder of the data directory, wherever that is moved to. */
  volumes: z.array(z.object({ volumeId: z.string(), store: z.string() })),
});
type Note = z.infer<typeof notesSchema>["volumes"][number];

/** A volume that was born of another is worth nothing before its own archive is: the one before is kept in mind. */
const notesMax = 3;

function notesFile({ keysDir }: Layout): string {
  return `${keysDir}/volumes.json`;
}

/** Writes down whose keys these are. At each start: `store`, the setting objectStore.url, may be another one now. */
export function noteVolume(
  layout: Layout,
  state: Pick<ClusterState, "volumeId">,
  store: string,
): void {
  const others = notesOrNone(layout).filter(({ volumeId }) => volumeId !== state.volumeId);
  writeNotes(layout, [{ volumeId: state.volumeId, store }, ...others].slice(0, notesMax));
}

/** A note that cannot be read is no reason not to start: it is written anew. */
function notesOrNone(layout: Layout): Note[] {
  try {
    return readNotes(layout) ?? [];
  } catch (error) {
    if (error instanceof BorealisError) return [];
    throw error;
  }
}

/** Of a cluster that was deleted on purpose: what is kept of it (snapshots, keys) is no reason to bring it back. */
export function forgetVolumes(layout: Layout): void {
  writeNotes(layout, []);
}

function writeNotes(layout: Layout, volumes: readonly Note[]): void {
  const text = `${JSON.stringify({ format: 1, volumes }, null, 2)}\n`;
  const file = notesFile(layout);
  if (existsSync(file) && readFileSync(file, "utf8") === text) return;
  mkdirSync(layout.keysDir, { recursive: true, mode: 0o700 });
  replaceFile(file, text, { isDurable: true });
}

/** Undefined: nobody has written any. */
function readNotes(layout: Layout): Note[] | undefined {
  const file = notesFile(layout);
  if (!existsSync(file)) return undefined;
  try {
    return notesSchema.parse(JSON.parse(readFileSync(file, "utf8"))).volumes;
  } catch (cause) {
    throw new BorealisError(sqlState.dataCorrupted, `${file} cannot be used`, {
      hint: "restore with borealis restore --store URL --volume ID --keys FILE --into ANOTHER",
      cause,
    });
  }
}

export interface Loss {
  readonly options: UpOptions;
  readonly layout: Layout;
  readonly settings: Settings;
}

/** What came back, as --json tells it. */
export interface Resurrected {
  readonly from: string;
  readonly volumeId: string;
  readonly lsn: string;
  readonly lastCommitTime: string | null;
  readonly passedOver: Restored["passedOver"];
  readonly seconds: number;
}

/**
 * Brings a lost volume back into its own directory. Does nothing where nothing was lost. Raises 55000 where storage nodes are
 * left, which know more than any archive; and what a restore raises: nothing is started then.
 */
export async function resurrect(loss: Loss): Promise<Resurrected | undefined> {
  const { layout, options } = loss;
  if (readState(layout)) return undefined;
  const places = placesOf(loss);
  if (places.length === 0) return undefined;
  // Of an attempt that was killed are the nodes that lie there; before it began there were none.
  if (!isHalfRestored(layout)) requireNoStorage(layout);
  const say = (text: string): void => {
    if (!options.json) print(text);
  };
  say(`The cluster in ${layout.dataDir} is gone but for its keys and its object store.`);
  const { source, store } = await openNewest(places, say);
  const progress = new Progress({ isJson: options.json });
  try {
    return await rebuild(loss, { source, store }, { progress, say });
  } finally {
    progress.close();
    await source.close();
  }
}

/** A volume that may be brought back. */
interface Lost extends StorePlace {
  /** The setting objectStore.url that leads to it. */
  readonly store: string;
}

function placesOf({ layout, settings }: Loss): Lost[] {
  const { keyFile, objectsDir } = layout;
  // What is said now counts: the store may have been moved.
  const told = settings["objectStore.url"];
  const lost = (volume: string, noted: string): Lost => {
    const store = told || noted;
    const { objectStoreUrl: url, objectStoreEnv: env } = objectStoreOf(layout, {
      ...settings,
      "objectStore.url": store,
    });
    return { url, env, volume, keyFile, store };
  };
  const notes = readNotes(layout);
  if (notes) return notes.map(({ volumeId, store }) => lost(volumeId, store));
  // The keys are of a time before they said what they were for.
  if (!existsSync(keyFile) || !existsSync(objectsDir)) return [];
  return readdirSync(objectsDir)
    .filter((name) => isUuid(name) && existsSync(join(objectsDir, name, "volume.json")))
    .map((volume) => lost(volume, ""));
}

function requireNoStorage({ storageDir, dataDir }: Layout): void {
  const names = existsSync(storageDir) ? readdirSync(storageDir) : [];
  const left = names.filter((name) => existsSync(join(storageDir, name, "state")));
  if (left.length === 0) return;
  throw new BorealisError(
    sqlState.notInPrerequisiteState,
    `${dataDir}/control is gone, but storage nodes are left (${left.join(", ")}), which may know more than the object store`,
    {
      hint: "put control/ back from a copy; or move storage/ away, to go on from the object store without what only they know",
    },
  );
}

interface Found {
  readonly source: RestoreSource;
  readonly store: string;
}

async function openNewest(places: readonly Lost[], say: (text: string) => void): Promise<Found> {
  let failure: BorealisError | undefined;
  for (const place of places) {
    try {
      const source = await openStoreSource(place);
      if (source.log.to > source.log.from) return { source, store: place.store };
      await source.close();
      say(`Volume ${place.volume} has no snapshot with log in ${place.url} yet.`);
    } catch (error) {
      // The one before it would be a step back in time for a reason that may be gone in a minute.
      if (!(error instanceof BorealisError) || error.code !== sqlState.invalidParameter)
        throw error;
      failure ??= error;
      say(`Volume ${place.volume}: ${messageOf(error)}.`);
    }
  }
  throw (
    failure ??
    new BorealisError(sqlState.notInPrerequisiteState, "no volume can be brought back", {
      hint: "remove keys/ and objects/ to begin with an empty cluster",
    })
  );
}

async function rebuild(
  { options, layout, settings }: Loss,
  { source, store }: Found,
  told: { readonly progress: Progress; readonly say: (text: string) => void },
): Promise<Resurrected> {
  const startedMs = realClock.nowMs();
  const { progress, say } = told;
  const { identity } = source;
  const signal = new AbortController().signal;
  say(`Bringing volume ${identity.volumeId} back from ${source.label} ...`);
  const target = await takeTarget(layout, {
    apartFrom: undefined,
    what: { resurrects: identity.volumeId },
    isOwn: true,
  });
  try {
    const point = await pointOfMoment({ source, progress, signal }, { kind: "latest" });
    const { postgresBin } = options;
    const { engineVersion } = identity;
    const existing = { engineVersion };
    const engine = await openEngine({ options: { postgresBin }, layout, settings, existing });
    const readers = options.given.includes("readers") ? options.readers : identity.readers;
    const logger = openLogger({ file: `${layout.logDir}/restore.log`, process: "restore" });
    const work = { source, point, target, engine, readers, password: undefined };
    // Its settings went with the rest: the one that says where its objects lie comes back with it.
    keepObjectStore(layout, store);
    const restored = await buildRestored({ ...work, progress, logger, signal });
    target.complete();
    const { lastCommitUs, passedOver } = restored;
    for (const line of passedOverLines(restored)) say(line);
    const lsn = formatLsn(point.end);
    const time = lastCommitUs === undefined ? null : formatTimeUs(lastCommitUs);
    const seconds = Math.round(realClock.nowMs() - startedMs) / 1000;
    const facts = { from: identity.volumeId, volumeId: restored.state.volumeId, lsn };
    say(
      `Back up to ${lsn}${time === null ? "" : `, last commit at ${time}`} (${seconds.toFixed(1)} s).`,
    );
    say(
      "What was committed after that had not reached the object store and is lost: the last 5 s at most, " +
        "if the archive kept up (status shows how far it is behind while a cluster runs).",
    );
    if (options.password === undefined && !existsSync(layout.passwordFile))
      say(
        `Passwords are what they were; ${layout.passwordFile}, which kept the master user's, is gone. ` +
          `With --password, up keeps and shows it again; borealis password set makes another one.`,
      );
    logger.warn({ event: "volume.resurrected", ...facts, lastCommitTime: time });
    return { ...facts, lastCommitTime: time, passedOver, seconds };
  } catch (error) {
    progress.close();
    target.discard();
    throw asDiskFull(layout, error, "free some space, and start it again: it begins anew");
  } finally {
    target.release();
  }
}
