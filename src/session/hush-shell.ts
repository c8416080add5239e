import { afterReading, type Timer } from "../io/index.ts";
import { hushed } from "./hush.ts";
import { whyBusy } from "./keeping.ts";
import { frontOf } from "./loss.ts";
import type { ServerLine } from "./server-line-shell.ts";
import type { Survivor } from "./survivor.ts";
import type { SessionWorld } from "./world-shell.ts";

interface Hearer {
  readonly world: Pick<SessionWorld, "clock" | "isSilent" | "hasOther" | "isOver">;
  readonly survivor: Survivor;
  readonly line: () => ServerLine;
  readonly hasEnded: () => boolean;
  readonly isForsaken: () => boolean;
  readonly leaveHung: () => void;
}

/** Takes a session off a server that hangs for the cluster, once that hangs for the session, too. */
export class HushWatch {
  private readonly hearer: Hearer;
  private timer: Timer | undefined;

  constructor(hearer: Hearer) {
    this.hearer = hearer;
  }

  /** The cluster says that its server hangs; or something has changed. */
  look(): void {
    this.close();
    const { world } = this.hearer;
    const next = this.next();
    if (next === undefined) return;
    this.timer = world.clock.after(next === "leave" ? 0 : next, () => {
      // What this process was too busy to read is not silence.
      this.timer = afterReading(() => {
        if (next === "leave" && this.next() === "leave") this.leave();
        else this.look();
      });
    });
  }

  /** Something has been said: it may be at rest now, for a moment. */
  settled(): void {
    if (this.timer !== undefined && this.isAtRest()) this.look();
  }

  private leave(): void {
    const { hearer } = this;
    if (hearer.isForsaken()) hearer.line().destroy();
    else hearer.leaveHung();
  }

  private isAtRest(): boolean {
    const { isLive, conversation } = this.hearer.survivor;
    const { memory } = conversation.exchange;
    const isQuiet = isLive && whyBusy(conversation) === undefined;
    return isQuiet && memory.needsReadback === "no" && memory.obstacle("now") === undefined;
  }

  close(): void {
    this.timer?.cancel();
    this.timer = undefined;
  }

  /** Undefined: it has left it, or need not. */
  private next(): ReturnType<typeof hushed> | undefined {
    const { hearer } = this;
    const { world, survivor } = hearer;
    const line = hearer.line();
    const { target, heardMs, sentMs, isUnread } = line;
    if (hearer.hasEnded() || line.closed || !world.isSilent(target)) return undefined;
    // A writer may have opened since it was left.
    if (line.isRetired && world.isOver(target)) line.noteOver();
    if (line.isRetired) return undefined;
    const isOwed = !survivor.isLive || frontOf(survivor.conversation.exchange) !== undefined;
    const nowMs = world.clock.nowMs();
    const hasOther = world.hasOther(target);
    const isAtRest = this.isAtRest();
    const isForsaken = hearer.isForsaken();
    return hushed({ nowMs, heardMs, sentMs, isUnread, isOwed, isAtRest, hasOther, isForsaken });
  }
}
