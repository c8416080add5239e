/** Where a restore takes its bytes from: a cluster's own volume, or an object store alone. */
import { existsSync, readdirSync } from "node:fs";
import { parseAddress } from "../base/address.ts";
import { BorealisError, sqlState } from "../base/errors.ts";
import { nodeId, volumeId } from "../base/ids.ts";
import { advance, type Lsn } from "../base/lsn.ts";
import {
  addressBook,
  type ClusterState,
  inheritedParameters,
  type Layout,
  leftFutures,
} from "../cluster/index.ts";
import { readGenesis } from "../engine/index.ts";
import { type ClusterCredential, realClock, realRng } from "../io/index.ts";
import { type VolumeNodes, volumeNodesSchema } from "../instance/index.ts";
import {
  inspectNode,
  type LinkOwner,
  type NodeEndpoint,
  NodeStore,
  volumeLog,
  VolumeReader,
} from "../log-driver/index.ts";
import {
  type Deletions,
  ExtentSealer,
  type LeftFuture,
  type LogPath,
  type LogSource,
  type ObjectStore,
  openObjectStore,
  readDeletions,
  Replicas,
} from "../volume/index.ts";
import { openCredentials } from "./cluster-certificates.ts";
import type { Settings } from "./config.ts";
import { ask } from "./control-calls.ts";
import { readState } from "./data-dir.ts";
import { objectStoreOf } from "./object-store.ts";
import { openVolumeKeys } from "./volume-keys.ts";
import { viewOf } from "./volume-view.ts";

export interface RestoreSource {
  /** For people. */
  readonly label: string;
  readonly identity: VolumeIdentity;
  /** Nearest first. */
  readonly stores: readonly ObjectStore[];
  readonly replicas: Replicas;
  readonly sealer: ExtentSealer;
  /** A store may still show what was deleted while it was away. */
  readonly deletions: Deletions;
  /** The image that the volume was born with, if it lies here as a directory. */
  readonly genesis: { readonly dir: string; readonly startLsn: Lsn } | undefined;
  readonly log: SourceLog;
  /** What backtracks left: moments that the log's path does not have. */
  readonly left: readonly LeftFuture[];
  close(): Promise<void>;
}

export interface SourceLog extends LogSource {
  readonly path: LogPath;
  /** A record end or the start of a WAL segment. */
  readonly from: Lsn;
  /** Everything below is durable. It may lie inside a record. */
  readonly to: Lsn;
  /** Later moments are not known to be reached; milliseconds since 1970. */
  readonly latestMs: number;
  /** All of [from, to), in order. */
  pieces(from: Lsn, to: Lsn): AsyncIterable<Buffer>;
}

/** Of the volume that is restored: what the new one inherits. */
export interface VolumeIdentity {
  readonly volumeId: string;
  readonly systemIdentifier: string;
  readonly engineVersion: string;
  readonly masterUser: string;
  readonly isSuperuser: boolean;
  readonly encryption: "on" | "off";
  readonly createdAtMs: number;
  /** Of the cluster: without its writer. */
  readonly readers: number;
  /** What was set for all of its instances; undefined: nothing, or nobody here knows. */
  readonly parameters?: ClusterState["parameters"];
}

export interface ClusterPlace {
  readonly layout: Layout;
  readonly state: ClusterState;
  readonly settings: Settings;
}

const askTimeoutMs = 3_000;

/**
 * A cluster whose nodes run, by its data directory: log from them up to what is durable now. Who has started them himself says
 * how they are reached. Raises 57P03 when they do not answer.
 */
export async function openClusterSource(
  place: ClusterPlace,
  reached?: ReachedNodes,
): Promise<RestoreSource> {
  const { layout, state } = place;
  const keys = await openVolumeKeys(layout, state);
  const nodes = reached ?? (await nodesOf(place));
  const stores = await openStores(place, nodes);
  const log = await nodeLog(place, nodes);
  // Read after the path: a backtrack is written down before anybody's path shows it.
  const left = leftFutures(readState(layout) ?? state, realClock.wallMs());
  const sealer = new ExtentSealer({
    volumeId: volumeId(state.ancestorVolumeId ?? state.volumeId),
    keys,
  });
  return {
    label: layout.dataDir,
    identity: identityOf(state),
    stores,
    replicas: new Replicas({ stores, isSafe: () => true }),
    sealer,
    deletions: await readDeletions(stores, sealer),
    genesis: await findGenesis(layout),
    log,
    left,
    close: async () => {
      log.close();
      await Promise.all(stores.map((store) => store.close()));
    },
  };
}

