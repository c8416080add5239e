import { findLsn, formatLsn, type Lsn } from "../base/lsn.ts";
import type { NodeHealth, State } from "../quorum/index.ts";
import type { InstanceStatus } from "../instance/index.ts";
import type { ArchiveReport } from "../keeper/index.ts";
import type { StatusReport } from "./status-messages.ts";
import type { ProcessReport } from "./process-messages.ts";
import {
  type Available,
  customRoutes,
  endpointPlaces,
  membersFor,
  readersFor,
} from "./endpoints.ts";
import { heldLogText, nodeFaultText } from "./faults.ts";
import type { Lag } from "./lag-watch.ts";
import { instancePort, loopbackAddress } from "./ports.ts";
import type { ClusterState, CustomEndpoint, NodeState } from "./state.ts";
import { type LogSpan, volumeFigures, type VolumeParts } from "./volume-figures.ts";

/** What a storage node answered to Inspect. */
export interface NodeView {
  readonly scl: Lsn;
  readonly sclText: string;
  readonly epoch: number;
  readonly base: Lsn;
  readonly baseText: string;
  readonly logBytes: number;
  readonly health: NodeHealth;
  /** Since its process began. */
  readonly healed: number;
}

export function nodeView(state: State): NodeView {
  const { scl, accepted: epoch, base, ...rest } = state;
  const { logBytes, health, healed } = rest;
  const places = { scl, sclText: formatLsn(scl), base, baseText: formatLsn(base) };
  return { ...places, epoch, logBytes, health, healed };
}

export interface StatusFacts {
  readonly state: ClusterState;
  readonly isStopping: boolean;
  readonly host: string;
  readonly port: number;
  /** Further addresses at which endpoints answer. */
  readonly loopback: readonly string[];
  readonly dataDir: string;
  readonly supervisorPid: number | null;
  readonly instances: ReadonlyMap<string, InstanceStatus>;
  readonly lagOf: (status: InstanceStatus) => Lag;
  /** A reader that answers nothing. */
  readonly isSilent: (status: InstanceStatus) => boolean;
  readonly nodes: ReadonlyMap<string, NodeView>;
  readonly processes: ReadonlyMap<string, ProcessReport>;
  /** How many there are; 0: none, or nobody has said yet. */
  readonly snapshots: number;
  /** What a scrub found good in no store, and which snapshots are hurt; null: nothing, or nobody says. */
  readonly damage: string | null;
  /** Of the object store and of snapshots; null: nothing, or nobody says. */
  readonly problem: string | null;
  readonly parts: Omit<VolumeParts, "log">;
  readonly archive: {
    /** Undefined: the keeper does not run. */
    readonly report: ArchiveReport | undefined;
    /** As in ArchiveWatch. */
    readonly latestTime: string | null;
    readonly earliestTime: string | null;
  };
}

/** A node this far behind VDL is shown as catching up: more than one append in flight explains. */
const catchingUpBytes = 4n * 1024n * 1024n;

/** contract.md's `status --json`, from what the parts say. Pure. */
export function statusReport(facts: StatusFacts): StatusReport {
  const writer = writerOf(facts);
  const vdl = writer?.vdl ?? null;
  const logStarts = [...facts.nodes.values()].map((node) => node.baseText);
  return {
    cluster: {
      id: facts.state.clusterId,
      state: clusterStateOf(facts),
      engineVersion: facts.state.engineVersion,
      epoch: writer?.epoch ?? 0,
      timeline: writer?.timeline ?? 0,
      vdl,
      writer: writer?.isAdmitted ? writer.id : null,
      dataDir: facts.dataDir,
      supervisorPid: facts.supervisorPid,
    },
    endpoints: endpointRows(facts),
    instances: instanceRows(facts),
    storage: storageRows(facts, vdl),
    volume: {
      ...volumeFigures({ ...facts.parts, log: longestLog(facts.nodes) }),
      logStart: logStarts[0] ?? null,
      snapshots: facts.snapshots,
      damage: facts.damage,
      problem: facts.problem,
      earliestRestorableTime: facts.archive.earliestTime,
      latestRestorableTime: facts.archive.latestTime,
      archive: archiveRow(facts.archive.report),
    },
  };
}

