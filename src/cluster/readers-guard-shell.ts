import { findLsn, type Lsn, lsnMaxOf } from "../base/lsn.ts";
import { type InstanceStatus, pulseSchema } from "../instance/index.ts";
import { type Clock, type Logger, sleep } from "../io/index.ts";
import { guardStepMs } from "./guard-shell.ts";
import { lifeOf } from "./lives.ts";
import { ReaderWatch, UnheardWatch } from "./reader-watch.ts";
import type { AgentCaller } from "./writer-change-shell.ts";

export interface ReadersWorld {
  readonly clock: Clock;
  readonly logger: Logger;
  /** How long one may be silent, but for what asking takes. */
  readonly detectionMs: number;
  /** Of every instance that is heard of. */
  statuses(): InstanceStatus[];
  /** Who is no writer, takes our call, and has told nothing yet. */
  unheard(): string[];
  /** When the writer's PostgreSQL last answered; undefined: none is open. */
  writerHeardMs(): number | undefined;
  client(id: string): AgentCaller | undefined;
  /** Others are silent than were. */
  onChange(): void;
}

/** Their PostgreSQL is asked twice a second: in less time than this a busy one would be taken for silent again and again. */
const detectionMinMs = 1_500;
/** An agent that lives has told what it is by then. */
const unheardMinMs = 3_000;

/** Watches the readers that take sessions: those that answer nothing are left out, and whoever is there goes elsewhere. */
export class ReadersGuard {
  private readonly world: ReadersWorld;
  private readonly stepMs: number;
  private readonly watch: ReaderWatch;
  private readonly unheard: UnheardWatch;
  /** Who has been silent since before it was heard. */
  private readonly wereUnheard = new Set<string>();
  /** Lives whose agents have not answered yet. */
  private readonly asked = new Set<string>();

  constructor(world: ReadersWorld) {
    this.world = world;
    const { clock } = world;
    const detectionMs = Math.max(world.detectionMs, detectionMinMs);
    this.stepMs = guardStepMs(detectionMs);
    const nowMs = clock.nowMs();
    const { stepMs } = this;
    this.watch = new ReaderWatch({ detectionMs, stepMs, nowMs });
    const maxMs = Math.max(detectionMs, unheardMinMs);
    this.unheard = new UnheardWatch({ maxMs, stepMs, nowMs });
  }

  /** Its agent takes our call, and has told nothing at all. */
  isUnheard(id: string): boolean {
    return this.unheard.isSilent(id);
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
    const nowMs = world.clock.nowMs();
    const statuses = world.statuses();
    const isUnheardNew = this.lookAtUnheard(nowMs);
    const readers = statuses.filter((one) => one.role === "reader" && one.isAdmitted);
    const before = new Set(readers.filter((one) => this.isSilent(one)));
    const watched = readers.map((one) => ({
      life: lifeOf(one),
      replayed: findLsn(one.replayLsn ?? ""),
      wasUnheard: this.wereUnheard.delete(one.id),
    }));
    const writerHeardMs = world.writerHeardMs();
    const hasChanged = watch.judge(watched, { durable: durableOf(statuses), nowMs, writerHeardMs });
    for (const reader of readers) {
      const { id: instance } = reader;
      const isSilent = this.isSilent(reader);
      if (isSilent && !before.has(reader)) world.logger.warn({ event: "reader.leftOut", instance });
      if (!isSilent && before.has(reader)) world.logger.info({ event: "reader.isBack", instance });
      void this.ask(reader);
    }
    if (hasChanged || isUnheardNew) world.onChange();
  }

  private lookAtUnheard(nowMs: number): boolean {
    const { world, unheard } = this;
    // Where no agent at all has answered, it is the machine, or we.
    const ids = world.statuses().length > 0 ? world.unheard() : [];
    const hasChanged = unheard.look(ids, nowMs);
    for (const instance of ids) {
      if (!this.isUnheard(instance) || this.wereUnheard.has(instance)) continue;
      this.wereUnheard.add(instance);
      world.logger.warn({ event: "reader.leftOut", instance });
    }
    return hasChanged;
  }

  private async ask(reader: InstanceStatus): Promise<void> {
    const { world, watch, asked } = this;
    const life = lifeOf(reader);
    const client = world.client(reader.id);
    if (!client || asked.has(life)) return;
    asked.add(life);
    try {
      const answer = await client.call(
        "pulse",
        {},
        {
          timeoutMs: Math.max(world.detectionMs, detectionMinMs),
        },
      );
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
