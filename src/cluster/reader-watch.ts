import type { Lsn } from "../base/lsn.ts";
import { OwnPause } from "../base/own-pause.ts";

/** A reader that takes sessions. */
export interface WatchedReader {
  /** Of this start of its PostgreSQL. */
  readonly life: string;
  readonly replayed: Lsn | undefined;
  /** Its agent had answered nothing before it told of this life. */
  readonly wasUnheard?: boolean;
}

/** What is known of one. */
type Sight =
  | { readonly kind: "answering" }
  | { readonly kind: "silent" }
  /** It answers again, since then. `mustShow`: what it has to have replayed; undefined: nobody knows. */
  | { readonly kind: "returning"; readonly sinceMs: number; readonly mustShow: Lsn | undefined };

interface Seen {
  readonly heardMs: number;
  readonly sight: Sight;
  /** Its agent has said something of it. */
  readonly isAsked: boolean;
}

interface Moment {
  readonly durable: Lsn | undefined;
  readonly nowMs: number;
  /** When the writer's PostgreSQL last answered; undefined: there is none that is open. */
  readonly writerHeardMs?: number | undefined;
}

/** One that answers for so long and does not catch up is as far behind as others may be: its lag decides then. */
const catchUpMaxMs = 10_000;
/** Nobody had asked one that is new to us, perhaps: it has so long to answer, however long it says that it was silent. */
const firstAnswerMs = 1_000;

/**
 * Which readers answer nothing: their agent, or their PostgreSQL, for the time after which a writer would be replaced. Silence is
 * counted on our own clock, of which moments in which we did not run ourselves do not count. One is back when it has answered for as
 * long again, and has replayed what was durable by then, so that one which comes and goes gets no sessions, and none shows what is old.
 *
 * Whoever is left out burdens the others with its sessions, and on a machine that is too busy all look silent. So one is left out only
 * while another one answers promptly: then it is not the machine. Where no reader does, the writer has to, and it takes twice as long.
 * And one after the other: those that stay have the whole time to show that they bear it.
 */
export class ReaderWatch {
  private readonly detectionMs: number;
  private readonly pause: OwnPause;
  private readonly sights = new Map<string, Seen>();
  private leftOutMs = Number.NEGATIVE_INFINITY;

  /** `stepMs`: how often judge is meant to be called. */
  constructor(options: { detectionMs: number; stepMs: number; nowMs: number }) {
    this.detectionMs = options.detectionMs;
    this.pause = new OwnPause(options);
  }

  isSilent(life: string): boolean {
    const { kind } = this.sights.get(life)?.sight ?? { kind: "answering" };
    return kind !== "answering";
  }

  /** Its agent has said, just now, that its PostgreSQL has been silent for so long. */
  notePulse(life: string, silentMs: number, nowMs: number): void {
    const seen = this.sights.get(life);
    if (!seen) return;
    const told = nowMs - silentMs;
    const heardMs = seen.isAsked
      ? Math.max(seen.heardMs, told)
      : Math.max(told, nowMs - this.detectionMs + firstAnswerMs);
    this.sights.set(life, { ...seen, heardMs, isAsked: true });
  }

  /** `readers`: all that there are now; `durable`: how far the log is. True: others are silent than were. */
  judge(readers: readonly WatchedReader[], moment: Moment): boolean {
    const { nowMs } = moment;
    const pausedMs = this.pause.since(nowMs);
    const lives = new Set(readers.map(({ life }) => life));
    for (const life of this.sights.keys()) if (!lives.has(life)) this.sights.delete(life);
    let hasChanged = false;
    for (const reader of readers) {
      const { life } = reader;
      const { heardMs: lastMs, sight, isAsked } = this.sights.get(life) ?? newly(reader, nowMs);
      const wasSilent = sight.kind !== "answering";
      const heardMs = Math.min(nowMs, lastMs + pausedMs);
      this.sights.set(life, { heardMs, sight, isAsked });
      if (wasSilent) this.sights.set(life, { heardMs, isAsked, sight: this.next(reader, moment) });
      if (this.isSilent(life) !== wasSilent) hasChanged = true;
    }
    return this.leaveOneOut(moment) || hasChanged;
  }

  /** Of those that answered until now, the one that has been silent for longest. */
  private leaveOneOut({ nowMs, writerHeardMs }: Moment): boolean {
    if (nowMs - this.leftOutMs < this.detectionMs) return false;
    const there = [...this.sights].filter(([life]) => !this.isSilent(life));
    const [first, ...others] = there.toSorted(([, a], [, b]) => a.heardMs - b.heardMs);
    if (!first) return false;
    const [life, seen] = first;
    const silentMs = nowMs - seen.heardMs;
    const isPrompt = (heardMs: number): boolean => nowMs - heardMs <= this.detectionMs / 2;
    const hasWitness = others.some(([, { heardMs }]) => isPrompt(heardMs));
    const isBySelf = !hasWitness && writerHeardMs !== undefined && isPrompt(writerHeardMs);
    const maxMs = hasWitness ? this.detectionMs : 2 * this.detectionMs;
    if (silentMs <= maxMs || !(hasWitness || isBySelf)) return false;
    this.sights.set(life, { ...seen, sight: { kind: "silent" } });
    this.leftOutMs = nowMs;
    return true;
  }

  /** Of one that is left out. */
  private next({ life, replayed }: WatchedReader, { durable, nowMs }: Moment): Sight {
    const { sight, heardMs } = this.sights.get(life) ?? newly({ life, replayed }, nowMs);
    if (nowMs - heardMs > this.detectionMs) return { kind: "silent" };
    if (sight.kind === "answering") return sight;
    if (sight.kind === "silent") return { kind: "returning", sinceMs: nowMs, mustShow: durable };
    const { sinceMs, mustShow } = sight;
    const answersForMs = nowMs - sinceMs;
    if (answersForMs < this.detectionMs) return { ...sight, mustShow: durable };
    const hasCaughtUp = mustShow === undefined || (replayed !== undefined && replayed >= mustShow);
    return hasCaughtUp || answersForMs > catchUpMaxMs ? { kind: "answering" } : sight;
  }
}

function newly({ wasUnheard = false }: WatchedReader, nowMs: number): Seen {
  const sight: Sight = wasUnheard ? { kind: "silent" } : { kind: "answering" };
  return { heardMs: nowMs, sight, isAsked: false };
}

/** Agents that take our call and say nothing, ever: a control plane that has just begun does not know what they are. */
export class UnheardWatch {
  private readonly maxMs: number;
  private readonly stepMs: number;
  private lookedMs: number;
  private waited = new Map<string, number>();

  /** `maxMs`: for so long they may say nothing; `stepMs`: how often look is meant to be called. */
  constructor(options: { maxMs: number; stepMs: number; nowMs: number }) {
    this.maxMs = options.maxMs;
    this.stepMs = options.stepMs;
    this.lookedMs = options.nowMs;
  }

  isSilent(id: string): boolean {
    return (this.waited.get(id) ?? 0) > this.maxMs;
  }

  /** `ids`: who owes a word. True: others are silent than were. */
  look(ids: readonly string[], nowMs: number): boolean {
    // What we did not run ourselves is nobody's silence.
    const sinceMs = Math.min(nowMs - this.lookedMs, 2 * this.stepMs);
    this.lookedMs = nowMs;
    const before = [...this.waited.keys()].filter((id) => this.isSilent(id));
    this.waited = new Map(ids.map((id) => [id, (this.waited.get(id) ?? 0) + sinceMs]));
    const after = [...this.waited.keys()].filter((id) => this.isSilent(id));
    return before.join() !== after.join();
  }
}
