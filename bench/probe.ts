/** When a client's statement is answered first: how long a start, a clone or a return to an earlier moment takes. */
import { setTimeout as pause } from "node:timers/promises";
import pg from "pg";
import { messageOf } from "../src/base/errors.ts";
import { orAborted } from "./abort.ts";
import { type Child, runToEnd } from "./child.ts";
import type { Ground } from "./contender.ts";
import { fill, sql, type Target } from "./pgbench.ts";

/** Each answer says which PostgreSQL gave it. */
const statements = {
  write:
    "INSERT INTO bench_probe DEFAULT VALUES RETURNING pg_postmaster_start_time()::text AS server",
  read: "SELECT pg_postmaster_start_time()::text AS server FROM pgbench_branches LIMIT 1",
} as const;

/** Between two attempts. A server that starts forks a process to refuse each. */
const retryMs = 10;
const patienceMs = 300_000;

export interface Question {
  readonly target: Target;
  readonly what: keyof typeof statements;
  readonly database?: string;
  /** Whoever gives this one's answers is not waited for: its successor is. */
  readonly notFrom?: string | undefined;
  /** Raises when nobody will answer any more, since who would has ended. */
  readonly whose?: Pick<Child, "requireAlive">;
  readonly signal: AbortSignal;
}

export interface Answer {
  /** In performance.now()'s time. */
  readonly atMs: number;
  /** Which PostgreSQL: when it was started. */
  readonly server: string;
}

/** pgbench's tables, and the one that probes are written to. */
export async function fillForProbes(
  { tools }: Ground,
  { name, target, scale }: { name: string; target: Target; scale: number },
): Promise<void> {
  console.log(`Filling ${name} (scale ${scale}) ...`);
  await fill(tools, target, scale);
  const table = "CREATE TABLE bench_probe (at timestamptz DEFAULT clock_timestamp())";
  await sql(tools, target, table, "VACUUM ANALYZE", "CHECKPOINT");
}

/** Raises an Error when the one that is asked has ended, and when nobody has answered for minutes. */
export async function firstAnswer(question: Question): Promise<Answer> {
  const { whose, signal } = question;
  const deadlineMs = performance.now() + patienceMs;
  let why = "only the one that it is to succeed answers";
  const goOn = (): void => {
    signal.throwIfAborted();
    whose?.requireAlive();
    if (performance.now() > deadlineMs)
      throw new Error(`no answer for ${patienceMs / 1000} s: ${why}`);
  };
  for (;;) {
    goOn();
    const asked = askUntilRefused(question, goOn);
    const answer = await orAborted(asked, signal).catch((error: unknown) => {
      why = messageOf(error);
      return undefined;
    });
    if (answer) return answer;
    goOn();
    await pause(retryMs, undefined, { signal });
  }
}

/** Raises what the server, or the way to it, says against it. */
async function askUntilRefused(question: Question, goOn: () => void): Promise<Answer> {
  const { target, what, database = "postgres", notFrom, signal } = question;
  const limits = { connectionTimeoutMillis: 60_000, query_timeout: 60_000 };
  const client = new pg.Client({ ...target, ...limits, database });
  // Told through the statement that was under way.
  client.on("error", () => undefined);
  try {
    await client.connect();
    for (;;) {
      const { rows } = await client.query<{ server: string }>(statements[what]);
      const atMs = performance.now();
      const server = rows[0]?.server;
      if (server === undefined) throw new Error("pgbench_branches is empty");
      if (server !== notFrom) return { atMs, server };
      goOn();
      await pause(retryMs, undefined, { signal });
    }
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** What others have left to write is written before a clock is started. */
export async function settleDisk({ signal }: Ground): Promise<void> {
  await runToEnd({ program: "sync", args: [], signal });
}
