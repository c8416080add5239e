import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { BorealisError, sqlState } from "../base/errors.ts";
import { epoch, nodeId, volumeId } from "../base/ids.ts";
import { formatLsn, type Lsn } from "../base/lsn.ts";
import { type ClusterState, type Layout, nodeDir } from "../cluster/index.ts";
import { realEntropy } from "../io/index.ts";
import type { Salvageable } from "../log-driver/index.ts";
import { commonPrefix, type History, memberSet } from "../quorum/index.ts";
import {
  type CloneBirth,
  type CloneSource,
  logFilesOf,
  makeCloneNode,
} from "../storage-node/index.ts";
import { deletionsOf, shareObjects } from "./clone-objects.ts";
import { readState } from "./data-dir.ts";
import type { Progress } from "./progress.ts";
import { replaceFile } from "./replace-file.ts";
import { forgetSalvage, readSalvage, type SalvageFile, writeSalvage } from "./salvage-file.ts";
import { keepFutures, lostFutures } from "./salvage-futures.ts";
import { shareFile } from "./share-files.ts";
import { treeBytes } from "./trees.ts";
import { inheritVolumeKeys, openVolumeKeys } from "./volume-keys.ts";

/** A node that is sealed: what it said of its log, of which nothing changes any more. */
export interface Survivor {
  /** Of its place. */
  readonly id: string;
  readonly nodeId: string;
  readonly history: History;
  readonly holdsTo: Lsn;
  readonly base: Lsn;
}

export interface SuccessorOrder {
  readonly layout: Layout;
  readonly state: ClusterState;
  readonly found: Salvageable;
  readonly survivors: readonly Survivor[];
  readonly successor: string;
  readonly progress: Progress;
}

const draftDir = (layout: Layout): string => `${layout.storageDir}/.successor`;
const formerDir = (layout: Layout): string => `${layout.storageDir}/.salvaged`;
const draftState = (layout: Layout): string => `${draftDir(layout)}/state.json`;

/**
 * Makes the successor's six nodes beside the old ones: by further names of a survivor's files where that has the whole log,
 * else as copies of one that has. All six are whole from the start. May be repeated.
 */
export async function buildSuccessor(order: SuccessorOrder): Promise<void> {
  const { layout, state, found, successor, progress } = order;
  const draft = draftDir(layout);
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft, { recursive: true, mode: 0o700 });
  const sources = await wholeSources(order);
  const nodes = state.nodes.map(({ id, az, kind }) => {
    return { id, az, kind, nodeId: realEntropy.uuid() };
  });
  const birth: CloneBirth = {
    volumeId: volumeId(successor),
    members: memberSet(
      nodes.map((one) => ({ nodeId: nodeId(one.nodeId), az: one.az, kind: one.kind })),
    ),
    path: found.path,
    parentVolume: volumeId(state.volumeId),
    from: found.low,
    branch: found.b,
    epoch: epoch(found.epoch + 1),
  };
  const all = [...sources.values()];
  const sourceOf = (id: string, index: number): CloneSource | undefined =>
    sources.get(id) ?? all[index % all.length];
  let doneBytes = 0;
  const totalBytes = nodes.reduce((sum, { id }, index) => sum + bytesOf(sourceOf(id, index)), 0);
  progress.begin("making the successor's storage nodes", totalBytes);
  const onShared = (bytes: number): void => progress.at((doneBytes += bytes));
  for (const [index, node] of nodes.entries()) {
    const own = sources.get(node.id);
    const source = sourceOf(node.id, index);
    if (!source) continue;
    await makeCloneNode({
      dir: `${draft}/${node.id}`,
      nodeId: nodeId(node.nodeId),
      birth,
      source,
      // Two nodes on one and the same bytes would be one copy.
      take: (from, to) => shareFile(from, to, { how: own ? "link" : "copy", onShared }),
    });
  }
  await keepObjects(order);
  progress.end();
  await inheritVolumeKeys({ layout, state }, { layout, volumeId: volumeId(successor) });
  const { clones: _, abandoned: __, expired: ___, backtrack: ____, ...rest } = state;
  const next: ClusterState = {
    ...rest,
    ...(await keepFutures(state, { sources: all, found, nowMs: Date.now() })),
    volumeId: successor,
    ancestorVolumeId: state.ancestorVolumeId ?? state.volumeId,
    nodes,
  };
  replaceFile(draftState(layout), `${JSON.stringify(next, null, 2)}\n`, { isDurable: true });
  writeSalvage(layout, {
    format: 1,
    successor,
    former: state.volumeId,
    isBuilt: true,
    futuresLost: lostFutures(state, next),
  });
}