/** A node that is being filled has less than the others. */
function longestLog(nodes: StatusFacts["nodes"]): LogSpan | undefined {
  const longest = [...nodes.values()].toSorted((a, b) => b.logBytes - a.logBytes)[0];
  return longest && { from: longest.base, to: longest.scl };
}

function archiveRow(report: ArchiveReport | undefined): StatusReport["volume"]["archive"] {
  if (!report?.isOn) return null;
  const { archivedLsn, lagBytes, problem } = report;
  return { archivedLsn, lagBytes, problem };
}

function writerOf(facts: StatusFacts): InstanceStatus | undefined {
  const status = facts.instances.get(facts.state.writer);
  return status?.role === "writer" ? status : undefined;
}

/** Aurora's words. `degraded`: writes wait, because fewer than a write quorum of nodes answers. */
export function clusterStateOf(facts: StatusFacts): StatusReport["cluster"]["state"] {
  if (facts.isStopping) return "stopping";
  const writer = writerOf(facts);
  const { backtrack } = facts.state;
  if (backtrack && !(writer?.isAdmitted && writer.epoch > backtrack.order.sinceEpoch))
    return "backtracking";
  if (writer?.isAdmitted) return writer.hasQuorum ? "available" : "degraded";
  return facts.state.isBootstrapped ? "failing-over" : "creating";
}

function endpointRows(facts: StatusFacts): StatusReport["endpoints"] {
  const { host, state } = facts;
  const available = availableNow(facts);
  const members: Record<EndpointRow["type"], (id: string) => string[]> = {
    writer: () => idsOf(available.filter((one) => one.isAdmitted && one.role === "writer")),
    reader: () => idsOf(readersFor(available, writerOf(facts)?.id ?? null)),
    instance: (id) => [id],
    custom: (id) =>
      customRoutes(state)
        .filter((one) => one.id === id)
        .flatMap((route) => idsOf(membersFor(route, available))),
  };
  return endpointPlaces(state, facts.port).map(({ id, type, port, allow }) => {
    const address = loopbackAddress(port, facts.port);
    const loopback = facts.loopback.includes(address) ? address : null;
    const whom = { members: members[type](id), allow: listOrNull(allow) };
    const row = { id, type, host, port, loopback, ...whom };
    const custom = type === "custom" && (state.endpoints ?? []).find((one) => one.id === id);
    return custom ? { ...row, custom: customFacts(custom) } : row;
  });
}

function listOrNull(list: readonly string[] | undefined): string[] | null {
  return list ? [...list] : null;
}

type EndpointRow = StatusReport["endpoints"][number];

function idsOf(instances: readonly Available[]): string[] {
  return instances.map(({ id }) => id);
}

function availableNow({ state, instances, lagOf, isSilent }: StatusFacts): Available[] {
  const statuses = state.instances.flatMap(({ id }) => instances.get(id) ?? []);
  const newest = Math.max(0, ...statuses.map(({ epoch }) => epoch));
  return statuses.map((one) => {
    const isCurrent = one.role !== "reader" || one.epoch === newest;
    const { isLagging } = lagOf(one);
    const isAdmitted = one.isAdmitted && isCurrent && !isSilent(one);
    return { id: one.id, role: one.role, isAdmitted, isLagging };
  });
}

function customFacts({ type, list }: CustomEndpoint): EndpointRow["custom"] {
  const isStatic = list.kind === "static";
  return {
    type,
    static: isStatic ? list.instances : null,
    excluded: !isStatic && list.instances.length > 0 ? list.instances : null,
  };
}

const answersNothing =
  "it answers nothing: its sessions go on elsewhere until it does, and has caught up";

