import {
  addressBook,
  agentSocket,
  type ClusterState,
  endpointPlaces,
  type InstanceState,
  type Layout,
  loopbackAddresses,
  portOffsets,
  postgresSocketDir,
} from "../cluster/index.ts";
import type { AgentConfig } from "../instance/index.ts";
import type { KeeperConfig } from "../keeper/index.ts";
import { isLoopback } from "../base/address.ts";
import { present } from "../base/assert.ts";
import { endpointHosts } from "../iam/index.ts";
import { encodeDataKeys } from "../keys/index.ts";
import { relativesOf } from "./clone-origin.ts";
import type { Settings } from "./config.ts";
import type { LinkTransport } from "./link-transport.ts";
import type { OpenedEngine } from "./create.ts";
import type { NodeFacts } from "./node-processes.ts";
import { objectStoreOf } from "./object-store.ts";
import type { UpOptions } from "./options.ts";
import { stretchesIn } from "./stretches.ts";
import type { ProxyConfig } from "./proxy-config.ts";
import type { TlsFiles } from "./tls-files.ts";
import type { VolumeKeys } from "./volume-keys.ts";

export interface PlanFacts {
  readonly options: UpOptions;
  readonly layout: Layout;
  readonly settings: Settings;
  /** Asked at each start of a child. */
  readonly stateNow: () => ClusterState;
  readonly engine: OpenedEngine;
  readonly tls: TlsFiles | null;
  /** Undefined: the volume is not encrypted. */
  readonly keys: VolumeKeys | undefined;
  readonly links: LinkTransport;
  /** Whether this host lets endpoints have loopback addresses of their own. */
  readonly hasLoopback: boolean;
}

/** The configuration of each child process, already resolved: no child reads the environment or a settings file. */
export function childPlans(facts: PlanFacts): {
  proxy: () => ProxyConfig;
  control: () => unknown;
  keeper: () => KeeperConfig;
  agent: (instance: InstanceState) => AgentConfig;
  node: (node: NodeFacts) => unknown;
} {
  const { options, layout, settings, links } = facts;
  const log = { logLevel: settings["log.level"], logMaxBytes: settings["log.maxBytes"] };
  return {
    proxy: () => proxyConfig(facts),
    control: () => ({
      dataDir: layout.dataDir,
      runtimeDir: layout.runtimeDir,
      supervisorPid: process.pid,
      host: options.host,
      port: options.port,
      httpPort: options.httpPort ?? options.port + portOffsets.http,
      nodePorts: links.nodePorts,
      credential: links.credentialOf("control-plane"),
      backtrackWindowMs: settings["backtrack.windowHours"] * 3_600_000,
      detectionMs: settings["failover.detectionMs"],
      lagMaxMs: settings["reader.lagMaxMs"],
      warmEveryMs: settings["reader.warmEveryMs"],
      hasSurface: settings["sql.aurora"] === "on",
      ...log,
    }),
    keeper: () => keeperConfig(facts),
    agent: (instance) => agentConfig(facts, instance),
    node: (node) => nodeConfig(facts, node),
  };
}

function keeperConfig({
  layout,
  settings,
  stateNow,
  engine,
  keys,
  links,
}: PlanFacts): KeeperConfig {
  const state = stateNow();
  const writer = state.instances.find(({ id }) => id === state.writer);
  return {
    az: present(writer, "the state names a writer that it has").az,
    volumeId: state.volumeId,
    addressVolumeId: state.ancestorVolumeId ?? state.volumeId,
    relatives: relativesOf(layout, state),
    systemIdentifier: state.systemIdentifier,
    genesisLsn: state.genesisLsn,
    genesisDir: layout.genesisDir,
    lossesFile: layout.lossesFile,
    postgresMajor: engine.engine.major,
    socket: layout.keeperSocket,
    ...objectStoreOf(layout, settings),
    snapshots: {
      logBytes: settings["snapshot.logBytes"],
      maxAgeMs: settings["snapshot.maxAgeMinutes"] * 60_000,
      collectEveryMs: settings["snapshot.collectMinutes"] * 60_000,
      rateMaxBytes: settings["snapshot.rateMaxBytes"],
      retentionMs: settings["retention.days"] * 86_400_000,
    },
    scrubIntervalMs: settings["storage.scrubHours"] * 3_600_000,
    archive: {
      isOn: settings["archive.enabled"] === "on",
      intervalMs: settings["archive.intervalMs"],
      rateMaxBytes: settings["archive.rateMaxBytes"],
    },
    volume: {
      clusterId: state.clusterId,
      createdAt: state.bornAt ?? state.createdAt,
      engineVersion: state.engineVersion,
      masterUser: state.masterUser,
      isSuperuser: state.isSuperuser,
      encryption: state.encryption,
    },
    keyRingFile: keys ? layout.keyRingFile : null,
    dataKeys: keys ? encodeDataKeys(keys.dataKeys) : null,
    credential: links.credentialOf("control-plane"),
    logFile: `${layout.logDir}/keeper.log`,
    logLevel: settings["log.level"],
    logMaxBytes: settings["log.maxBytes"],
  };
}

