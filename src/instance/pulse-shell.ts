import { type Clock } from "../io/index.ts";
import type { PgClient } from "../wire/index.ts";

/**
 * A session and a statement cost PostgreSQL a few milliseconds: so often at most. What is left of the time after which it
 * counts as silent is what a busy machine may take for one.
 */
const everyMs = 500;

/**
 * Whether a PostgreSQL answers: a new session and one statement, now and then, while somebody asks. A frozen one, or one
 * that accepts connections and nothing more, is silent; a refusal is an answer.
 */
export class Pulse {
  private readonly clock: Clock;
  private readonly connect: () => Promise<PgClient>;
  private isAsking = false;
  private askedMs = 0;
  private heardMs = 0;

  constructor(clock: Clock, connect: () => Promise<PgClient>) {
    this.clock = clock;
    this.connect = connect;
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
      await client.query("SELECT 1");
      client.destroy();
      this.heardMs = this.clock.nowMs();
    } catch (error) {
      // Too many clients, starting up, taken off before a promotion: somebody is there. No answer in time, or a socket that
      // is gone: nobody.
      if (isRefusal(error)) this.heardMs = this.clock.nowMs();
    } finally {
      this.isAsking = false;
    }
  }
}

function isRefusal(error: unknown): boolean {
  if (!(error instanceof Error) || !("code" in error)) return false;
  const { code } = error;
  return typeof code === "string" && /^(53|57P01|57P03|28|42)/.test(code);
}
