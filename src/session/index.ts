/**
 * The endpoints: one client's conversation from its first byte to its last. startEndpoints() opens the ports; what
 * passes between a client and its backend is decided by Conversation, which is pure (read conversation.ts, cycle.ts,
 * then client-side.ts and server-side.ts), and moved by session-shell.ts. Logins are login-shell.ts and
 * authentication.ts. Who is writer or reader, what is durable, and whether a writer's answers may be told, is asked of
 * Topology, AwaitDurable and ReadGates.
 */
export type { Action, UpTo } from "./action.ts";
export type { AdminDatabase, AdminVisit, AdminVisitor } from "./admin-visit.ts";
export type { AuditedStatements, AuditEvent, AuditFacts, Auditor } from "./auditor.ts";
export type { AwaitDurable } from "./durability-shell.ts";
export { Conversation } from "./conversation.ts";
export type { Admission } from "./doorman-shell.ts";
export {
  type Endpoint,
  type EndpointLimits,
  type EndpointsOptions,
  type PoolingOptions,
} from "./endpoint-options.ts";
export { EndpointServer, startEndpoints } from "./endpoint-shell.ts";
export { type Fate, fateOf, fateQuery, type FateSight, readFate, type WriterLife } from "./fate.ts";
export { EndpointSet, type EndpointSetOptions, type EndpointState } from "./endpoint-set-shell.ts";
export type { ExchangeOptions } from "./exchange-options.ts";
export { LeaseGate, RoundGate } from "./gate.ts";
export { TextPlanner } from "./plan.ts";
export { type DatabaseTraits, unknownTraits } from "./traits.ts";
export type { HonestySettings } from "./probe.ts";
export { parseBindTexts } from "./bind-values.ts";
export { codeNamesQuery, parseCodeNames } from "./code-names.ts";
export { type HiddenState, hiddenStateQuery, parseHiddenState } from "./hidden-state.ts";
export { readbackSteps } from "./readback.ts";
export type { RestoreCycle, RestorePlan } from "./restore.ts";
export { type Moment, SessionBook, type SessionBookOptions } from "./session-book.ts";
export { type Change, Changes } from "./session-change.ts";
export { type KeptKind, keptKinds } from "./kept-kind.ts";
export { outcomeNames } from "./outcomes.ts";
export {
  refusedReasons,
  SessionCounters,
  type SessionFigures,
  type SessionState,
} from "./session-counters.ts";
export { type SessionRow, sessionStates } from "./session-registry.ts";
export type { SessionTouch } from "./session-touch.ts";
export type { ReadGate, ReadGates } from "./read-gate-shell.ts";
export type { TokenLogins, TokenVerdict } from "./token-logins.ts";
export type { Choice, EndpointType, Target, Topology } from "./topology.ts";
