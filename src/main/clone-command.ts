import { existsSync, readdirSync, statSync } from "node:fs";
import { z } from "zod";
import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { type ClusterState, type Layout } from "../cluster/index.ts";
import { realEntropy } from "../io/index.ts";
import { type BuiltClone, buildClone, clearTarget } from "./clone-build.ts";
import {
  type CloneOrigin,
  forgetOrigin,
  readDeletion,
  readOrigin,
  requireWhole,
  writeOrigin,
} from "./clone-origin.ts";
import { type BranchPoint, branchFinder, type FindBranch } from "./clone-point.ts";
import { type Options, printJson, requireCluster } from "./commands.ts";
import { newClusterBytes, readState, requireSpace, resolveLayout } from "./data-dir.ts";
import { asDiskFull, nothingLeft } from "./disk-full.ts";
import { resumedSettings } from "./object-store.ts";
import { type ParentOrder, pinRunning, releaseAtParent } from "./parent-clones.ts";
import { pinStopped } from "./pin-stopped.ts";
import { print } from "./print.ts";
import { Progress } from "./progress.ts";
import type { ClusterPlace } from "./restore-source.ts";
import { otherFileSystem } from "./share-files.ts";
import { isOnlyLock, requireApart, takeDir, type TakenDir } from "./target-dir.ts";
import { isRunning } from "./running.ts";

export interface CloneOptions extends Options {
  readonly into: string;
  readonly to?: string;
  readonly copy?: boolean;
  readonly readers?: string;
  /** Starts it there when it is made. */
  readonly port?: string;
}

const readersSchema = z.coerce.number().int().min(0).max(15);

/**
 * A new cluster in another directory that shares this one's files up to a point of its log, and writes only its own changes.
 * The parent goes on; it may be down, too. Repeating the command after it was interrupted begins anew.
 */
export async function clone(options: CloneOptions): Promise<void> {
  const startedMs = performance.now();
  const { layout, state } = requireCluster(options);
  requireWhole(layout);
  const settings = resumedSettings(layout);
  const parent = { layout, state, settings };
  const progress = new Progress({ isJson: options.json ?? false });
  const find = branchFinder(options.to, { parent, progress });
  const instances = instanceCount(options.readers, state);
  const target = resolveLayout(options.into);
  requireApart(target.dataDir, layout.dataDir);
  const taken = takeTarget(target);
  let built: BuiltClone;
  try {
    await giveUpFormer(target);
    requireSameFileSystem(layout, target, options.copy ?? false);
    requireSpace(target, newClusterBytes);
    built = await make({
      parent,
      target,
      find,
      instances,
      copy: options.copy ?? false,
      progress,
    });
  } catch (error) {
    taken.release();
    taken.giveBack();
    const isUndone = readOrigin(target) === undefined;
    throw asDiskFull(target, error, isUndone ? nothingLeft : "free some space, and repeat it");
  } finally {
    progress.close();
    taken.release();
  }
  const seconds = Math.round(performance.now() - startedMs) / 1000;
  const facts = { clone: target.dataDir, lsn: built.branch, seconds };
  if (!options.json) tell(options, target, built, seconds);
  else if (options.port === undefined) printJson(facts);
  if (options.port !== undefined) await start(options, target, { port: options.port, facts });
}

function instanceCount(readers: string | undefined, state: ClusterState): number {
  if (readers === undefined) return state.instances.length;
  const parsed = readersSchema.safeParse(readers);
  if (parsed.success) return parsed.data + 1;
  throw new BorealisError(sqlState.invalidParameter, `--readers: "${readers}" cannot be used`, {
    hint: "give a number from 0 to 15",
  });
}

