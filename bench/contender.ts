import type { Engine, OsUser } from "../src/engine/index.ts";
import type { Cleanup } from "./cleanup.ts";
import type { Target, Tools } from "./pgbench.ts";

/** One side of a comparison. */
export interface Named {
  /** In tables and in --peers. */
  readonly name: string;
  /** What a reader must know to judge the figure: versions, settings that differ from the defaults. */
  readonly settings: readonly string[];
}

/** One that runs, and is put under load. */
export interface Contender extends Named {
  readonly target: Target;
  /** The processes whose CPU, with that of all that they started, a transaction of this contender costs. */
  readonly pids: () => readonly number[];
  /** What goes on beside the load of a round, until the signal says that the load is over; then it comes to an end. */
  readonly beside?: (isOver: AbortSignal) => Promise<void>;
}

/** What every contender is started with. Each registers its own end with `cleanup`. */
export interface Ground {
  /** An empty directory that every user may pass through. */
  readonly dir: string;
  readonly engine: Engine;
  /** Who runs PostgreSQL and its like; ourselves if undefined. */
  readonly user: OsUser | undefined;
  readonly tools: Tools;
  readonly cleanup: Cleanup;
  readonly signal: AbortSignal;
}
