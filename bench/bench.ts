import type { Contender, Ground } from "./contender.ts";
import type { BenchOptions } from "./options.ts";
import type { Row } from "./report.ts";

/** One benchmark of `npm run bench -- NAME`. */
export interface Bench {
  /** For the list of names. */
  readonly what: string;
  /** Its peers include pg_receivewal, which refuses a server newer than itself: the engine is chosen to suit. */
  readonly needsReceivewal: boolean;
  readonly run: (context: BenchContext) => Promise<Row[]>;
}

export interface BenchContext {
  readonly ground: Ground;
  readonly options: BenchOptions;
  /** `--postgres-bin` for Borealis: undefined for its own default. */
  readonly postgresBin: string | undefined;
  readonly pgReceivewal: string | undefined;
  /** Starts those of the plans that --peers wants, in this order. */
  readonly startAll: <C extends Contender>(plans: readonly Plan<C>[]) => Promise<C[]>;
  /** A line under the result: what was left out, and why. */
  readonly note: (text: string) => void;
}

export interface Plan<C extends Contender = Contender> {
  readonly name: string;
  /** Only if --peers names it. */
  readonly isExtra?: boolean;
  readonly start: () => Promise<C>;
}