/** Raises 55000 unless the directory is empty, or holds what an interrupted clone left. */
function takeTarget(target: Layout): TakenDir {
  const { dataDir } = target;
  const refuse = (why: string, hint: string): BorealisError =>
    new BorealisError(sqlState.notInPrerequisiteState, `${dataDir} ${why}`, { hint });
  if (readState(target))
    throw refuse("holds a cluster already", "choose another directory with --into");
  if (readDeletion(target))
    throw refuse("was being deleted", `finish that first: borealis delete --data-dir ${dataDir}`);
  const isEmpty = !existsSync(dataDir) || readdirSync(dataDir).length === 0;
  const mayTake = isEmpty || readOrigin(target) !== undefined || isOnlyLock(target);
  if (!mayTake) throw refuse("is not empty", "choose another directory with --into");
  return takeDir(target);
}

/** Whatever an interrupted attempt left here and made its parent keep goes first. */
async function giveUpFormer(target: Layout): Promise<void> {
  const former = readOrigin(target);
  if (!former) return;
  // In this order: the parent may lie on the same full disk, and has to write that it lets go.
  clearTarget(target);
  await releaseAtParent(former);
}

function requireSameFileSystem(parent: Layout, target: Layout, mayCopy: boolean): void {
  if (mayCopy) return;
  const isSame = statSync(parent.storageDir).dev === statSync(target.dataDir).dev;
  if (!isSame) throw otherFileSystem(target.dataDir);
}

interface Making {
  readonly parent: ClusterPlace;
  readonly target: Layout;
  readonly find: FindBranch;
  readonly instances: number;
  readonly copy: boolean;
  readonly progress: Progress;
}

async function make(making: Making): Promise<BuiltClone> {
  const { parent, target, find, copy } = making;
  const { layout, state } = parent;
  const origin: CloneOrigin = {
    format: 1,
    pinId: realEntropy.uuid(),
    parent: { dataDir: layout.dataDir, volumeId: state.volumeId },
  };
  writeOrigin(target, origin);
  const order = {
    pinId: origin.pinId,
    dataDir: target.dataDir,
    createdAt: new Date().toISOString(),
  };
  try {
    const found = await pin(parent, order, find);
    const how = copy ? "copy" : "link";
    const { pinId } = origin;
    return await buildClone({ ...making, pinId, how, found });
  } catch (error) {
    await undo(origin, target);
    throw error;
  }
}

async function pin(
  parent: ClusterPlace,
  order: ParentOrder,
  find: FindBranch,
): Promise<BranchPoint> {
  try {
    if (!isRunning(parent.layout)) return await pinStopped(parent, order, find);
    const branch = await find(undefined);
    await pinRunning(parent.layout, { ...order, to: branch.to });
    return branch;
  } catch (error) {
    // Nothing is written to the clone's disk by this, which may be another one.
    throw asDiskFull(parent.layout, error, "free some space there: it keeps log for its clone");
  }
}

/** What cannot be undone now is shown by `storage list`, and goes when the command is repeated. */
async function undo(origin: CloneOrigin, target: Layout): Promise<void> {
  try {
    clearTarget(target);
    await releaseAtParent(origin);
    forgetOrigin(target);
  } catch (error) {
    process.stderr.write(
      `borealis: the parent still keeps log for ${target.dataDir} (${messageOf(error)}); repeat the command, or borealis storage unpin ${origin.pinId}\n`,
    );
  }
}

function tell(options: CloneOptions, target: Layout, built: BuiltClone, seconds: number): void {
  const { branch, wholeNodes, nodes } = built;
  print(
    `clone of ${options.dataDir} at ${branch} made in ${target.dataDir} (${seconds.toFixed(1)} s)`,
  );
  if (wholeNodes < nodes) {
    print(`${nodes - wholeNodes} of its storage nodes fill from the others when it runs`);
  }
  if (options.port !== undefined) return;
  print(`start it:  borealis up --data-dir ${target.dataDir} --port <port>`);
  print(`end it:    borealis delete --data-dir ${target.dataDir}`);
}

/** With --json, what was made is told in the document of the start. */
async function start(
  options: CloneOptions,
  target: Layout,
  { port, facts }: { readonly port: string; readonly facts: Record<string, unknown> },
): Promise<void> {
  const { up } = await import("./up.ts");
  const given = ["dataDir", "port", "detach"];
  const { dataDir } = target;
  await up({ dataDir, port, detach: true, json: options.json ?? false, given }, facts);
}