/** Of each survivor that holds everything. Raises XX001 if none does: it was seen to be there. */
async function wholeSources({
  layout,
  state,
  found,
  survivors,
}: SuccessorOrder): Promise<Map<string, CloneSource>> {
  const { low: from, b: to, path } = found;
  const sources = new Map<string, CloneSource>();
  for (const { id, nodeId: own, history, holdsTo, base } of survivors) {
    const isMember = state.nodes.some((node) => node.id === id && node.nodeId === own);
    const isWhole =
      base <= from && holdsTo >= to && commonPrefix(history, path, { from, limit: to }) >= to;
    if (!isMember || !isWhole) continue;
    const source = await logFilesOf(nodeDir(layout, id), { from, to });
    if (source.kind === "files") sources.set(id, source);
  }
  if (sources.size > 0) return sources;
  throw new BorealisError(
    sqlState.dataCorrupted,
    `no storage node that is left has the whole log from ${formatLsn(from)} to ${formatLsn(to)}`,
    { hint: "repeat the command when more of them run; nothing was lost by it" },
  );
}

function bytesOf(source: CloneSource | undefined): number {
  if (source?.kind !== "files") return 0;
  const files = [...source.files, ...source.tails.flatMap((tail) => tail.files)];
  return files.reduce((sum, { path }) => sum + statSync(path).size, 0);
}

/** All snapshots, also of futures that were left, and all archived log. */
async function keepObjects(order: SuccessorOrder): Promise<void> {
  const { layout, state, successor, progress } = order;
  const keys = await openVolumeKeys(layout, state);
  const deletions = await deletionsOf({ layout, state }, keys);
  let doneBytes = 0;
  const onShared = (bytes: number): void => progress.at((doneBytes += bytes));
  const sharing = { how: "link", onShared } as const;
  const how = { parent: state, keys, pin: undefined, sharing, deletions };
  const { objectsDir } = layout;
  const folders = [[`${objectsDir}/${state.volumeId}`, `${objectsDir}/${successor}`] as const];
  for (const { id } of state.nodes)
    folders.push([`${nodeDir(layout, id)}/objects`, `${draftDir(layout)}/${id}/objects`]);
  progress.begin(
    "keeping the snapshots",
    folders.reduce((sum, [from]) => sum + treeBytes(from), 0),
  );
  for (const [from, to] of folders) await shareObjects(from, to, how);
}

/**
 * Puts the successor in the place of the old nodes; then it is the cluster's volume, and the old one's objects in the data
 * directory, which it has under names of its own, go. May be repeated at any point of it. Returns what was written down of it,
 * which the state does not say any more, and nothing will once it is finished.
 */
export function finishSalvage(layout: Layout): SalvageFile {
  const salvage = readSalvage(layout);
  if (salvage?.isBuilt !== true) throw new Error("a salvage is finished when it was built");
  if (existsSync(draftState(layout))) {
    const text = readFileSync(draftState(layout), "utf8");
    const { nodes } = JSON.parse(text) as ClusterState; // buildSuccessor wrote it, whole
    mkdirSync(formerDir(layout), { recursive: true, mode: 0o700 });
    for (const { id } of nodes) moveIn(layout, id);
    replaceFile(layout.stateFile, text, { isDurable: true });
  }
  const left = [draftDir(layout), formerDir(layout), `${layout.storageDir}/.replaced`];
  const { successor, former } = salvage;
  // What names like these keep would be there for ever: nobody collects for a volume that is no more.
  if (former !== undefined && readState(layout)?.volumeId === successor)
    left.push(`${layout.objectsDir}/${former}`);
  for (const dir of left) rmSync(dir, { recursive: true, force: true });
  forgetSalvage(layout);
  return salvage;
}

function moveIn(layout: Layout, id: string): void {
  const made = `${draftDir(layout)}/${id}`;
  if (!existsSync(made)) return; // it has its place already
  const place = nodeDir(layout, id);
  const former = `${formerDir(layout)}/${id}`;
  // One that is there already was moved away by an attempt before this one: what is in the place now is nobody's.
  if (existsSync(place) && existsSync(former)) rmSync(place, { recursive: true });
  else if (existsSync(place)) renameSync(place, former);
  rmSync(`${place}.failed`, { force: true });
  renameSync(made, place);
}
