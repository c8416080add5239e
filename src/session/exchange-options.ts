import type { Exchange } from "./exchange.ts";
import type { Memory } from "./memory.ts";
import type { TextPlanner } from "./plan.ts";
import type { HonestySettings } from "./probe.ts";
import type { SurvivalWishes } from "./survival-wishes.ts";
import type { Told } from "./transcript.ts";

export interface ExchangeOptions {
  /** On a writer: no success may be told for what is not durable. */
  readonly isHonest: boolean;
  readonly planner: TextPlanner;
  /** From start-up options and ALTER ROLE or DATABASE. */
  readonly honesty?: HonestySettings;
  /** synchronous_commit at the start; undefined: the server's own. */
  readonly synchronousCommit?: string;
  /** client_min_messages keeps warnings from us from the start. */
  readonly hidesWarnings?: boolean;
  readonly wishes?: SurvivalWishes;
  /** The session's book: one over all its servers. */
  readonly memory: Memory;
  /** How much of a client's messages is kept; 1 MiB unless told. */
  readonly journalBytesMax?: number;
}

/** What goes over to another server connection. */
export interface Succession {
  readonly before: Exchange;
  /** The transaction state that the new connection is in. */
  readonly state: number;
  /** What is told first must be this, and the client has it already. */
  readonly expected?: Told | undefined;
  /** The transaction is lost: the client hears it with the next answer that is an error, or should be one. */
  readonly pendingError?: Buffer | undefined;
}
