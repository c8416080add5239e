import {
  addressBook,
  agentSocket,
  type ClusterState,
  instancePort,
  type Layout,
  portOffsets,
  postgresSocketDir,
} from "../cluster/index.ts";
import type { AgentConfig } from "../instance/index.ts";
import { present } from "../base/assert.ts";
import { encodeDataKeys } from "../keys/index.ts";
import type { Settings } from "./config.ts";
import type { LinkTransport } from "./link-transport.ts";
import type { OpenedEngine } from "./create.ts";
import type { NodeFacts } from "./node-processes.ts";
import type { UpOptions } from "./options.ts";
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
}

/** The configuration of each child process, already resolved: no child reads the environment or a settings file. */
export function childPlans(facts: PlanFacts): {
  proxy: () => ProxyConfig;
  control: () => unknown;
  agent: (instance: string) => AgentConfig;
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
      ...log,
    }),
    agent: (instance) => agentConfig(facts, instance),
    node: (node) => nodeConfig(facts, node),
  };
}

function proxyConfig({ options, layout, settings, stateNow, tls }: PlanFacts): ProxyConfig {
  const state = stateNow();
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
  { layout, settings, stateNow, engine, links }: PlanFacts,
  instance: string,
): AgentConfig {
  const state = stateNow();
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
    nodes: addressBook(state, layout, links.nodePorts),
    credential: links.credentialOf("instance"),
  };
}

function nodeConfig(
  { layout, settings, stateNow, keys, links }: PlanFacts,
  node: NodeFacts,
): unknown {
  // A node that was replaced, or was away when keys were rotated, has no copy of the newest ring.
  keys?.writeCopies();
  return {
    volumeId: stateNow().volumeId,
    nodeId: node.nodeId,
    name: node.name,
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
