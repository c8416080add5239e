/** Clients that write as fast as they are answered, and connect again when they cannot: the load under a failover. */
import { setTimeout as pause } from "node:timers/promises";
import pg from "pg";
import type { Target } from "./pgbench.ts";

/**
 * What one of pgbench's TPC-B-like transactions writes, in one statement. The answer says which PostgreSQL gave it: by
 * that, and by no guess about time, an answer is one from before a failover or from after it.
 */
const text = `
  WITH account AS (UPDATE pgbench_accounts SET abalance = abalance + $1 WHERE aid = $2),
       teller AS (UPDATE pgbench_tellers SET tbalance = tbalance + $1 WHERE tid = $3),
       branch AS (UPDATE pgbench_branches SET bbalance = bbalance + $1 WHERE bid = $4)
  INSERT INTO pgbench_history (tid, bid, aid, delta, mtime, filler)
  VALUES ($3, $4, $2, $1, CURRENT_TIMESTAMP, $5)
  RETURNING pg_postmaster_start_time()::text AS server`;

export interface WritersPlan {
  /** The addresses that each client tries in turn; one for an endpoint. */
  readonly targets: readonly Target[];
  readonly clients: number;
  /** pgbench's, of the tables. */
  readonly scale: number;
  /** Told of each acknowledged write: which PostgreSQL gave the answer, and its key, which no other write has. */
  readonly onAcknowledged: (server: string, key: string) => void;
  /** Of each error that a client sees, by its code. */
  readonly onError: (code: string) => void;
}

/** Between two attempts of one client that found no server to write to. */
const retryMs = 5;
let writersSoFar = 0;

export class Writers {
  private readonly plan: WritersPlan;
  private readonly running: Promise<void>[];
  private isStopping = false;

  constructor(plan: WritersPlan) {
    this.plan = plan;
    this.running = Array.from({ length: plan.clients }, () => this.run(writersSoFar++));
  }

  /** Returns when the last answers have come. */
  async stop(): Promise<void> {
    this.isStopping = true;
    await Promise.all(this.running);
  }

  private async run(writer: number): Promise<void> {
    const { targets, onError } = this.plan;
    let n = 0;
    for (let at = 0; !this.isStopping; at = (at + 1) % targets.length) {
      const target = targets[at];
      if (!target) return;
      const client = new pg.Client({ ...target, database: "postgres" });
      // Told through the statement that was under way.
      client.on("error", () => undefined);
      try {
        await client.connect();
        while (!this.isStopping) await this.write(client, `${writer}:${n++}`);
      } catch (error) {
        onError(codeOf(error));
        if (at === targets.length - 1) await pause(retryMs);
      } finally {
        await client.end().catch(() => undefined);
      }
    }
  }

  private async write(client: pg.Client, key: string): Promise<void> {
    const { scale, onAcknowledged } = this.plan;
    const upTo = (most: number): number => 1 + Math.floor(Math.random() * most);
    const teller = upTo(10 * scale);
    const values = [
      upTo(10_000) - 5_000,
      upTo(100_000 * scale),
      teller,
      Math.ceil(teller / 10),
      key,
    ];
    const { rows } = await client.query<{ server: string }>({ name: "write", text, values });
    onAcknowledged(rows[0]?.server ?? "", key);
  }
}

/** A SQLSTATE, the operating system's name, or the driver's words. */
function codeOf(error: unknown): string {
  const { code, message } = error as { code?: unknown; message?: unknown };
  return String(code ?? message);
}
