import { copyFileSync, existsSync, mkdirSync, rmSync, statSync } from "node:fs";
import { present } from "../base/assert.ts";
import { BorealisError, sqlState } from "../base/errors.ts";
import { epoch, nodeId, volumeId } from "../base/ids.ts";
import { formatLsn } from "../base/lsn.ts";
import {
  type ClusterState,
  inheritedFutures,
  inheritedParameters,
  type Layout,
  nodeDir,
} from "../cluster/index.ts";
import { realEntropy } from "../io/index.ts";
import { memberSet, type Pin } from "../quorum/index.ts";
import {
  type CloneBirth,
  type CloneSource,
  makeCloneNode,
  pinnedFiles,
  readNodeState,
} from "../storage-node/index.ts";
import { type BranchPoint, requireFound } from "./clone-point.ts";
import { newInstances } from "./create.ts";
import { readState } from "./data-dir.ts";
import { keepObjectStore } from "./object-store.ts";
import type { Progress } from "./progress.ts";
import { replaceFile } from "./replace-file.ts";
import type { ClusterPlace } from "./restore-source.ts";
import { writeSecret } from "./secret-file.ts";
import { shareFile, type Sharing, shareTree } from "./share-files.ts";
import { treeBytes } from "./trees.ts";
import { deletionsOf, shareObjects } from "./clone-objects.ts";
import { inheritVolumeKeys, openVolumeKeys } from "./volume-keys.ts";

export interface CloneOrder {
  readonly parent: ClusterPlace;
  readonly target: Layout;
  readonly pinId: string;
  readonly how: Sharing["how"];
  readonly progress: Progress;
  /** How many instances, the writer included. */
  readonly instances: number;
  /** Where it was to branch off, as it was found before the parent kept its log. */
  readonly found: BranchPoint;
}

export interface BuiltClone {
  /** Where it branches off. */
  readonly branch: string;
  /** Nodes that have the log from the start; the others fill from them. */
  readonly wholeNodes: number;
  readonly nodes: number;
}

/** A node that lags has linked the pin a moment later than the others. */
const linkPatienceMs = 3_000;
const lookAgainMs = 50;

/** What was left of an attempt goes; the lock and the origin stay. */
export function clearTarget(target: Layout): void {
  const { storageDir, objectsDir, keysDir, instancesDir, logDir } = target;
  for (const dir of [storageDir, objectsDir, keysDir, instancesDir, logDir])
    rmSync(dir, { recursive: true, force: true });
  for (const file of [target.passwordFile, target.credentialsFile, target.configFile])
    rmSync(file, { force: true });
  rmSync(target.keyRingFile, { force: true });
}

/**
 * Makes the clone's data directory out of what the parent's nodes keep under the pin: log files under further names, the
 * genesis image, snapshots and their extents likewise, the same data keys. The state file comes last: until then there is no
 * cluster. Raises 57P03 when too few nodes keep the pin, 55000 when it is of another path than the branch was found on.
 */
export async function buildClone(order: CloneOrder): Promise<BuiltClone> {
  const { parent, target, pinId } = order;
  const { pin, promised } = await findPin(parent, pinId);
  requireFound(order.found, pin);
  for (const dir of [target.storageDir, target.logDir, target.keysDir])
    mkdirSync(dir, { recursive: true, mode: 0o700 });
  const sources = await whenLinked(parent, pin);
  const nodes = parent.state.nodes.map(({ id, az, kind }) => {
    return { id, az, kind, nodeId: realEntropy.uuid() };
  });
  const members = memberSet(
    nodes.map((one) => ({ nodeId: nodeId(one.nodeId), az: one.az, kind: one.kind })),
  );
  const wholeNodes = [...sources.values()].filter(({ kind }) => kind === "files").length;
  // Whoever owns the clone first reads from as few as that.
  if (wholeNodes < members.writeQuorum) throw tooFew(wholeNodes, members.writeQuorum, sources);
  const birth: CloneBirth = {
    volumeId: volumeId(pinId),
    members,
    path: pin.path,
    parentVolume: volumeId(parent.state.volumeId),
    from: pin.from,
    branch: pin.to,
    epoch: epoch(promised + 1),
  };
  const sharing = toldOf(order, [...sources.values()]);
  for (const node of nodes) {
    await makeCloneNode({
      dir: nodeDir(target, node.id),
      nodeId: nodeId(node.nodeId),
      birth,
      source: present(sources.get(node.id), "every place was looked at"),
      take: (from, to) => shareFile(from, to, sharing),
    });
  }
  await shareTree(parent.layout.genesisDir, target.genesisDir, sharing);
  await shareSnapshots(order, pin, sharing);
  order.progress.end();
  await inheritVolumeKeys(parent, { layout: target, volumeId: volumeId(pinId) });
  writeSecrets(parent.layout, target);
  keepObjectStore(target, parent.settings["objectStore.url"]);
  const state = stateOf(order, nodes, pin);
  replaceFile(target.stateFile, `${JSON.stringify(state, null, 2)}\n`, { isDurable: true });
  return { branch: formatLsn(pin.to), wholeNodes, nodes: nodes.length };
}

/** Snapshots, in the folder of the data directory and on the full nodes; another object store copies for the clone's keeper. */
async function shareSnapshots(
  { parent, target, pinId }: CloneOrder,
  pin: Pin,
  sharing: Sharing,
): Promise<void> {
  const { layout, state } = parent;
  const keys = await openVolumeKeys(layout, state);
  const deletions = await deletionsOf(parent, keys);
  const how = { parent: state, keys, pin, sharing, deletions };
  await shareObjects(
    `${layout.objectsDir}/${state.volumeId}`,
    `${target.objectsDir}/${pinId}`,
    how,
  );
  for (const { id } of state.nodes)
    await shareObjects(`${nodeDir(layout, id)}/objects`, `${nodeDir(target, id)}/objects`, how);
}

