import { findLsn, type Lsn, lsnMaxOf } from "../base/lsn.ts";
import { type InstanceStatus, pulseSchema } from "../instance/index.ts";
import { type Clock, type Logger, sleep } from "../io/index.ts";
import { guardStepMs } from "./guard-shell.ts";
import { lifeOf } from "./lives.ts";
import { ReaderWatch } from "./reader-watch.ts";
import type { AgentCaller } from "./writer-change-shell.ts";

export interface ReadersWorld {
  readonly clock: Clock;
  readonly logger: Logger;
  /** How long one may be silent, but for what asking takes. */
  readonly detectionMs: number;
  /** Of every instance that is heard of. */
  statuses(): InstanceStatus[];
  client(id: string): AgentCaller | undefined;
  /** Others are silent than were. */
  onChange(): void;
}

/** Their PostgreSQL is asked twice a second: in less time than this a busy one would be taken for silent again and again. */
const detectionMinMs = 1_500;

/** Watches the readers that take sessions: those that answer nothing are left out, and whoever is there goes elsewhere. */
export class ReadersGuard {
  private readonly world: ReadersWorld;
  private readonly stepMs: number;
  private readonly watch: ReaderWatch;
  /** Lives whose agents have not answered yet. */
  private readonly asked = new Set<string>();

  constructor(world: ReadersWorld) {
    this.world = world;
    const { clock } = world;
    const detectionMs = Math.max(world.detectionMs, detectionMinMs);
    this.stepMs = guardStepMs(detectionMs);
    this.watch = new ReaderWatch({ detectionMs, stepMs: this.stepMs, nowMs: clock.nowMs() });
  }

  /** It answers nothing, or has not caught up since it did not. */
  isSilent(status: InstanceStatus): boolean {
    return this.watch.isSilent(lifeOf(status));
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.world;
    while (!signal.aborted) {
      this.look();
      await sleep(clock, this.stepMs, signal);
    }
  }

  private look(): void {
    const { world, watch } = this;
    const statuses = world.statuses();
    const readers = statuses.filter((one) => one.role === "reader" && one.isAdmitted);
    const before = new Set(readers.filter((one) => this.isSilent(one)));
    const watched = readers.map((one) => ({
      life: lifeOf(one),
      replayed: findLsn(one.replayLsn ?? ""),
    }));
    const hasChanged = watch.judge(watched, {
      durable: durableOf(statuses),
      nowMs: world.clock.nowMs(),
    });
    for (const reader of readers) {
      const { id: instance } = reader;
      const isSilent = this.isSilent(reader);
      if (isSilent && !before.has(reader)) world.logger.warn({ event: "reader.leftOut", instance });
      if (!isSilent && before.has(reader)) world.logger.info({ event: "reader.isBack", instance });
      void this.ask(reader);
    }
    if (hasChanged) world.onChange();
  }

  private async ask(reader: InstanceStatus): Promise<void> {
    const { world, watch, asked } = this;
    const life = lifeOf(reader);
    const client = world.client(reader.id);
    if (!client || asked.has(life)) return;
    asked.add(life);
    try {
      const answer = await client.call("pulse", {}, { timeoutMs: world.detectionMs });
      watch.notePulse(life, pulseSchema.parse(answer).silentMs, world.clock.nowMs());
    } catch {
      // Silence: it counts as such.
    } finally {
      asked.delete(life);
    }
  }
}

/** As far as anybody has told. */
function durableOf(statuses: readonly InstanceStatus[]): Lsn | undefined {
  const told = statuses.flatMap(({ vdl }) => findLsn(vdl ?? "") ?? []);
  const [first, ...others] = told;
  return first && others.reduce(lsnMaxOf, first);
}
