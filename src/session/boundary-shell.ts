import { InvariantBroken } from "../base/assert.ts";
import { BorealisError, sqlState } from "../base/errors.ts";
import type { Logger } from "../io/index.ts";
import type { Action } from "./action.ts";
import { type ClientLink, linkOver } from "./client-link.ts";
import type { Conversation } from "./conversation.ts";

export interface Bounded {
  readonly pid: number;
  readonly world: { readonly logger: Logger };
  readonly conversation: Conversation;
}

/**
 * What comes from sockets and timers for one session is done within its boundary: an error that nobody expected (of a message
 * that is made for it, as a rule) ends this session, not the process with everybody's. A broken law ends the process still:
 * what is shared may be wrong then.
 */
export class Boundary {
  private readonly of: Bounded;
  private readonly end: (action: Extract<Action, { kind: "fail" | "close" }>) => void;
  private hasBroken = false;

  constructor(of: Bounded, end: Boundary["end"]) {
    this.of = of;
    this.end = end;
  }

  run(work: () => void): void {
    this.bounded(work, "client");
  }

  /** Of what the server says: answers may be lost with it, also that of a commit. */
  runServer(work: () => void): void {
    this.bounded(work, "server");
  }

  private bounded(work: () => void, from: "client" | "server"): void {
    if (this.hasBroken) return;
    try {
      work();
    } catch (error) {
      this.broke(error, from);
    }
  }

  watch(work: Promise<void>): void {
    void work.catch((error: unknown) => this.broke(error, "client"));
  }

  /** What the client says and does, within it; but when it closes all is let go, whatever came before. */
  linkTo(client: ClientLink): ClientLink {
    return linkOver(client, {
      onData: (handler) => client.onData((chunk) => this.run(() => handler(chunk))),
      onDrain: (handler) => client.onDrain(() => this.run(handler)),
      onEnd: (handler) => client.onEnd(() => this.run(handler)),
    });
  }

  private broke(error: unknown, from: "client" | "server"): void {
    if (error instanceof InvariantBroken) throw error;
    const { pid, world, conversation } = this.of;
    world.logger.error({ event: "session.broken", pid, err: error });
    if (this.hasBroken) return;
    this.hasBroken = true;
    const { exchange, server } = conversation;
    // In the middle of a message whatever the client is told would be taken for the rest of that; and what it was to be told of
    // a commit before would be taken for undone by an error.
    if (from === "server" || server.isMidMessage) this.end({ kind: "close" });
    else if (exchange.mayHaveCommitted) this.end({ kind: "fail", error: exchange.lossOf(error) });
    else this.end({ kind: "fail", error: internalError });
  }
}

/** It shows nothing of itself. */
export const internalError = new BorealisError(sqlState.internal, "internal error of the endpoint");
