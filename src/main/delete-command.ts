import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { createInterface } from "node:readline/promises";
import { pathToFileURL } from "node:url";
import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { type ClusterState, type Layout, liveClones } from "../cluster/index.ts";
import { readDeletion, readOrigin, writeDeletion } from "./clone-origin.ts";
import { down, type Options, printJson } from "./commands.ts";
import {
  lockDataDir,
  readState,
  removeIfEmpty,
  removeInstances,
  resolveLayout,
} from "./data-dir.ts";
import { isOfLock } from "./dir-lock.ts";
import { type Release, releaseAtParent } from "./parent-clones.ts";
import { resumedObjectStore, resumedSettings } from "./object-store.ts";
import { print } from "./print.ts";
import { forgetVolumes } from "./resurrect.ts";
import { isRunning } from "./running.ts";

export interface DeleteOptions extends Options {
  readonly keepSnapshots?: boolean;
  readonly force?: boolean;
  readonly yes?: boolean;
}

/**
 * Ends a cluster, a clone, or what an interrupted clone left, for good. Clones of it keep what they share: their files are
 * further names of the same ones. Repeating the command after it was interrupted goes on.
 */
export async function deleteCluster(options: DeleteOptions): Promise<void> {
  const layout = resolveLayout(options.dataDir);
  const begun = readDeletion(layout);
  const state = begun ? undefined : readState(layout);
  if (!begun && !state && !readOrigin(layout)) {
    throw new BorealisError(
      sqlState.notInPrerequisiteState,
      `there is no cluster in ${layout.dataDir}`,
      { hint: "--data-dir names another directory" },
    );
  }
  if (isRunning(layout) && options.force !== true) {
    throw new BorealisError(
      sqlState.notInPrerequisiteState,
      `the cluster in ${layout.dataDir} is running`,
      { hint: "stop it first (borealis down), or --force" },
    );
  }
  // What was begun is finished as it was meant.
  const keepSnapshots = begun?.keepSnapshots ?? options.keepSnapshots ?? false;
  if (!begun && keepSnapshots) requireArchive(layout);
  // Asked before its settings go, too.
  const kept = state && keptOf(layout, state);
  if (!begun) await confirm(options, layout, { state, keepSnapshots, kept });
  if (isRunning(layout)) await down({ dataDir: layout.dataDir, quiet: true });
  const unlock = lockDataDir(layout);
  const clones = state ? liveClones(state).length : 0;
  try {
    writeDeletion(layout, { keepSnapshots });
    const release = await releaseOwn(layout);
    removeFiles(layout, keepSnapshots);
    tell(options, layout, { release, keepSnapshots, kept, clones });
  } finally {
    unlock();
    removeIfEmpty(layout.controlDir);
    removeIfEmpty(layout.dataDir);
  }
}

async function confirm(
  options: DeleteOptions,
  layout: Layout,
  {
    state,
    keepSnapshots,
    kept,
  }: {
    readonly state: ClusterState | undefined;
    readonly keepSnapshots: boolean;
    readonly kept: Kept | undefined;
  },
): Promise<void> {
  if (options.yes === true) return;
  if (!process.stdin.isTTY || options.json === true) {
    throw new BorealisError(
      sqlState.invalidParameter,
      `borealis delete ends the cluster in ${layout.dataDir} for good`,
      { hint: "say --yes if you mean it" },
    );
  }
  const clones = state ? liveClones(state).length : 0;
  print(`This ends the cluster in ${layout.dataDir} for good.`);
  print(
    keepSnapshots
      ? "Its snapshots and keys are kept; whatever they do not hold is lost."
      : "All of its data goes, its snapshots and its keys too (--keep-snapshots keeps those).",
  );
  if (!keepSnapshots && kept?.isElsewhere === true)
    print(`Its objects stay in ${kept.store}: what is there is yours to remove.`);
  if (clones > 0) print(`Its ${plural(clones, "clone")} stay as they are.`);
  const lines = createInterface({ input: process.stdin, output: process.stdout });
  const answer = await lines.question("Type yes to go on: ");
  lines.close();
  if (answer.trim() === "yes") return;
  throw new BorealisError(sqlState.queryCanceled, "nothing was deleted");
}

/** A snapshot is nothing without the log that was written while it was taken, and the archive has that. */
function requireArchive(layout: Layout): void {
  if (resumedSettings(layout)["archive.enabled"] === "on") return;
  throw new BorealisError(
    sqlState.notInPrerequisiteState,
    `the cluster in ${layout.dataDir} archives no log (archive.enabled is off): nothing could be restored from its snapshots alone`,
    {
      hint: "borealis config archive.enabled on, start it, and delete it when status shows no lag of its archive; or restore what you need first",
    },
  );
}

