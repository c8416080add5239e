/** Instances as a control plane sees them: what their agents tell, and how they answer. */
import { BorealisError, sqlState } from "../../src/base/errors.ts";
import { lsn } from "../../src/base/lsn.ts";
import type { Candidate } from "../../src/cluster/failover.ts";
import type { InstanceStatus } from "../../src/instance/index.ts";
import type { Clock } from "../../src/io/index.ts";

/** Answers to what is asked, by method. */
export type Script = Readonly<Record<string, (agent: ScriptedAgent) => unknown>>;

/** One agent. It answers `{}` to what its script does not name; to nothing while it is frozen, and to all of it then. */
export class ScriptedAgent {
  readonly id: string;
  readonly asked: { readonly method: string; readonly params: unknown }[] = [];
  status: InstanceStatus;
  script: Script;
  private readonly clock: Clock;
  private held: (() => void)[] | undefined;

  constructor(clock: Clock, role: "writer" | "reader", ordinal: number, script: Script = {}) {
    this.clock = clock;
    this.id = `instance-${ordinal}`;
    this.script = script;
    const life = { id: this.id, agentPid: 100 + ordinal, incarnation: 1 };
    const status = { ...life, role, isAdmitted: true, epoch: 1, timeline: 1, problem: null };
    this.status = status as InstanceStatus; // what is read of one here
  }

  get candidate(): Candidate {
    const { id, status } = this;
    const isReady = status.role === "reader" && status.isAdmitted;
    const ordinal = Number(id.split("-")[1]);
    const { state } = status;
    return { id, ordinal, tier: 1, state, isReady, isSilent: false, replayLsn: lsn(1n) };
  }

  /** It tells so from now on. */
  tell(news: Partial<InstanceStatus>): void {
    this.status = { ...this.status, ...news };
  }

  freeze(): void {
    this.held ??= [];
  }

  thaw(): void {
    const { held = [] } = this;
    this.held = undefined;
    for (const answer of held) answer();
  }

  /** How often it was asked that. */
  count(method: string): number {
    return this.asked.filter((one) => one.method === method).length;
  }

  call(method: string, params?: unknown, { timeoutMs }: { timeoutMs?: number } = {}) {
    this.asked.push({ method, params });
    return new Promise<unknown>((resolve, reject) => {
      const late = new BorealisError(sqlState.connectionFailure, `no answer to "${method}"`);
      if (timeoutMs !== undefined) this.clock.after(timeoutMs, () => reject(late));
      const answer = (): void => {
        const silence = method === "pulse" ? { silentMs: 0, standstillMs: 0 } : {};
        const told = async (): Promise<unknown> => this.script[method]?.(this) ?? silence;
        told().then(resolve, reject);
      };
      if (this.held) this.held.push(answer);
      else answer();
    });
  }
}
