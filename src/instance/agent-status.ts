import type { LogHold } from "../log-driver/index.ts";
import {
  type Building,
  type Figures,
  type InstanceStatus,
  type Role,
  unreadableMax,
} from "./messages.ts";
import type { RoleFacts } from "./role.ts";

/** A writer at rest says so often that VDL is still where it was. */
const vdlTimeStepMs = 500;

const noFacts: RoleFacts = {
  state: "stopped",
  isAdmitted: false,
  postgresPid: undefined,
  epoch: 0,
  timeline: 0,
  vdl: undefined,
  replayLsn: undefined,
  lagMs: undefined,
  hasQuorum: false,
};

/** What an agent tells of its instance. `facts`: its role's; undefined if it has none. */
export function agentStatus(
  agent: {
    readonly id: string;
    readonly role: Role;
    readonly incarnation: number;
    readonly pid: number;
    readonly building: Building | undefined;
    /** As in InstanceStatus. */
    readonly unreadable?: readonly string[];
    readonly problem: string | undefined;
    readonly nowMs: number;
    /** Undefined: SQL shows nothing of the cluster. */
    readonly own: Pick<Figures, "sessionId" | "cpu"> | undefined;
    readonly hold?: Pick<LogHold, "holding">;
  },
  facts: RoleFacts = noFacts,
): InstanceStatus {
  const { id, role, incarnation, pid, building, problem, nowMs, unreadable = [] } = agent;
  const heldLog = agent.hold?.holding;
  const isWriter = role === "writer" && facts.vdl !== undefined;
  return {
    id,
    role,
    state: problem !== undefined && role === "none" ? "failed" : facts.state,
    incarnation,
    agentPid: pid,
    postgresPid: facts.postgresPid ?? null,
    isAdmitted: facts.isAdmitted,
    epoch: facts.epoch,
    timeline: facts.timeline,
    vdl: facts.vdl ?? null,
    vdlAtMs: isWriter ? nowMs - (nowMs % vdlTimeStepMs) : null,
    replayLsn: facts.replayLsn ?? null,
    lagMs: facts.lagMs ?? null,
    hasQuorum: facts.hasQuorum,
    restartLsn: facts.restartLsn ?? null,
    stagedAt: facts.stagedAt ?? null,
    opening: facts.opening ?? null,
    building: building ?? null,
    ...(unreadable.length > 0 ? { unreadable: [...unreadable] } : {}),
    problem: problem ?? null,
    ...(heldLog ? { heldLog } : {}),
    figures: agent.own && {
      ...agent.own,
      receivedLsn: facts.receivedLsn ?? null,
      feedback: facts.feedback ?? null,
    },
  };
}

/** The newest `unreadableMax` of these objects: this one, and those before it. */
export function withUnreadable(before: readonly string[], object: string): readonly string[] {
  return [...before.filter((one) => one !== object), object].slice(-unreadableMax);
}
