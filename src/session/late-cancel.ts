import type { Outcome } from "./action.ts";
import type { Cycle } from "./cycle.ts";
import { frontOf } from "./loss.ts";
import type { ServerLine } from "./server-line-shell.ts";
import type { Survivor } from "./survivor.ts";

type Runner = Pick<Survivor, "hasServer" | "isParked" | "conversation">;

/**
 * A cancel request whose statement has not come to its end: a server that hangs, or is lost, does not act on it, and what it was to
 * cancel runs once more on the next one. There it is cancelled again.
 */
export class LateCancel {
  private late:
    | {
        readonly line: ServerLine;
        readonly front: Cycle;
        readonly again: () => void;
      }
    | undefined;

  /** `again` is called when what is under way now has come to another server than `line`. */
  note(survivor: Runner, line: ServerLine, again: () => void): void {
    const front = survivor.isParked ? undefined : frontOf(survivor.conversation.exchange);
    this.late = front && { line, front, again };
  }

  /** The loss of its server has ended so: what is not run again has its answer, and what comes next nobody has cancelled. */
  cameTo(outcome: Outcome): void {
    if (outcome !== "rerun" && outcome !== "replayed") this.forget();
  }

  forget(): void {
    this.late = undefined;
  }

  /** After anything that may have ended the statement, or brought it to another server. */
  settle(survivor: Runner, line: ServerLine): void {
    const { late } = this;
    if (!late) return;
    const front = survivor.isParked ? undefined : frontOf(survivor.conversation.exchange);
    const hasMoved = line !== late.line && survivor.hasServer;
    const hasEnded = line === late.line && front !== late.front;
    if (!hasMoved && !hasEnded) return;
    this.late = undefined;
    if (hasMoved && front !== undefined) late.again();
  }
}
