import type { Lsn } from "../base/lsn.ts";

/** A reader that takes sessions. */
export interface WatchedReader {
  /** Of this start of its PostgreSQL. */
  readonly life: string;
  readonly replayed: Lsn | undefined;
}

/** What is known of one. */
type Sight =
  | { readonly kind: "answering" }
  | { readonly kind: "silent" }
  /** It answers again, since then. `mustShow`: what it has to have replayed; undefined: nobody knows. */
  | { readonly kind: "returning"; readonly sinceMs: number; readonly mustShow: Lsn | undefined };

/** One that answers for so long and does not catch up is as far behind as others may be: its lag decides then. */
const catchUpMaxMs = 10_000;

/**
 * Which readers answer nothing: their agent, or their PostgreSQL, for the time after which a writer would be replaced. Silence is
 * counted on our own clock, of which moments in which we did not run ourselves do not count. One is back when it has answered for as
 * long again, and has replayed what was durable by then, so that one which comes and goes gets no sessions, and none shows what is old.
 */
export class ReaderWatch {
  private readonly detectionMs: number;
  private readonly stepMs: number;
  private readonly sights = new Map<string, { heardMs: number; sight: Sight }>();
  private judgedMs: number;

  /** `stepMs`: how often judge is meant to be called. */
  constructor(options: { detectionMs: number; stepMs: number; nowMs: number }) {
    this.detectionMs = options.detectionMs;
    this.stepMs = options.stepMs;
    this.judgedMs = options.nowMs;
  }

  isSilent(life: string): boolean {
    const { kind } = this.sights.get(life)?.sight ?? { kind: "answering" };
    return kind !== "answering";
  }

  /** Its agent has said, just now, that its PostgreSQL has been silent for so long. */
  notePulse(life: string, silentMs: number, nowMs: number): void {
    const seen = this.sights.get(life);
    if (seen) seen.heardMs = Math.max(seen.heardMs, nowMs - silentMs);
  }

  /** `readers`: all that there are now; `durable`: how far the log is. True: others are silent than were. */
  judge(
    readers: readonly WatchedReader[],
    { durable, nowMs }: { readonly durable: Lsn | undefined; readonly nowMs: number },
  ): boolean {
    const lateMs = nowMs - this.judgedMs - this.stepMs;
    const pausedMs = lateMs > this.stepMs ? lateMs : 0;
    this.judgedMs = nowMs;
    const lives = new Set(readers.map(({ life }) => life));
    for (const life of this.sights.keys()) if (!lives.has(life)) this.sights.delete(life);
    let hasChanged = false;
    for (const reader of readers) {
      const { life } = reader;
      const seen = this.sights.get(life) ?? { heardMs: nowMs, sight: { kind: "answering" } };
      const heardMs = Math.min(nowMs, seen.heardMs + pausedMs);
      const wasSilent = this.isSilent(life);
      const sight = this.next(seen.sight, reader, {
        isHeard: this.isRecent(heardMs, nowMs),
        durable,
        nowMs,
      });
      this.sights.set(life, { heardMs, sight });
      if (this.isSilent(life) !== wasSilent) hasChanged = true;
    }
    return hasChanged;
  }

  private isRecent(heardMs: number, nowMs: number): boolean {
    return nowMs - heardMs <= this.detectionMs;
  }

  private next(
    sight: Sight,
    { replayed }: WatchedReader,
    { isHeard, durable, nowMs }: { isHeard: boolean; durable: Lsn | undefined; nowMs: number },
  ): Sight {
    if (!isHeard) return { kind: "silent" };
    if (sight.kind === "answering") return sight;
    if (sight.kind === "silent") return { kind: "returning", sinceMs: nowMs, mustShow: durable };
    const { sinceMs, mustShow } = sight;
    const answersForMs = nowMs - sinceMs;
    if (answersForMs < this.detectionMs) return { ...sight, mustShow: durable };
    const hasCaughtUp = mustShow === undefined || (replayed !== undefined && replayed >= mustShow);
    return hasCaughtUp || answersForMs > catchUpMaxMs ? { kind: "answering" } : sight;
  }
}
