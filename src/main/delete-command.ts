import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { type ClusterState, type Layout, liveClones, nodeDir } from "../cluster/index.ts";
import {
  automaticSnapshotFacts,
  FolderStore,
  genesisSnapshotId,
  liveSnapshots,
} from "../volume/index.ts";
import { readDeletion, readOrigin, writeDeletion } from "./clone-origin.ts";
import { down, type Options, printJson } from "./commands.ts";
import {
  lockDataDir,
  readState,
  removeIfEmpty,
  removeInstances,
  resolveLayout,
} from "./data-dir.ts";
import { isConfirmed } from "./confirmation.ts";
import { isOfLock } from "./dir-lock.ts";
import { type Kept, keptAfter, type Leaving, objectsLeft } from "./kept-objects.ts";
import { type Release, releaseAtParent } from "./parent-clones.ts";
import { resumedObjectStore, resumedSettings } from "./object-store.ts";
import { print } from "./print.ts";
import { Progress } from "./progress.ts";
import { openStoreSource } from "./restore-store-source.ts";
import { forgetVolumes } from "./resurrect.ts";
import { isRunning } from "./running.ts";
import { removeTree, treeBytes } from "./trees.ts";

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
  const leaving = { keepSnapshots, isEncrypted: state?.encryption === "on" };
  if (!begun) await confirm(options, layout, { state, leaving, kept });
  const progress = new Progress({ isJson: options.json ?? false });
  if (isRunning(layout)) await stop(layout, progress);
  const unlock = lockDataDir(layout);
  const clones = state ? liveClones(state).length : 0;
  try {
    if (state && keepSnapshots) await requireKept(layout, state);
    writeDeletion(layout, { keepSnapshots });
    const release = await releaseOwn(layout);
    removeFiles(layout, { keepSnapshots, progress });
    tell(options, layout, { release, leaving, kept, clones });
  } finally {
    progress.close();
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
    leaving,
    kept,
  }: {
    readonly state: ClusterState | undefined;
    readonly leaving: Leaving;
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
    leaving.keepSnapshots
      ? "Its snapshots and keys are kept; whatever they do not hold is lost."
      : "All of its data goes, its snapshots and its keys too (--keep-snapshots keeps those).",
  );
  const left = objectsLeft(kept, leaving, "will");
  if (left !== undefined) print(`And ${left}.`);
  if (clones > 0) print(`Its ${plural(clones, "clone")} stay as they are.`);
  if (await isConfirmed("yes")) return;
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

/**
 * That the object store has what is to be kept: a restore could begin with it, and it has each of the users' snapshots that a node has.
 * Those that were taken while it was away, or before a clone's store was filled, are on the nodes alone. What goes is not looked for.
 */
async function requireKept(layout: Layout, state: ClusterState): Promise<void> {
  const { objectStoreUrl: url, objectStoreEnv: env } = resumedObjectStore(layout);
  const place = { url, env, volume: state.volumeId, keyFile: layout.keyFile };
  const source = await openStoreSource(place).catch((error: unknown) => {
    throw nothingKept(layout, messageOf(error), error);
  });
  try {
    const { ids: kept } = await liveSnapshots(source.stores, source.deletions);
    const folders = state.nodes.map(({ id }) => `${nodeDir(layout, id)}/objects`);
    const nodes = folders.filter(existsSync).map((folder) => new FolderStore(folder));
    const { ids } = await liveSnapshots(nodes, source.deletions);
    const isUsers = (id: string): boolean =>
      id !== genesisSnapshotId && automaticSnapshotFacts(id) === undefined;
    const lacking = [...ids.keys()].filter((id) => isUsers(id) && !kept.has(id));
    if (kept.size === 0 || lacking.length > 0)
      throw nothingKept(layout, `it lacks ${lacking.join(", ") || "any snapshot"}`);
  } finally {
    await source.close();
  }
}

function nothingKept(layout: Layout, why: string, cause?: unknown): BorealisError {
  return new BorealisError(
    sqlState.notInPrerequisiteState,
    `the object store of the cluster in ${layout.dataDir} does not have what is to be kept: ${why}`,
    {
      hint: "start the cluster, and delete it when status shows no lag of its archive and snapshot list --store has all; or leave --keep-snapshots out",
      cause,
    },
  );
}

function plural(count: number, noun: string): string {
  return count === 1 ? `1 ${noun}` : `${count} ${noun}s`;
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

async function stop({ dataDir }: Layout, progress: Progress): Promise<void> {
  try {
    progress.begin("stopping the cluster");
    await down({ dataDir, quiet: true });
    progress.end();
  } finally {
    progress.close();
  }
}

/** The control folder goes last: while it is there, everybody knows that this was being deleted. */
function removeFiles(
  layout: Layout,
  { keepSnapshots, progress }: { readonly keepSnapshots: boolean; readonly progress: Progress },
): void {
  const { storageDir, instancesDir, objectsDir, keysDir, logDir } = layout;
  if (keepSnapshots) {
    keepKeyRing(layout);
    forgetVolumes(layout);
  }
  const folders = [...(keepSnapshots ? [] : [objectsDir, keysDir]), logDir];
  const all = [storageDir, instancesDir, ...folders];
  progress.begin(
    "removing files",
    all.reduce((sum, dir) => sum + treeBytes(dir), 0),
  );
  let doneBytes = 0;
  const remove = (dir: string): void =>
    removeTree(dir, (bytes) => progress.at((doneBytes += bytes)));
  remove(storageDir);
  removeInstances(layout, remove);
  for (const dir of folders) remove(dir);
  for (const file of [layout.passwordFile, layout.credentialsFile, layout.configFile])
    rmSync(file, { force: true });
  rmSync(layout.runtimeDir, { recursive: true, force: true });
  for (const name of readdirSync(layout.controlDir)) {
    if (isOfLock(name) || name === "deleting.json") continue;
    rmSync(`${layout.controlDir}/${name}`, { recursive: true, force: true });
  }
  rmSync(`${layout.controlDir}/deleting.json`, { force: true });
  progress.end();
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
    readonly leaving: Leaving;
    readonly kept: Kept | undefined;
    readonly clones: number;
  },
): void {
  const { dataDir } = layout;
  const { release, leaving, kept, clones } = done;
  const { keepSnapshots } = leaving;
  if (options.json)
    return printJson({
      deleted: dataDir,
      keptSnapshots: keepSnapshots,
      kept: keptAfter(kept, leaving),
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
  const left = objectsLeft(kept, leaving, "did");
  if (left !== undefined) print(left);
  if (clones > 0) print(`its ${plural(clones, "clone")} go on: they hold what they shared`);
  if (release === "refused")
    print("its parent still keeps log for it: borealis storage unpin there");
  if (release === "released") print("its parent keeps log for it no longer");
}
