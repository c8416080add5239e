import { parseLsn } from "../base/lsn.ts";
import { type CpuTime, countedSilence } from "../base/slowness.ts";
import { type Clock, readCpuTime } from "../io/index.ts";
import type { PgClient } from "../wire/index.ts";
import { LogMotion, type Taken } from "./log-motion.ts";

/**
 * A session and a statement cost PostgreSQL a few milliseconds: so often at most. What is left of the time after which it
 * counts as silent is what a busy machine may take for one.
 */
const everyMs = 500;

export interface PulseOptions {
  readonly clock: Clock;
  /** Is given up once `signal` aborts. */
  readonly connect: (signal: AbortSignal) => Promise<PgClient>;
  /** What more is asked for than an answer. */
  readonly isWell?: (client: PgClient) => Promise<boolean>;
  /** So many may be on their way: where one stands still alone, the next one shows that the rest does not. */
  readonly atOnceMax: number;
  /** An answer that takes longer is none. */
  readonly giveUpMs: number;
  /** What the system has given this process; undefined: it does not tell. */
  readonly cpuTime?: () => CpuTime | undefined;
}

/**
 * Whether a PostgreSQL answers: a new session and one statement, now and then, while somebody asks. A frozen one, or one
 * that accepts connections and nothing more, is silent; a refusal is an answer.
 */
export class Pulse {
  private readonly options: PulseOptions;
  private asking = 0;
  private askedMs = 0;
  private heardMs = 0;
  /** As of then. */
  private cpuTime: CpuTime | undefined;

  constructor(options: PulseOptions) {
    this.options = options;
  }

  /** It has just answered. */
  begin(): void {
    this.heardMs = this.options.clock.nowMs();
    this.cpuTime = this.options.cpuTime?.();
  }

  /**
   * How long ago it last answered; asks anew if that is long ago. Where the machine has no time to run us it has none for a new session,
   * either, and the time since then counts for less.
   */
  silentMs(): number {
    const { clock, atOnceMax } = this.options;
    const nowMs = clock.nowMs();
    if (this.asking < atOnceMax && nowMs - this.askedMs >= everyMs) void this.ask(nowMs);
    return countedSilence(nowMs - this.heardMs, this.cpuTime, this.options.cpuTime?.());
  }

  private async ask(nowMs: number): Promise<void> {
    const { clock, connect, isWell = answers, giveUpMs } = this.options;
    this.asking++;
    this.askedMs = nowMs;
    const over = new AbortController();
    const timer = clock.after(giveUpMs, () => over.abort(new Error("no answer in time")));
    try {
      const client = await connect(over.signal);
      over.signal.addEventListener("abort", () => client.destroy(), { once: true });
      if (over.signal.aborted) client.destroy();
      const isFine = await isWell(client).finally(() => client.destroy());
      if (isFine) this.begin();
    } catch (error) {
      // Too many clients, starting up, not promoted yet, taken off before that: somebody is there. No answer in time, or a socket that
      // is gone: nobody.
      if (isRefusal(error)) this.begin();
    } finally {
      timer.cancel();
      this.asking--;
    }
  }
}

async function answers(client: PgClient): Promise<boolean> {
  await client.query("SELECT 1");
  return true;
}

function isRefusal(error: unknown): boolean {
  if (!(error instanceof Error) || !("code" in error)) return false;
  const { code } = error;
  return typeof code === "string" && /^(53|55|57P01|57P03|28|42)/.test(code);
}

/** By then another has taken over, unless more patience was asked for. */
const writerGiveUpMs = 10_000;

/** Of a writer: its log must come to the driver, too; nobody else has it before. */
export function writerPulse(
  clock: Clock,
  connect: PulseOptions["connect"],
  driver: { readonly progress: Taken },
): Pulse {
  const motion = new LogMotion();
  const isWell = async (client: PgClient): Promise<boolean> => {
    const { rows } = await client.query("SELECT pg_catalog.pg_current_wal_flush_lsn()");
    const flushed = rows[0]?.[0];
    return typeof flushed !== "string" || motion.look(parseLsn(flushed), driver.progress);
  };
  // One look at the log after the other.
  const giveUpMs = writerGiveUpMs;
  return new Pulse({ clock, connect, isWell, atOnceMax: 1, giveUpMs, cpuTime: readCpuTime });
}
