import { parseLsn } from "../base/lsn.ts";
import { type Clock } from "../io/index.ts";
import type { PgClient } from "../wire/index.ts";
import { LogMotion, type Taken } from "./log-motion.ts";

/**
 * A session and a statement cost PostgreSQL a few milliseconds: so often at most. What is left of the time after which it
 * counts as silent is what a busy machine may take for one.
 */
const everyMs = 500;

/**
 * Whether a PostgreSQL answers: a new session and one statement, now and then, while somebody asks. A frozen one, or one
 * that accepts connections and nothing more, is silent; a refusal is an answer. `isWell` asks for more than an answer.
 */
export class Pulse {
  private readonly clock: Clock;
  private readonly connect: () => Promise<PgClient>;
  private readonly isWell: (client: PgClient) => Promise<boolean>;
  private isAsking = false;
  private askedMs = 0;
  private heardMs = 0;

  constructor(
    clock: Clock,
    connect: () => Promise<PgClient>,
    isWell: (client: PgClient) => Promise<boolean> = answers,
  ) {
    this.clock = clock;
    this.connect = connect;
    this.isWell = isWell;
  }

  /** It has just answered. */
  begin(): void {
    this.heardMs = this.clock.nowMs();
  }

  /** How long ago it last answered; asks anew if that is long ago. */
  silentMs(): number {
    const nowMs = this.clock.nowMs();
    if (!this.isAsking && nowMs - this.askedMs >= everyMs) void this.ask(nowMs);
    return nowMs - this.heardMs;
  }

  private async ask(nowMs: number): Promise<void> {
    this.isAsking = true;
    this.askedMs = nowMs;
    try {
      const client = await this.connect();
      const isWell = await this.isWell(client).finally(() => client.destroy());
      if (isWell) this.heardMs = this.clock.nowMs();
    } catch (error) {
      // Too many clients, starting up, not promoted yet, taken off before that: somebody is there. No answer in time, or a socket that
      // is gone: nobody.
      if (isRefusal(error)) this.heardMs = this.clock.nowMs();
    } finally {
      this.isAsking = false;
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

/** Of a writer: its log must come to the driver, too; nobody else has it before. */
export function writerPulse(
  clock: Clock,
  connect: () => Promise<PgClient>,
  driver: { readonly progress: Taken },
): Pulse {
  const motion = new LogMotion();
  return new Pulse(clock, connect, async (client) => {
    const { rows } = await client.query("SELECT pg_catalog.pg_current_wal_flush_lsn()");
    const flushed = rows[0]?.[0];
    return typeof flushed !== "string" || motion.look(parseLsn(flushed), driver.progress);
  });
}
