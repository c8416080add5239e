import { transactionState } from "../wire/index.ts";
import { whyBusy } from "./keeping.ts";
import { frontOf } from "./loss.ts";
import type { ServerLine } from "./server-line-shell.ts";
import { listening } from "./reasons.ts";
import type { Survivor } from "./survivor.ts";

type Leaver = Pick<Survivor, "isLive" | "conversation">;
type LineSight = Pick<ServerLine, "isRetired" | "closed" | "isHolding">;

/**
 * What a session does that is to leave a server which is about to stop, so that nothing of it is cut:
 * - stay: what its client has begun comes to its end
 * - hold: nothing more of the client's goes there; what we have asked for ourselves is waited for
 * - ask: likewise, and what it has is asked, or it could not be made again as it is
 * - linger: nothing more of the client's goes there; it listens to what others notify there, up to the end
 * - leave
 */
type Departure = "stay" | "hold" | "ask" | "linger" | "leave";

/** What somebody who stops that server might wait for: a statement by itself, which is lost with it; one of a block, which is run again. */
export type Remaining = "nothing" | "statement" | "block";

function remainingOf({ conversation }: Leaver, next: Departure): Remaining {
  const { exchange } = conversation;
  if (exchange.state !== transactionState.idle)
    return frontOf(exchange) === undefined ? "nothing" : "block";
  const isNothing = next === "linger" || (next === "stay" && frontOf(exchange) === undefined);
  return isNothing ? "nothing" : "statement";
}

function departure({ isLive, conversation }: Leaver, line: LineSight): Departure {
  if (line.isRetired || line.closed || !isLive) return "stay";
  const { exchange, client } = conversation;
  // Its client has still to hear, or to say, how what was under way ends.
  const isOwed = client.skippedState !== undefined || exchange.pendingError !== undefined;
  const isBetween = frontOf(exchange) === undefined && client.isAtBoundary && !isOwed;
  if (!isBetween || exchange.state !== transactionState.idle) return "stay";
  if (line.isHolding || whyBusy(conversation) !== undefined) return "hold";
  const { memory, planner } = exchange;
  if (memory.needsReadback !== "no") return "ask";
  return memory.keeps(planner) === listening ? "linger" : "leave";
}

/** A session's way off a server that is about to stop. */
export class GivingWay {
  private isUnderWay = false;
  /** Its client has nothing under way there, and must not begin anything. */
  isBetween = false;

  begin(): void {
    this.isUnderWay = true;
  }

  /** It has another server, leaves this one, or need not. False: it was not on its way. */
  end(): boolean {
    const wasUnderWay = this.isUnderWay;
    this.isUnderWay = false;
    this.isBetween = false;
    return wasUnderWay;
  }

  /** What is to be done now; "leave" is said once. */
  next(survivor: Leaver, line: LineSight): Departure {
    const next = this.isUnderWay ? departure(survivor, line) : "stay";
    this.isBetween = next !== "stay";
    if (next === "leave") this.end();
    return next;
  }

  /** What the server has still to do for it. */
  remaining(survivor: Leaver, line: LineSight): Remaining {
    const isOver = !this.isUnderWay || !survivor.isLive;
    return isOver ? "nothing" : remainingOf(survivor, departure(survivor, line));
  }
}
