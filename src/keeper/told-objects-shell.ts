import { messageOf } from "../base/errors.ts";
import { sleep } from "../io/index.ts";
import type { KeeperContext } from "./keeper-shell.ts";
import { isOfSnapshots } from "./loss-record.ts";
import type { ObjectScrubs } from "./object-scrubs-shell.ts";

const lookEveryMs = 1_000;
/** A store that has it may be back. */
const againMs = 60_000;

/**
 * Objects that instances found good in no store when they built their caches. Nobody is believed: each is judged as a scrub does,
 * once, and else only the scrub that comes by in a week would meet it.
 */
export class ToldObjects {
  private readonly context: KeeperContext;
  private readonly scrubs: Pick<ObjectScrubs, "judge">;
  /** Until when each needs no look; only of those that are told of now. */
  private readonly untilMs = new Map<string, number>();

  constructor(deps: {
    readonly context: KeeperContext;
    readonly scrubs: Pick<ObjectScrubs, "judge">;
  }) {
    this.context = deps.context;
    this.scrubs = deps.scrubs;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.context;
    while (!signal.aborted) {
      for (const name of this.due()) await this.judge(name, signal);
      await sleep(clock, lookEveryMs, signal);
    }
  }

  private due(): string[] {
    const { clock, world } = this.context;
    const told = world().unreadable.filter(isOfSnapshots);
    for (const name of this.untilMs.keys()) if (!told.includes(name)) this.untilMs.delete(name);
    return told.filter((name) => (this.untilMs.get(name) ?? 0) <= clock.nowMs());
  }

  private async judge(name: string, signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.context;
    try {
      const isCertain = await this.scrubs.judge(name, signal);
      this.untilMs.set(name, isCertain ? Number.POSITIVE_INFINITY : clock.nowMs() + againMs);
    } catch (error) {
      if (signal.aborted) return;
      logger.warn({ event: "object.notJudged", name }, messageOf(error));
      this.untilMs.set(name, clock.nowMs() + againMs);
    }
  }
}
