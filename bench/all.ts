/** `npm run bench -- all`: one benchmark after another, within a bound of time; what fails is told and stops nobody else. */
import { messageOf } from "../src/base/errors.ts";
import type { Row } from "./report.ts";

export interface Result {
  /** Of the engine of all contenders. */
  readonly postgres: string;
  readonly rows: readonly Row[];
  /** What was left out and why, and what a figure means. */
  readonly notes: readonly string[];
}

export type Outcome = { readonly name: string; readonly tookSeconds: number } & (
  | Result
  | { readonly error: string }
);

export interface Planned {
  readonly name: string;
  /** So many rounds of so many seconds that all fit into their time. */
  readonly args: readonly string[];
}

/** In the order of what is most wanted, since the last ones may find no time. */
export const planned: readonly Planned[] = [
  planOf("commit", { rounds: 3, seconds: 4 }),
  planOf("select", { rounds: 2, seconds: 2 }),
  planOf("bulk", { rounds: 3 }, "--megabytes", "128"),
  planOf("connect", { rounds: 5, seconds: 2 }),
  planOf("failover", {}, "--failovers", "3"),
  planOf("lag", { rounds: 3, seconds: 5 }),
  planOf("boot", { rounds: 2 }, "--scale", "5"),
  planOf("clone", { rounds: 2 }, "--scale", "5"),
  planOf("backtrack", { rounds: 2, seconds: 3 }, "--scale", "5"),
  planOf("hydrate", { rounds: 2, seconds: 3 }, "--scale", "5"),
  planOf("memory", { rounds: 1, seconds: 5 }),
  planOf("scale", { rounds: 1, seconds: 4 }, "--scale", "5", "--megabytes", "500"),
  planOf("encryption", { rounds: 2, seconds: 3 }),
  planOf("snapshot", { rounds: 1, seconds: 5 }, "--scale", "5"),
];

function planOf(
  name: string,
  counts: { readonly rounds?: number; readonly seconds?: number },
  ...more: string[]
): Planned {
  const args = Object.entries(counts).flatMap(([option, value]) => [`--${option}`, String(value)]);
  return { name, args: [...args, ...more] };
}

/** Those named, in the order of the plans. Raises an Error at a name that there is not. */
export function choose(names: readonly string[] | undefined): readonly Planned[] {
  const unknown = names?.find((name) => !planned.some((one) => one.name === name));
  if (unknown !== undefined) throw new Error(`--benches: there is no benchmark "${unknown}"`);
  return planned.filter(({ name }) => names?.includes(name) ?? true);
}

/**
 * Runs each to its end, or to the end of the time; whoever has none left is told of, too. `signal` ends all of it: those that had not
 * begun are missing then.
 */
export async function runAll(
  plans: readonly Planned[],
  {
    run,
    deadline,
    signal,
    onOutcome,
  }: {
    readonly run: (plan: Planned, signal: AbortSignal) => Promise<Result>;
    /** Aborted when the time is over. */
    readonly deadline: AbortSignal;
    readonly signal: AbortSignal;
    /** After each: what is known by then outlives whatever comes. */
    readonly onOutcome: (outcomes: readonly Outcome[]) => void;
  },
): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const plan of plans) {
    if (signal.aborted) break;
    const { name } = plan;
    const beganMs = performance.now();
    const either = AbortSignal.any([signal, deadline]);
    const result = deadline.aborted
      ? { error: "not run: the time was over" }
      : await run(plan, either).catch((error: unknown) => {
          const why = deadline.aborted ? "stopped: the time was over" : messageOf(error);
          return { error: why };
        });
    const tookSeconds = Math.round((performance.now() - beganMs) / 1000);
    outcomes.push({ name, tookSeconds, ...result });
    onOutcome(outcomes);
  }
  return outcomes;
}