function instanceRows(facts: StatusFacts): StatusReport["instances"] {
  return facts.state.instances.map((instance) => {
    const status = facts.instances.get(instance.id);
    return {
      id: instance.id,
      role: instance.id === facts.state.writer ? "writer" : "reader",
      az: instance.az,
      tier: instance.tier,
      state: instanceStateOf(facts, instance.id),
      agentPid: status?.agentPid ?? null,
      postgresPid: status?.postgresPid ?? null,
      replayLsn: status?.replayLsn ?? null,
      lagMs: lagShown(facts, status),
      port: instancePort(facts.port, instance.ordinal),
      building: status?.building ?? null,
      problem: status?.problem ?? (status && facts.isSilent(status) ? answersNothing : null),
      ...heldLogText(status?.heldLog),
    };
  });
}

/** What the agent says is exact, but may be old. */
function lagShown({ lagOf }: StatusFacts, status: InstanceStatus | undefined): number | null {
  if (status?.lagMs === undefined || status.lagMs === null) return null;
  return Math.max(status.lagMs, lagOf(status).lagMs);
}

/** An agent that is not heard, or has no role yet, is on its way as long as the supervisor means it to run. */
function instanceStateOf(
  facts: StatusFacts,
  id: string,
): StatusReport["instances"][number]["state"] {
  const status = facts.instances.get(id);
  if (status && (status.role !== "none" || status.state !== "stopped")) return status.state;
  const isMeantToRun = status !== undefined || facts.processes.size > 0;
  const isStopped = facts.processes.get(id)?.state === "stopped";
  return isMeantToRun && !isStopped && !facts.isStopping ? "starting" : "stopped";
}

function storageRows(facts: StatusFacts, vdlText: string | null): StatusReport["storage"] {
  const vdl = vdlText === null ? undefined : findLsn(vdlText);
  return facts.state.nodes.map((node) => {
    const view = facts.nodes.get(node.id);
    const process = facts.processes.get(node.id);
    return {
      id: node.id,
      az: node.az,
      kind: node.kind,
      nodeId: node.next?.nodeId ?? node.nodeId,
      state: storageStateOf(node, { process, view, vdl }),
      pid: process?.pid ?? null,
      scl: view?.sclText ?? null,
      base: view?.baseText ?? null,
      epoch: view?.epoch ?? null,
      bytes: view?.logBytes ?? null,
      health: view?.health ?? null,
      ...nodeFaultText(process?.faults),
    };
  });
}

function storageStateOf(
  node: NodeState,
  seen: { process: ProcessReport | undefined; view: NodeView | undefined; vdl: Lsn | undefined },
): StatusReport["storage"][number]["state"] {
  const { process: report, view, vdl } = seen;
  const hasLostDisk = report?.disk !== undefined && report.disk !== "ok";
  if (node.next || node.isFilling || (hasLostDisk && report.state !== "stopped"))
    return "rebuilding";
  if (report?.state === "stopped") return "stopped";
  if (!view) return "down";
  return vdl !== undefined && vdl - view.scl > catchingUpBytes ? "catching-up" : "up";
}

/** The report of a cluster that is not running: what its files know. */
export function stoppedReport(
  state: ClusterState,
  at: { host: string; port: number; dataDir: string },
): StatusReport {
  const report = statusReport({
    ...at,
    loopback: [],
    state,
    isStopping: false,
    supervisorPid: null,
    instances: new Map(),
    lagOf: () => ({ lagMs: 0, isLagging: false }),
    isSilent: () => false,
    nodes: new Map(),
    processes: new Map(),
    snapshots: 0,
    damage: null,
    problem: null,
    parts: { pins: [], branch: undefined, extents: undefined },
    archive: { report: undefined, latestTime: null, earliestTime: null },
  });
  return {
    ...report,
    cluster: { ...report.cluster, state: "stopped" },
    storage: report.storage.map((row) => ({ ...row, state: "stopped" as const })),
  };
}