function proxyConfig(facts: PlanFacts): ProxyConfig {
  const { options, layout, settings, stateNow, tls, hasLoopback } = facts;
  const { host, port } = options;
  const { masterUser, engineVersion } = stateNow();
  return {
    host,
    masterUser,
    engineVersion,
    postgresMajor: facts.engine.engine.major,
    dataDir: layout.dataDir,
    runtimeDir: layout.runtimeDir,
    logFile: `${layout.logDir}/proxy.log`,
    logLevel: settings["log.level"],
    logMaxBytes: settings["log.maxBytes"],
    tls: tls === null ? null : { ...tls, isRequired: options.tls === "require" },
    gate: { mode: settings["gate.mode"], leaseMs: settings["gate.leaseMs"] },
    holdTimeoutMs: settings["session.holdTimeoutMs"],
    replayMaxBytes: settings["session.replayMaxBytes"],
    unauthenticatedMax: settings["session.unauthenticatedMax"],
    unauthenticatedPerAddressMax: settings["session.unauthenticatedPerAddressMax"],
    connectionsPerSecond: settings["session.connectionsPerSecond"],
    connectionsBurst: settings["session.connectionsBurst"],
    failuresMax: settings["session.failuresMax"],
    failureDelayMs: settings["session.failureDelayMs"],
    allow: stretchesIn(settings["access.allow"]),
    audit: auditConfig(layout, settings),
    authenticationTimeoutMs: settings["session.authenticationTimeoutMs"],
    pooling: {
      mode: settings["pool.mode"],
      endpoints: namesIn(settings["pool.endpoints"]),
      maxConnectionsPercent: settings["pool.maxConnectionsPercent"],
      borrowTimeoutMs: settings["pool.borrowTimeoutMs"],
      idleTimeoutMs: settings["pool.idleTimeoutMs"],
    },
    iam:
      settings["iam.enabled"] === "off"
        ? null
        : {
            usersFile: layout.iamUsersFile,
            region: settings["iam.region"],
            hosts: endpointHosts(host, [
              ...namesIn(settings["iam.hosts"]),
              ...(hasLoopback ? loopbackAddresses() : []),
            ]),
            // Whoever makes tokens for this machine is on it; by other names clients come from elsewhere, through a tunnel.
            tellsWhy: isLoopback(host) && settings["iam.hosts"] === "",
          },
    endpoints: endpointPlaces(stateNow(), port),
    loopbackPort: hasLoopback ? port : null,
  };
}

function auditConfig(layout: Layout, settings: Settings): ProxyConfig["audit"] {
  if (settings["audit.enabled"] === "off") return null;
  return {
    file: `${layout.logDir}/audit.log`,
    maxBytes: settings["audit.maxBytes"],
    filesMax: settings["audit.files"],
    statements: settings["audit.statements"],
  };
}

/** A setting's names, parted by commas. */
function namesIn(text: string): string[] {
  return text.split(",").filter((name) => name !== "");
}

function agentConfig(
  { options, layout, settings, stateNow, engine, keys, links }: PlanFacts,
  { id: instance, az }: InstanceState,
): AgentConfig {
  const state = stateNow();
  return {
    instance,
    az,
    volumeId: state.volumeId,
    addressVolumeId: state.ancestorVolumeId ?? state.volumeId,
    systemIdentifier: state.systemIdentifier,
    genesisLsn: state.genesisLsn,
    genesisDir: layout.genesisDir,
    instanceDir: `${engine.instancesDir}/${instance}`,
    socketDir: postgresSocketDir(layout, instance),
    agentSocket: agentSocket(layout, instance),
    controlSocket: layout.controlSocket,
    logFile: `${layout.logDir}/${instance}.log`,
    postgresLogFile: `${layout.logDir}/${instance}.postgres`,
    logLevel: settings["log.level"],
    logMaxBytes: settings["log.maxBytes"],
    engine: { ...engine.engine, launcher: [...engine.engine.launcher] },
    osUser: engine.osUser ?? null,
    leaseMs: settings["gate.mode"] === "lease" ? settings["gate.leaseMs"] : 0,
    overrides: {},
    hasSurface: settings["sql.aurora"] === "on",
    forcesTls: options.tls === "require",
    nodes: addressBook(state, layout, links.nodePorts),
    credential: links.credentialOf("instance"),
    ...objectStoreOf(layout, settings),
    dataKeys: keys ? encodeDataKeys(keys.dataKeys) : null,
  };
}

export function nodeConfig(
  {
    layout,
    settings,
    stateNow,
    keys,
    links,
  }: Pick<PlanFacts, "layout" | "settings" | "stateNow" | "keys" | "links">,
  node: NodeFacts,
): unknown {
  // A node that was replaced, or was away when keys were rotated, has no copy of the newest ring.
  keys?.writeCopies();
  return {
    volumeId: stateNow().volumeId,
    nodeId: node.nodeId,
    name: node.name,
    kind: node.kind,
    dir: node.dir,
    address: node.address,
    credential: links.credentialOf("storage-node"),
    segmentBytes: settings["storage.segmentBytes"],
    scrubIntervalMs: settings["storage.scrubHours"] * 3_600_000,
    ...(keys ? { dataKeys: encodeDataKeys(keys.dataKeys) } : {}),
    logFile: `${layout.logDir}/${node.name}.log`,
    logLevel: settings["log.level"],
    logMaxBytes: settings["log.maxBytes"],
    peers: node.peers,
  };
}
