import type { Contender, Ground, Named } from "./contender.ts";
import type { BenchOptions } from "./options.ts";
import type { Row } from "./report.ts";

/** One benchmark of `npm run bench -- NAME`. */
export interface Bench {
  /** For the list of names. */
  readonly what: string;
  /** What its peers include and the engine does not bring; it refuses a newer server, so the engine is chosen to suit. */
  readonly needs?: ClientProgram;
  readonly run: (context: BenchContext) => Promise<Row[]>;
}

export type ClientProgram = "pg_receivewal" | "pg_basebackup" | "pg_dump";

export interface BenchContext {
  readonly ground: Ground;
  readonly options: BenchOptions;
  /** `--postgres-bin` for Borealis: undefined for its own default. */
  readonly postgresBin: string | undefined;
  /** The path of what the benchmark needs; undefined if there is none that can work with this engine. */
  readonly clientProgram: string | undefined;
  /** Starts those of the plans that --peers wants, in this order. */
  readonly startAll: <C extends Named>(plans: readonly Plan<C>[]) => Promise<C[]>;
  /** A line under the result: what was left out, and why. */
  readonly note: (text: string) => void;
}

export interface Plan<C extends Named = Contender> {
  readonly name: string;
  /** Only if --peers names it. */
  readonly isExtra?: boolean;
  readonly start: () => Promise<C>;
}
