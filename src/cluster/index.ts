/**
 * One cluster: who belongs to it, who is the writer, where its endpoints point, how it is. Start with state.ts (what
 * is kept), status.ts (what is shown) and control-shell.ts (the control plane). Nothing here decides what is durable:
 * storage nodes do, so the control plane may die at any moment.
 */
export { AgentLines } from "./agent-lines-shell.ts";
export { leftFutures } from "./backtrack.ts";
export { branched, clonesMax, liveClones, released, requireClone, withClone } from "./clones.ts";
export type { ControlDeps } from "./control-deps-shell.ts";
export { ControlPlane } from "./control-shell.ts";
export { type InjectedNodes, type NodeFaults, nodeFaultsSchema } from "./fault-messages.ts";
export { type EndpointPlace, endpointPlaces, whyNobody } from "./endpoints.ts";
export { TopologyFollower } from "./follow-shell.ts";
export { inheritedFutures } from "./inherited-futures.ts";
export { AgentGates, type GatesOptions } from "./gate-shell.ts";
export { AgentDurability, PushedTopology } from "./routing-shell.ts";
export { statusPage } from "./page.ts";
export {
  agentSocket,
  type Layout,
  layoutOf,
  longestSocketPath,
  nodeDir,
  nodeAddress,
  type NodePorts,
  postgresSocketDir,
  replacedDir,
  runtimeDirOf,
  socketPathMaxBytes,
} from "./layout.ts";
export {
  type CloneReport,
  cloneReportSchema,
  type BacktrackProgress,
  backtrackProgressSchema,
  type BacktrackReport,
  type BacktrackRequest,
  type ControlConfig,
  controlConfigSchema,
  endpointPlaceSchema,
  type KeyReport,
  keyReportSchema,
  type FailoverReport,
  failoverSchema,
  type Health,
  healthSchema,
  leavingSchema,
  type Listening,
  type PinnedClone,
  pinnedCloneSchema,
  type ReplacementReport,
  replacementSchema,
  type Rotation,
  rotationSchema,
  type ScrubStep,
  scrubStepSchema,
  type ShutPort,
  type TopologyMessage,
  topologySchema,
} from "./messages.ts";
export {
  type ParameterRow,
  parameterRowsSchema,
  type ParameterWish,
} from "./parameter-messages.ts";
export { inheritedParameters } from "./parameters.ts";
export { type StatusReport, statusSchema } from "./status-messages.ts";
export { killAgentSchema, type ProcessReport } from "./process-messages.ts";
export { type NodeName, protectionGroupNames, zoneOf } from "./names.ts";
export {
  customPort,
  instancePort,
  instancesMax,
  loopbackAddress,
  loopbackAddresses,
  portOffsets,
} from "./ports.ts";
export {
  type CloneState,
  type AbandonedFuture,
  type ClusterState,
  clusterStateFormat,
  type InstanceState,
  type NodeState,
  parseClusterState,
} from "./state.ts";
export { addressBook, type DiskVerdict, leavingName } from "./replacement.ts";
export { statusReport, stoppedReport } from "./status.ts";
