import {
  agentSocket,
  type ClusterState,
  instancePort,
  type Layout,
  nodeAddress,
  portOffsets,
  postgresSocketDir,
} from "../cluster/index.ts";
import type { AgentConfig } from "../instance/index.ts";
import { present } from "../base/assert.ts";
import { encodeDataKeys } from "../keys/index.ts";
import type { Settings } from "./config.ts";
import type { LinkTransport } from "./link-transport.ts";
import type { OpenedEngine } from "./create.ts";
import type { UpOptions } from "./options.ts";
import type { ProxyConfig } from "./proxy-config.ts";
import type { TlsFiles } from "./tls-files.ts";
import type { VolumeKeys } from "./volume-keys.ts";

export interface PlanFacts {
  readonly options: UpOptions;
  readonly layout: Layout;
  readonly settings: Settings;
  readonly state: ClusterState;
  readonly engine: OpenedEngine;
  readonly tls: TlsFiles | null;
  /** Undefined: the volume is not encrypted. */
  readonly keys: VolumeKeys | undefined;
  readonly links: LinkTransport;
}

/** The configuration of each child process, already resolved: no child reads the environment or a settings file. */
export function childPlans(facts: PlanFacts): {
  proxy: () => ProxyConfig;
  control: () => unknown;
  agent: (instance: string) => AgentConfig;
  node: (name: string) => unknown;
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
      ...log,
    }),
    agent: (instance) => agentConfig(facts, instance),
    node: (name) => nodeConfig(facts, name),
  };
}

function proxyConfig({ options, layout, settings, state, tls }: PlanFacts): ProxyConfig {
  const { host, port } = options;
  return {
    host,
    controlSocket: layout.controlSocket,
    logFile: `${layout.logDir}/proxy.log`,
    logLevel: settings["log.level"],
    logMaxBytes: settings["log.maxBytes"],
    tls: tls === null ? null : { ...tls, isRequired: options.tls === "require" },
    gate: { mode: settings["gate.mode"], leaseMs: settings["gate.leaseMs"] },
    holdTimeoutMs: settings["session.holdTimeoutMs"],
    unauthenticatedMax: settings["session.unauthenticatedMax"],
    authenticationTimeoutMs: settings["session.authenticationTimeoutMs"],
    endpoints: [
      { id: "writer", type: "writer", port: port + portOffsets.writer },
      { id: "reader", type: "reader", port: port + portOffsets.reader },
      ...state.instances.map((one) => ({
        id: one.id,
        type: "instance" as const,
        port: instancePort(port, one.ordinal),
      })),
    ],
  };
}

function agentConfig(
  { layout, settings, state, engine, links }: PlanFacts,
  instance: string,
): AgentConfig {
  const { az } = present(
    state.instances.find((one) => one.id === instance),
    "an agent is of an instance",
  );
  return {
    instance,
    az,
    volumeId: state.volumeId,
    systemIdentifier: state.systemIdentifier,
    genesisLsn: state.genesisLsn,
    genesisDir: layout.genesisDir,
    instanceDir: `${engine.instancesDir}/${instance}`,
    socketDir: postgresSocketDir(layout, instance),
    agentSocket: agentSocket(layout, instance),
    logFile: `${layout.logDir}/${instance}.log`,
    postgresLogFile: `${layout.logDir}/${instance}.postgres`,
    logLevel: settings["log.level"],
    logMaxBytes: settings["log.maxBytes"],
    engine: { ...engine.engine, launcher: [...engine.engine.launcher] },
    osUser: engine.osUser ?? null,
    leaseMs: settings["gate.mode"] === "lease" ? settings["gate.leaseMs"] : 0,
    overrides: {},
    nodes: state.nodes.map((node) => ({
      name: node.id,
      nodeId: node.nodeId,
      az: node.az,
      kind: node.kind,
      address: nodeAddress(layout, links.nodePorts, node.id),
    })),
    credential: links.credentialOf("instance"),
  };
}

function nodeConfig({ layout, settings, state, keys, links }: PlanFacts, name: string): unknown {
  const addressOf = (id: string): string => nodeAddress(layout, links.nodePorts, id);
  // A node that was replaced, or was away when keys were rotated, has no copy of the newest ring.
  keys?.writeCopies();
  const node = present(
    state.nodes.find((one) => one.id === name),
    "a storage node is of the group",
  );
  return {
    volumeId: state.volumeId,
    nodeId: node.nodeId,
    name,
    az: node.az,
    kind: node.kind,
    dir: `${layout.storageDir}/${name}`,
    address: addressOf(name),
    credential: links.credentialOf("storage-node"),
    segmentBytes: settings["storage.segmentBytes"],
    scrubIntervalMs: settings["storage.scrubHours"] * 3_600_000,
    ...(keys ? { dataKeys: encodeDataKeys(keys.dataKeys) } : {}),
    logFile: `${layout.logDir}/${name}.log`,
    logLevel: settings["log.level"],
    logMaxBytes: settings["log.maxBytes"],
    peers: state.nodes
      .filter((peer) => peer.id !== name)
      .map((peer) => ({
        nodeId: peer.nodeId,
        name: peer.id,
        address: addressOf(peer.id),
      })),
  };
}
