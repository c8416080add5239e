/**
 * The agent of one instance: it keeps one PostgreSQL in the role that the cluster gave it. On the writer it runs the
 * log driver, on a reader the log feed. Start with agent-shell.ts; messages.ts is what others may ask of it.
 */
export type { AgentDeps } from "./agent-deps-shell.ts";
export { InstanceAgent } from "./agent-shell.ts";
export {
  type AgentConfig,
  agentConfigSchema,
  type BacktrackOrder,
  backtrackOrderSchema,
  type BackupSource,
  type Bootstrap,
  type ClusterSight,
  durationsSchema,
  type Feedback,
  type InstanceFigures,
  instanceFiguresSchema,
  type InstanceStatus,
  instanceStatusSchema,
  type PinReport,
  pinReportSchema,
  pathSchema,
  pulseSchema,
  type PathText,
  type ReaderOrder,
  readLeaseSchema,
  readRoundSchema,
  type Role,
  type VolumeNodes,
  volumeNodesSchema,
  type WantedMembers,
  type WriterOrder,
} from "./messages.ts";
export {
  type FaultOrder,
  faultOrderSchema,
  holdingSchema,
  type Injected,
} from "./fault-messages.ts";
export {
  adoptionSchema,
  notTakenSchema,
  type ParameterChange,
  type ParameterStates,
  parameterStatesSchema,
  type ParameterValues,
  triedSchema,
} from "./parameter-messages.ts";
export { startPhases } from "./start-phases.ts";
export { instanceSight } from "./sight.ts";
export { injectFunctions } from "./inject-functions.ts";
export { auroraNames } from "./surface-functions.ts";
export { sessionSettings } from "./surface-roles.ts";
export { LagHistory } from "./lag-history.ts";
export { linkOwner, nodesNearestFirst, volumeNodes } from "./nodes.ts";
export { pinForClone } from "./pins-shell.ts";
export { isDone as isBacktrackDone } from "./backtrack.ts";
export { parsePath, toPathText } from "./path-text.ts";
