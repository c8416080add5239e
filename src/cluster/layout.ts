import { createHash } from "node:crypto";

/** Where everything of one cluster lies. Pure: a data directory and a runtime directory in, paths out. */
export interface Layout {
  readonly dataDir: string;
  /** Short-lived sockets (D16): under the system's temporary directory, because their paths are bounded. */
  readonly runtimeDir: string;
  readonly configFile: string;
  readonly passwordFile: string;
  readonly credentialsFile: string;
  readonly controlDir: string;
  readonly stateFile: string;
  readonly eventsFile: string;
  readonly runtimeFile: string;
  /** The keeper's: objects of snapshots that are good in no store. */
  readonly lossesFile: string;
  readonly lockFile: string;
  /** Local principals with their access keys: secrets. */
  readonly iamUsersFile: string;
  readonly tlsKeyFile: string;
  readonly tlsCertFile: string;
  /** Certificates between processes; made again if it is lost. */
  readonly linkTlsDir: string;
  readonly storageDir: string;
  readonly instancesDir: string;
  readonly genesisDir: string;
  readonly logDir: string;
  readonly keysDir: string;
  /** The default key provider's master keys. */
  readonly keyFile: string;
  /** The volume's data keys, wrapped; `storage/NODE/keyring.json` are copies. */
  readonly keyRingFile: string;
  /** The embedded object store: below it a folder a volume, and the genesis image. */
  readonly objectsDir: string;
  readonly controlSocket: string;
  readonly keeperSocket: string;
  readonly supervisorSocket: string;
  readonly proxySocket: string;
}

/** Longest path that a unix socket may have: 107 bytes on Linux, 103 elsewhere (sun_path less its zero). */
export function socketPathMaxBytes(platform: string): number {
  return platform === "linux" ? 107 : 103;
}

/** The runtime directory of a data directory: `TMP/borealis-UID-HASH`. */
export function runtimeDirOf(temporaryDir: string, uid: number, dataDir: string): string {
  const hash = createHash("sha256").update(dataDir).digest("hex").slice(0, 10);
  return `${temporaryDir.replace(/\/+$/, "")}/borealis-${uid}-${hash}`;
}

export function layoutOf(dataDir: string, runtimeDir: string): Layout {
  const control = `${dataDir}/control`;
  return {
    dataDir,
    runtimeDir,
    configFile: `${dataDir}/borealis.json`,
    passwordFile: `${dataDir}/password`,
    credentialsFile: `${dataDir}/credentials`,
    controlDir: control,
    stateFile: `${control}/state.json`,
    eventsFile: `${control}/events.jsonl`,
    runtimeFile: `${control}/runtime.json`,
    lossesFile: `${control}/losses.json`,
    lockFile: `${control}/lock`,
    iamUsersFile: `${control}/iam/users.json`,
    tlsKeyFile: `${control}/server.key`,
    tlsCertFile: `${control}/server.crt`,
    linkTlsDir: `${control}/tls`,
    storageDir: `${dataDir}/storage`,
    instancesDir: `${dataDir}/instances`,
    genesisDir: `${dataDir}/objects/genesis`,
    logDir: `${dataDir}/log`,
    keysDir: `${dataDir}/keys`,
    keyFile: `${dataDir}/keys/master.json`,
    keyRingFile: `${control}/keyring.json`,
    objectsDir: `${dataDir}/objects`,
    controlSocket: `${runtimeDir}/control.sock`,
    keeperSocket: `${runtimeDir}/keeper.sock`,
    supervisorSocket: `${runtimeDir}/supervisor.sock`,
    proxySocket: `${runtimeDir}/proxy.sock`,
  };
}

/**
 * Loopback ports of storage nodes by name; none for nodes on unix sockets. Two for each name: a node and its successor
 * listen at the same time, each at the same port all its life.
 */
export type NodePorts = Readonly<Record<string, readonly [number, number]>>;

/** One storage node, as far as its address is concerned. */
export interface NodePlace {
  readonly id: string;
  readonly nodeId: string;
  /** Which of the name's two ports is its own; 0 unless told. */
  readonly side?: 0 | 1 | undefined;
}

/** Where a storage node listens, as base/address.ts writes it: the same wherever its folder is moved to. */
export function nodeAddress(layout: Layout, ports: NodePorts, node: NodePlace): string {
  const port = ports[node.id]?.[node.side ?? 0];
  return port === undefined ? nodeSocket(layout, node) : `tls://127.0.0.1:${port}`;
}

function nodeSocket(layout: Layout, node: NodePlace): string {
  return `${layout.runtimeDir}/node-${node.id}-${node.nodeId.slice(0, 8)}.sock`;
}

/** Folder of the node that has the name now. */
export function nodeDir(layout: Layout, id: string): string {
  return `${layout.storageDir}/${id}`;
}

/** Where nodes that are being replaced live until they are out. */
export function replacedDir(layout: Layout): string {
  return `${layout.storageDir}/.replaced`;
}

export function agentSocket(layout: Layout, instance: string): string {
  return `${layout.runtimeDir}/agent-${instance}.sock`;
}

/** Directory of one PostgreSQL's private socket; it belongs to the engine's user. */
export function postgresSocketDir(layout: Layout, instance: string): string {
  return `${layout.runtimeDir}/pg-${instance}`;
}

/**
 * The longest socket path that an instance of that name will need, to be checked before anything is made; without a name
 * as long as those of `instance-K` with some room.
 */
export function longestSocketPath(layout: Layout, instance = "i".repeat(16)): string {
  return `${postgresSocketDir(layout, instance)}/feed/.s.PGSQL.5432.lock`;
}
