import { messageOf } from "../base/errors.ts";
import { type Clock, type Logger, sleep } from "../io/index.ts";
import type { InstanceRoles } from "./roles-shell.ts";
import { clusterSight, hear, type Heard } from "./sight.ts";
import type { InstanceStatus } from "../instance/index.ts";

const everyMs = 1_000;
/** One that is frozen is told again when it answers, and counts as not heard meanwhile. */
const answerMs = 5_000;

export interface SightDeps {
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface SightFacts {
  /** Who takes writes now. */
  readonly writer: () => string | null;
  readonly loopback: () => readonly string[];
}

/** Tells each agent how the cluster is, for what SQL shows there: at each change of who is who, and once a second. */
export class SightTeller {
  private readonly deps: SightDeps;
  private readonly roles: InstanceRoles;
  private readonly facts: SightFacts;
  private readonly heard = new Map<string, Heard>();
  /** Who has not answered yet, and whether there is news since that was told. */
  private readonly asked = new Map<string, { hasNews: boolean }>();
  private wake = new AbortController();

  constructor(deps: SightDeps, roles: InstanceRoles, facts: SightFacts) {
    this.deps = deps;
    this.roles = roles;
    this.facts = facts;
  }

  tellNow(): void {
    this.wake.abort();
  }

  async run(stop: AbortSignal): Promise<void> {
    const { clock } = this.deps;
    // One that has just begun would make readers of all that it has not heard yet.
    await this.roles.untilHeard();
    while (!stop.aborted) {
      this.wake = new AbortController();
      this.tellAll();
      await sleep(clock, everyMs, AbortSignal.any([stop, this.wake.signal]));
    }
  }

  private tellAll(): void {
    const { state } = this.roles;
    const known = new Set(state.instances.map(({ id }) => id));
    for (const id of this.heard.keys()) if (!known.has(id)) this.heard.delete(id);
    for (const id of known) this.takeStatus(id);
    for (const id of known) void this.tell(id);
  }

  /** What an agent says of itself counts from when it last answered: a frozen one is connected, too. */
  private takeStatus(id: string): void {
    const status = this.roles.status(id);
    if (!status) return;
    const before = this.heard.get(id);
    const isNews = !before || before.status !== status;
    this.hear(id, status, isNews ? this.deps.clock.wallMs() : before.atMs);
  }

  private hear(id: string, status: InstanceStatus, atMs: number): void {
    const isWriter = this.facts.writer() === id;
    this.heard.set(id, hear(this.heard.get(id), status, { isWriter, atMs }));
  }

  private async tell(id: string): Promise<void> {
    const pending = this.asked.get(id);
    if (pending) pending.hasNews = true;
    const client = this.roles.client(id);
    if (!client || pending) return;
    const question = { hasNews: false };
    this.asked.set(id, question);
    const { roles, heard, facts } = this;
    const { state } = roles;
    const [writer, loopback] = [facts.writer(), facts.loopback()];
    const nowMs = this.deps.clock.wallMs();
    const sight = clusterSight({ state, writer, heard, loopback, nowMs });
    try {
      await client.call("noteCluster", sight, { timeoutMs: answerMs });
      const status = this.roles.status(id);
      if (status) this.hear(id, status, this.deps.clock.wallMs());
    } catch (error) {
      this.deps.logger.debug({ event: "sight.notTold", instance: id }, messageOf(error));
    } finally {
      this.asked.delete(id);
    }
    if (question.hasNews) void this.tell(id);
  }
}
