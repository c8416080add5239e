import { OwnPause } from "../base/own-pause.ts";
import { type CpuTime, countedSilence } from "../base/slowness.ts";

/** To ask it something; that it answers no more; or to go on waiting. */
export type HangVerdict = "ask" | "hung" | "wait";

export interface HangOptions {
  /** What it may leave unanswered for so long is no hang. */
  readonly limitMs: number;
  /** How often it is looked at. */
  readonly stepMs: number;
  readonly nowMs: number;
}

/**
 * Whether one process, in one life, still answers. Pure, in milliseconds of our own clock. Until its first answer it is starting, and
 * nothing is said of it; moments in which we did not run ourselves, or hardly, count for little.
 */
export class HangWatch {
  private readonly limitMs: number;
  private readonly pause: OwnPause;
  private hasAnswered = false;
  private asked: { readonly atMs: number; readonly cpu: CpuTime | undefined } | undefined;

  constructor({ limitMs, stepMs, nowMs }: HangOptions) {
    this.limitMs = limitMs;
    this.pause = new OwnPause({ stepMs, nowMs });
  }

  /** `cpu`: what this process had of a processor so far. */
  look(nowMs: number, cpu: CpuTime | undefined): HangVerdict {
    const wePaused = this.pause.since(nowMs) > 0;
    if (!this.asked || (wePaused && this.hasAnswered)) {
      const isFirst = !this.asked;
      this.asked = { atMs: nowMs, cpu };
      return isFirst ? "ask" : "wait";
    }
    if (!this.hasAnswered) return "wait";
    const silentMs = countedSilence(nowMs - this.asked.atMs, this.asked.cpu, cpu);
    return silentMs > this.limitMs ? "hung" : "wait";
  }

  answered(): void {
    this.hasAnswered = true;
    this.asked = undefined;
  }
}