/** Full nodes first, then the object store; one that is away is passed over. */
async function openStores(place: ClusterPlace, reached: ReachedNodes): Promise<ObjectStore[]> {
  const { layout, state, settings } = place;
  const volume = volumeId(state.volumeId);
  const world = { owner: ownerOf(place, reached), clock: realClock, rng: realRng };
  const stores: ObjectStore[] = endpointsOf(reached, "full").map(
    (endpoint) => new NodeStore({ endpoint, ...world, limits: { patienceMs: askTimeoutMs } }),
  );
  try {
    const { objectStoreUrl, objectStoreEnv } = objectStoreOf(layout, settings);
    stores.push(await openObjectStore(objectStoreUrl, volume, objectStoreEnv));
  } catch (error) {
    if (!(error instanceof BorealisError) || stores.length === 0) throw error;
  }
  return stores;
}

function ownerOf({ state }: Pick<ClusterPlace, "state">, { credential }: ReachedNodes): LinkOwner {
  return {
    volumeId: volumeId(state.volumeId),
    sender: "restore",
    ...(credential ? { credential } : {}),
  };
}

function endpointsOf({ nodes }: ReachedNodes, kind?: "full"): NodeEndpoint[] {
  return nodes
    .filter((node) => node.isMember && (kind === undefined || node.kind === kind))
    .map((node) => ({
      nodeId: nodeId(node.nodeId),
      name: node.name,
      address: parseAddress(node.address),
    }));
}

async function findGenesis({ genesisDir: dir }: Layout): Promise<RestoreSource["genesis"]> {
  if (!existsSync(dir)) return undefined;
  const { redoLsn: startLsn } = await readGenesis(dir);
  return { dir, startLsn };
}

function identityOf(state: ClusterState): VolumeIdentity {
  const { volumeId: volume, systemIdentifier, engineVersion, masterUser, isSuperuser } = state;
  const { encryption, instances } = state;
  return {
    volumeId: volume,
    systemIdentifier,
    engineVersion,
    masterUser,
    isSuperuser,
    encryption,
    createdAtMs: Date.parse(state.bornAt ?? state.createdAt),
    readers: instances.length - 1,
    ...inheritedParameters(state),
  };
}

export interface ReachedNodes {
  readonly nodes: VolumeNodes;
  readonly credential: ClusterCredential | undefined;
}

/** Ports of nodes are known to who runs them only; sockets can be told from the state. */
async function nodesOf({ layout, state, settings }: ClusterPlace): Promise<ReachedNodes> {
  if (settings["storage.transport"] === "unix" && !hasLinkTls(layout))
    return { nodes: addressBook(state, layout, {}), credential: undefined };
  const nodes = volumeNodesSchema.parse(await ask(layout, "nodes"));
  const credentials = await openCredentials(layout.linkTlsDir, ["instance"]);
  return { nodes, credential: credentials.get("instance") };
}

/** `up --set storage.transport=tls` is in no file that another process reads. */
function hasLinkTls({ linkTlsDir }: Layout): boolean {
  return existsSync(linkTlsDir) && readdirSync(linkTlsDir).length > 0;
}

async function nodeLog(
  place: ClusterPlace,
  reached: ReachedNodes,
): Promise<SourceLog & { close(): void }> {
  const { layout } = place;
  const owner = ownerOf(place, reached);
  const endpoints = endpointsOf(reached);
  const latestMs = realClock.wallMs();
  const bounds = { clock: realClock, timeoutMs: askTimeoutMs };
  const states = await Promise.all(endpoints.map((node) => inspectNode(node, owner, bounds)));
  const view = viewOf(states.filter((one) => one !== undefined));
  if (!view) {
    throw new BorealisError(
      sqlState.cannotConnectNow,
      `no storage node of the cluster in ${layout.dataDir} says what it has`,
      { hint: "borealis status shows the nodes" },
    );
  }
  const { path, from, durable } = view;
  const reader = new VolumeReader({ nodes: endpoints, owner, clock: realClock });
  const { read } = volumeLog(reader, path);
  async function* pieces(start: Lsn, end: Lsn): AsyncGenerator<Buffer> {
    for (let at = start; at < end;) {
      const bytes = await read(at, end);
      yield bytes;
      at = advance(at, bytes.length);
    }
  }
  return { path, from, to: durable, latestMs, read, pieces, close: () => reader.close() };
}
