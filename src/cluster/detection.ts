import type { InstanceStatus } from "../instance/index.ts";
import { OwnPause } from "../base/own-pause.ts";

interface Heard {
  /** When it last showed that it lives: its agent, and of one that is open its PostgreSQL, as the agent says. */
  readonly heardMs: number;
  /** When its agent said so. */
  readonly saidMs: number;
}

/** What is known of the instance that is to write. */
type Sight =
  /** It has not opened yet, as far as this control plane knows. */
  | ({ readonly kind: "awaited" } & Heard)
  | ({ readonly kind: "open" } & Heard)
  /** It was open, and starts again on purpose: its agent lives on, and says so. */
  | ({ readonly kind: "restarting" } & Heard)
  | { readonly kind: "lost"; readonly why: Loss };

/**
 * `ended`: its PostgreSQL, its agent or what else a writer needs has ended. `silent`: its agent, or its PostgreSQL, does
 * not answer. `absent`: its agent has never been heard. `unfit`: it was ordered to write, and has failed to, more than once.
 */
export type Loss = "ended" | "silent" | "absent" | "unfit";

/** An agent that starts takes longer than one that was seen to live may be silent. */
const startGraceMs = 10_000;

/**
 * Whether the writer has to be replaced. An end is told and counts at once; silence counts after a bounded time, on our own
 * clock, of which moments in which we did not run ourselves do not count. A writer that was never seen open is not replaced
 * while its agent answers: it recovers, or waits for a quorum, and another would do the same; unless it fails (WriterGuard.noteFailed).
 */
export class WriterWatch {
  private readonly detectionMs: number;
  private readonly pause: OwnPause;
  private sight: Sight;

  /** `stepMs`: how often judge is meant to be called. */
  constructor(options: { detectionMs: number; stepMs: number; nowMs: number }) {
    this.detectionMs = options.detectionMs;
    this.pause = new OwnPause(options);
    this.sight = { kind: "awaited", ...heardAt(options.nowMs) };
  }

  /** Another is to write, or this one was stopped on purpose: what was seen says nothing any more. */
  reset(nowMs: number): void {
    this.sight = { kind: "awaited", ...heardAt(nowMs) };
  }

  /** It may stop on purpose: only the silence of its agent counts now. */
  expectEnd(nowMs: number): void {
    if (this.sight.kind !== "awaited") this.reset(nowMs);
  }

  /** It was asked to start again: only the end and the silence of its agent count now; undefined: the line to it is gone. */
  expectRestart(status: InstanceStatus | undefined): void {
    const { sight } = this;
    if (sight.kind === "open") this.sight = { ...sight, kind: "restarting" };
    else if (sight.kind === "restarting" && !status) this.sight = { kind: "lost", why: "ended" };
  }

  /** What its agent told last; undefined: the line to it is gone. */
  noteStatus(status: InstanceStatus | undefined, nowMs: number): void {
    const isOpen = status?.role === "writer" && status.isAdmitted;
    switch (this.sight.kind) {
      case "awaited":
        // What it said last says nothing of whether it still answers.
        if (isOpen) this.sight = { kind: "open", ...heardAt(nowMs) };
        return;
      case "restarting":
        this.sight = { kind: isOpen ? "open" : "awaited", ...heardAt(nowMs) };
        return;
      case "open":
        if (!isOpen) this.sight = { kind: "lost", why: "ended" };
        return;
      default:
        if (isOpen) this.sight = { kind: "open", ...heardAt(nowMs) };
    }
  }

  /** Its agent has said, just now, that PostgreSQL has been silent for so long. */
  notePulse(silentMs: number, nowMs: number): void {
    const { sight } = this;
    if (sight.kind === "lost") return;
    this.sight = { ...sight, heardMs: Math.max(sight.heardMs, nowMs - silentMs), saidMs: nowMs };
  }

  /** When the PostgreSQL of an open one last answered, as far as it was asked. */
  get answeredMs(): number | undefined {
    return this.sight.kind === "open" ? this.sight.heardMs : undefined;
  }

  /**
   * Undefined: all is well, or may be. `counted`: what a silence of an agent counts for on our machine (base/slowness.ts). What that says
   * of its PostgreSQL it has counted so itself.
   */
  judge(nowMs: number, counted = (ms: number): number => ms): Loss | undefined {
    this.forgiveOurOwnPause(nowMs);
    const { sight } = this;
    if (sight.kind === "lost") return sight.why;
    const isAwaited = sight.kind === "awaited";
    const maxMs = isAwaited ? Math.max(startGraceMs, this.detectionMs) : this.detectionMs;
    const { heardMs, saidMs } = sight;
    // It counts for no more than it took.
    if (nowMs - heardMs <= maxMs || saidMs - heardMs + counted(nowMs - saidMs) <= maxMs)
      return undefined;
    return isAwaited ? "absent" : "silent";
  }

  private forgiveOurOwnPause(nowMs: number): void {
    const pausedMs = this.pause.since(nowMs);
    const { sight } = this;
    if (sight.kind === "lost" || pausedMs === 0) return;
    const later = (ms: number): number => Math.min(nowMs, ms + pausedMs);
    this.sight = { ...sight, heardMs: later(sight.heardMs), saidMs: later(sight.saidMs) };
  }
}

function heardAt(nowMs: number): Heard {
  return { heardMs: nowMs, saidMs: nowMs };
}
