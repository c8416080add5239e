import { OwnPause } from "../base/own-pause.ts";
import { type CpuTime, countedSilence } from "../base/slowness.ts";
import type { ProcessSight } from "./process-sight.ts";

/** To ask it something; that it answers no more; or to go on waiting. */
export type HangVerdict = "ask" | "hung" | "wait";

export interface HangOptions {
  /** What it may leave unanswered for so long is no hang; eight times as long while it works. */
  readonly limitMs: number;
  /** How often it is looked at. */
  readonly stepMs: number;
  readonly nowMs: number;
}

export interface HangMoment {
  readonly nowMs: number;
  /** What this process had of a processor so far. */
  readonly ours: CpuTime | undefined;
  /** The process that is watched. */
  readonly its: ProcessSight | undefined;
}

/** Who is on a processor for this share of a silence works, for somebody who has asked for much. */
const workingShare = 0.2;
const workingFactor = 8;

/**
 * Whether one process, in one life, still answers. Pure, in milliseconds of our own clock. Until its first answer it is starting, and
 * nothing is said of it. Moments in which we did not run ourselves, or hardly, count for little; those in which it waits for a disk,
 * for nothing. And it is hung at the second look that finds it so: what it has answered meanwhile was read between the two.
 */
export class HangWatch {
  private readonly limitMs: number;
  private readonly pause: OwnPause;
  private hasAnswered = false;
  private asked: { readonly atMs: number; readonly first: HangMoment } | undefined;
  private isSuspect = false;
  private isOver = false;

  constructor({ limitMs, stepMs, nowMs }: HangOptions) {
    this.limitMs = limitMs;
    this.pause = new OwnPause({ stepMs, nowMs });
  }

  look(moment: HangMoment): HangVerdict {
    const { nowMs, its } = moment;
    const pausedMs = this.pause.since(nowMs);
    const { asked } = this;
    if (!asked) {
      this.asked = { atMs: nowMs, first: moment };
      return "ask";
    }
    if (!this.hasAnswered || this.isOver) return "wait";
    if (its?.isHeld === true) this.asked = { atMs: nowMs, first: moment };
    else this.asked = { ...asked, atMs: asked.atMs + pausedMs };
    const wasSuspect = this.isSuspect;
    this.isSuspect = this.isTooLong(this.asked, moment);
    this.isOver = wasSuspect && this.isSuspect;
    return this.isOver ? "hung" : "wait";
  }

  private isTooLong(
    { atMs, first }: { atMs: number; first: HangMoment },
    now: HangMoment,
  ): boolean {
    const ranMs = (now.its?.ranMs ?? 0) - (first.its?.ranMs ?? 0);
    const isWorking = ranMs > workingShare * (now.nowMs - first.nowMs);
    const silentMs = countedSilence(now.nowMs - atMs, first.ours, now.ours);
    return silentMs > this.limitMs * (isWorking ? workingFactor : 1);
  }

  answered(): void {
    this.hasAnswered = true;
    this.isSuspect = false;
    this.asked = undefined;
  }
}