function plural(count: number, noun: string): string {
  return count === 1 ? `1 ${noun}` : `${count} ${noun}s`;
}

/** What a restore from what is kept needs to be told. */
interface Kept {
  readonly store: string;
  readonly volume: string;
  readonly keys: string;
  /** The store is not the folder of the data directory. */
  readonly isElsewhere: boolean;
}

function keptOf(layout: Layout, { volumeId }: ClusterState): Kept {
  const store = resumedObjectStore(layout).objectStoreUrl;
  const isElsewhere = store !== pathToFileURL(layout.objectsDir).href;
  return { store, volume: volumeId, keys: layout.keyFile, isElsewhere };
}

type Released = Release | "refused";

/**
 * What this cluster, being a clone, made its parent keep. Undefined: it is none. A parent that cannot be told stands in
 * nobody's way: there the pin is shown as orphaned.
 */
async function releaseOwn(layout: Layout): Promise<Released | undefined> {
  try {
    const origin = readOrigin(layout);
    return origin && (await releaseAtParent(origin));
  } catch (error) {
    process.stderr.write(`borealis: the parent was not told (${messageOf(error)})\n`);
    return "refused";
  }
}

/** The control folder goes last: while it is there, everybody knows that this was being deleted. */
function removeFiles(layout: Layout, keepSnapshots: boolean): void {
  if (keepSnapshots) {
    keepKeyRing(layout);
    forgetVolumes(layout);
  }
  rmSync(layout.storageDir, { recursive: true, force: true });
  removeInstances(layout);
  if (!keepSnapshots)
    for (const dir of [layout.objectsDir, layout.keysDir])
      rmSync(dir, { recursive: true, force: true });
  rmSync(layout.logDir, { recursive: true, force: true });
  for (const file of [layout.passwordFile, layout.credentialsFile, layout.configFile])
    rmSync(file, { force: true });
  rmSync(layout.runtimeDir, { recursive: true, force: true });
  for (const name of readdirSync(layout.controlDir)) {
    if (isOfLock(name) || name === "deleting.json") continue;
    rmSync(`${layout.controlDir}/${name}`, { recursive: true, force: true });
  }
  rmSync(`${layout.controlDir}/deleting.json`, { force: true });
}

/** Nothing opens encrypted snapshots without it. */
function keepKeyRing(layout: Layout): void {
  const { keyRingFile, storageDir, keysDir } = layout;
  const nodes = existsSync(storageDir) ? readdirSync(storageDir) : [];
  const copies = [keyRingFile, ...nodes.map((name) => `${storageDir}/${name}/keyring.json`)];
  const found = copies.find((file) => existsSync(file));
  if (found === undefined) return;
  mkdirSync(keysDir, { recursive: true, mode: 0o700 });
  copyFileSync(found, `${keysDir}/keyring.json`);
}

function tell(
  options: DeleteOptions,
  layout: Layout,
  done: {
    readonly release: Released | undefined;
    readonly keepSnapshots: boolean;
    readonly kept: Kept | undefined;
    readonly clones: number;
  },
): void {
  const { dataDir } = layout;
  const { release, keepSnapshots, kept, clones } = done;
  if (options.json)
    return printJson({
      deleted: dataDir,
      keptSnapshots: keepSnapshots,
      kept: keepSnapshots || kept?.isElsewhere === true ? (kept ?? null) : null,
      clones,
    });
  print(`the cluster in ${dataDir} is deleted`);
  const objects = kept?.isElsewhere === true ? kept.store : layout.objectsDir;
  if (keepSnapshots) print(`kept: ${objects}, ${layout.keysDir}`);
  if (keepSnapshots && kept) {
    const { store, volume, keys } = kept;
    const from = `--store ${store} --volume ${volume} --keys ${keys}`;
    print(`restore it:  borealis restore ${from} --to latest --into <dir>`);
    print("             or --from SNAPSHOT instead of --to");
  }
  if (!keepSnapshots && kept?.isElsewhere === true)
    print(`its objects stay in ${kept.store}, in the folder ${kept.volume}: remove that yourself`);
  if (clones > 0) print(`its ${plural(clones, "clone")} go on: they hold what they shared`);
  if (release === "refused")
    print("its parent still keeps log for it: borealis storage unpin there");
  if (release === "released") print("its parent keeps log for it no longer");
}