/** Tells how it gets on: bytes of files, of which hardly any are copied where files can be shared. */
function toldOf(order: CloneOrder, sources: readonly CloneSource[]): Sharing {
  const { parent, how, progress } = order;
  const { layout, state } = parent;
  const logBytes = sources
    .flatMap((source) => (source.kind === "files" ? source.files : []))
    .reduce((sum, { path }) => sum + statSync(path).size, 0);
  const trees = [
    layout.genesisDir,
    `${layout.objectsDir}/${state.volumeId}`,
    ...state.nodes.map(({ id }) => `${nodeDir(layout, id)}/objects`),
  ];
  const totalBytes = trees.reduce((sum, dir) => sum + treeBytes(dir), logBytes);
  progress.begin(how === "link" ? "sharing the parent's files" : "copying the files", totalBytes);
  let doneBytes = 0;
  return { how, onShared: (bytes) => progress.at((doneBytes += bytes)) };
}

/** The pin as the parent's nodes have it on their disks, and the highest epoch that any of them has promised. */
async function findPin({ layout, state }: CloneOrder["parent"], pinId: string) {
  let pin: Pin | undefined;
  let promised = 0;
  for (const { id } of state.nodes) {
    const node = await readNodeState(nodeDir(layout, id)).catch(() => undefined);
    pin ??= node?.pins.find((one) => one.pinId === pinId);
    promised = Math.max(promised, node?.promised ?? 0);
  }
  if (pin) return { pin, promised };
  throw new BorealisError(sqlState.internal, `no storage node has the pin ${pinId}`);
}

/** What each node's place has for the clone, once all have it, or the patience is over. */
async function whenLinked(
  { layout, state }: CloneOrder["parent"],
  pin: Pin,
): Promise<Map<string, CloneSource>> {
  const startMs = performance.now();
  for (;;) {
    const found = new Map<string, CloneSource>();
    for (const { id } of state.nodes) found.set(id, await lookForFiles(nodeDir(layout, id), pin));
    const areAll = [...found.values()].every(({ kind }) => kind === "files");
    if (areAll || performance.now() - startMs > linkPatienceMs) return found;
    await new Promise((resolve) => setTimeout(resolve, lookAgainMs));
  }
}

async function lookForFiles(dir: string, pin: Pin): Promise<CloneSource> {
  try {
    return await pinnedFiles(dir, pin);
  } catch (error) {
    // Its disk is gone, or it is making the folder at this moment.
    return { kind: "none", why: error instanceof Error ? error.message : String(error) };
  }
}

function tooFew(
  whole: number,
  needed: number,
  sources: ReadonlyMap<string, CloneSource>,
): BorealisError {
  const why = [...sources].flatMap(([id, source]) =>
    source.kind === "none" ? [`${id}: ${source.why}`] : [],
  );
  return new BorealisError(
    sqlState.cannotConnectNow,
    `only ${whole} storage nodes hold the clone's log whole, and ${needed} are needed`,
    { hint: `wait until storage is well (borealis status), and repeat; ${why.join("; ")}` },
  );
}

function writeSecrets(parent: Layout, target: Layout): void {
  // Who may log in is in the database, which is the same.
  if (existsSync(parent.passwordFile)) copyFileSync(parent.passwordFile, target.passwordFile);
  const key = `BRLS${realEntropy.bytes(8).toString("hex").toUpperCase()}`;
  writeSecret(target.credentialsFile, `${key}:${realEntropy.bytes(24).toString("base64url")}`);
  if (existsSync(parent.configFile)) copyFileSync(parent.configFile, target.configFile);
}

/** Endpoints that every cluster has. */
const common = new Set<string>(["writer", "reader"]);

function stateOf(
  { parent, pinId, instances, found: { isBootstrapped } }: CloneOrder,
  nodes: ClusterState["nodes"],
  { path, to }: Pin,
): ClusterState {
  // It has other instances than those that custom endpoints name, and log of one path: nothing to return to.
  const { clones: _, leaving: __, endpoints: ___, access: ____, ...rest } = parent.state;
  const {
    backtrack: _____,
    abandoned: ______,
    expired: _______,
    parameters: ________,
    ...inherited
  } = rest;
  // What is not for everybody is not for everybody there, either.
  const access = parent.state.access?.filter(({ endpoint }) => common.has(endpoint)) ?? [];
  const madeAtMs = Date.now();
  // Read after the path: a backtrack is written down before anybody's path shows it.
  const parentNow = readState(parent.layout) ?? parent.state;
  const expired = inheritedFutures(parentNow, { path, at: to, madeAtMs });
  return {
    ...inherited,
    ...(access.length > 0 && { access }),
    ...(expired.length > 0 && { expired }),
    ...inheritedParameters(parent.state),
    clusterId: `borealis-${pinId.slice(0, 8)}`,
    volumeId: pinId,
    ancestorVolumeId: parent.state.ancestorVolumeId ?? parent.state.volumeId,
    createdAt: new Date(madeAtMs).toISOString(),
    bornAt: parent.state.bornAt ?? parent.state.createdAt,
    isBootstrapped,
    writer: "instance-1",
    instances: newInstances(instances - 1),
    readersAtBirth: instances - 1,
    nodes,
    branchLsn: formatLsn(to),
  };
}
