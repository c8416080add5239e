import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import type { BacktrackProgress, BacktrackReport } from "./messages.ts";

/** What is not done on the way is done by none. */
export const noProgress: BacktrackProgress = {
  phase: "none",
  doneBytes: 0,
  totalBytes: 0,
  report: null,
  error: null,
};

const keptMax = 20;

/** How each backtrack went that this control plane was asked for or has ended; its id is when it was asked for. */
export class BacktrackJobs {
  private readonly jobs = new Map<number, BacktrackProgress>();
  private newest = 0;

  /** An id for a job that is asked for at `wallMs`. */
  newId(wallMs: number): number {
    return Math.max(wallMs, this.newest + 1);
  }

  begin(id: number): void {
    this.newest = id;
    this.enter(id, "planning");
    const [oldest] = this.jobs.keys();
    if (this.jobs.size > keptMax && oldest !== undefined) this.jobs.delete(oldest);
  }

  /** The next phase, of whose bytes none are done yet. */
  enter(id: number, phase: BacktrackProgress["phase"]): void {
    this.jobs.set(id, { ...noProgress, phase });
  }

  /** Takes how far a job's present phase has come. */
  progressOf(id: number): (doneBytes: number, totalBytes: number) => void {
    return (doneBytes, totalBytes) =>
      void this.jobs.set(id, { ...(this.jobs.get(id) ?? noProgress), doneBytes, totalBytes });
  }

  done(id: number, report: BacktrackReport): void {
    this.jobs.set(id, { ...noProgress, phase: "done", report });
  }

  /** Gives what is told of the error. */
  failed(id: number, error: unknown): NonNullable<BacktrackProgress["error"]> {
    const known = error instanceof BorealisError ? error : undefined;
    const { code = sqlState.internal, hint = null } = known ?? {};
    const told = { code, message: messageOf(error), hint };
    this.jobs.set(id, { ...noProgress, phase: "failed", error: told });
    return told;
  }

  get(id: number): BacktrackProgress | undefined {
    return this.jobs.get(id);
  }
}
