import { BorealisError } from "../base/errors.ts";
import { frontend } from "../wire/index.ts";
import type { Action } from "./action.ts";
import { RefusedMessages } from "./refused-messages.ts";

/**
 * A session that has no server, since it needs none: up to the moment when its client sends something. Where no server was
 * found for what it sent, `error` (an ErrorResponse) answers that, and all that belongs to it.
 */
export class Dormancy {
  private refused: RefusedMessages | undefined;

  constructor(error?: Buffer) {
    this.refused = error && new RefusedMessages(error);
  }

  /** The client's batch was refused, and its end has not come. */
  get isRefusing(): boolean {
    return this.refused !== undefined;
  }

  /** wake: this is for a server. */
  fromClient(chunk: Buffer): Action[] | "wake" {
    if (this.refused) return this.refuse(this.refused, chunk);
    return chunk[0] === frontend.terminate ? [{ kind: "close" }] : "wake";
  }

  private refuse(refused: RefusedMessages, chunk: Buffer): Action[] {
    try {
      const bytes = refused.push(chunk);
      if (refused.isSettled) this.refused = undefined;
      const told: Action[] = bytes.length > 0 ? [{ kind: "toClient", bytes }] : [];
      return refused.hasTerminated ? [...told, { kind: "close" }] : told;
    } catch (error) {
      if (!(error instanceof BorealisError)) throw error;
      return [{ kind: "fail", error }];
    }
  }
}
