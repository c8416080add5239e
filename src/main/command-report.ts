import type { BorealisError } from "../base/errors.ts";
import type { Layout } from "../cluster/index.ts";
import { realClock, sleep } from "../io/index.ts";
import type { Progress } from "./progress.ts";

/** What a command came to. The command line prints it; the admin database gives it as rows. */
export interface CommandReport {
  /** For --json. */
  readonly document: unknown;
  /** Above the lines, where they are a table. */
  readonly head?: string;
  readonly lines: readonly string[];
  /** It was done, and not all is well. */
  readonly failure?: BorealisError;
}

export type ProgressTeller = Pick<Progress, "begin" | "at" | "end">;

/** The cluster that a command is about, and who waits for it. */
export interface Workplace {
  readonly layout: Layout;
  readonly progress: ProgressTeller;
  /** Ends the waiting, never what was asked for; its reason is then raised. */
  readonly signal: AbortSignal;
}

/** Until the next look. Raises the signal's reason when nobody waits any more. */
export async function pause(delayMs: number, signal: AbortSignal): Promise<void> {
  await sleep(realClock, delayMs, signal);
  signal.throwIfAborted();
}
