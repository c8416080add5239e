import type { Clock, Logger } from "../io/index.ts";
import type { SessionCounters } from "./session-counters.ts";
import type { Target } from "./topology.ts";

export interface PoolSettings {
  /** Of the connections that an instance takes for users. */
  readonly maxConnectionsPercent: number;
  /** How long somebody waits for a server. */
  readonly borrowTimeoutMs: number;
  /** A server that nobody has used for so long is closed. */
  readonly idleTimeoutMs: number;
}

export interface PoolsOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly settings: PoolSettings;
  readonly counters: SessionCounters;
  /** How many connections the instance takes for users, at most. */
  readonly connectionsOf: (target: Target) => Promise<number>;
}
