/** pgbench and psql against a contender. */
import { runToEnd } from "./child.ts";

/** Where a contender is reached, as libpq takes it. */
export interface Target {
  /** Host name, or directory of a unix socket. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password?: string;
  /** With TLS; without, unless told: what is compared is not a cipher. */
  readonly tls?: boolean;
}

export interface Load {
  readonly clients: number;
  readonly seconds: number;
  readonly protocol: Protocol;
  /** tpcb: pgbench's own script of five statements and a commit; select: one row by its key. */
  readonly script: "tpcb" | "select";
  /** A session of its own for each transaction. */
  readonly reconnects?: boolean;
}

export type Protocol = "simple" | "extended" | "prepared";

/** Of another work than pgbench's, a transaction is one of its units: a MB, say. */
export interface Measured {
  readonly tps: number;
  readonly transactions: number;
  readonly latencyMs: number;
}

export interface Tools {
  readonly pgbench: string;
  readonly psql: string;
  readonly signal: AbortSignal;
}

export async function fill(tools: Tools, target: Target, scale: number): Promise<void> {
  const args = ["-i", "-q", "-s", String(scale), ...connection(target)];
  await runToEnd({ program: tools.pgbench, args, env: environment(target), signal: tools.signal });
}

export async function sql(tools: Tools, target: Target, ...statements: string[]): Promise<string> {
  const commands = statements.flatMap((statement) => ["-c", statement]);
  const args = ["-XAtq", "-v", "ON_ERROR_STOP=1", ...connection(target), ...commands];
  const options = { program: tools.psql, args, env: environment(target), signal: tools.signal };
  return (await runToEnd(options)).trim();
}

/** As pgbench does before a run of its own: the small tables without dead rows, the history empty; then what else. */
export async function tidy(tools: Tools, target: Target, ...more: string[]): Promise<void> {
  await sql(
    tools,
    target,
    "VACUUM pgbench_branches",
    "VACUUM pgbench_tellers",
    "TRUNCATE pgbench_history",
    ...more,
  );
}

export async function measure(tools: Tools, target: Target, load: Load): Promise<Measured> {
  return parsePgbench(await run(tools, target, load));
}

/** The load, of which nothing is measured: on a busy machine many clients may not get to their first transaction in so short a time. */
export async function warmUp(tools: Tools, target: Target, load: Load): Promise<void> {
  requireClean(await run(tools, target, load));
}

async function run(tools: Tools, target: Target, load: Load): Promise<string> {
  const { clients, seconds, protocol, script, reconnects = false } = load;
  const args = [
    "-n",
    `--client=${clients}`,
    // A thread waits for a session that it opens, and its other clients with it.
    `--jobs=${reconnects ? clients : Math.min(clients, 2)}`,
    ...(reconnects ? ["--connect"] : []),
    `--time=${seconds}`,
    `--protocol=${protocol}`,
    ...(script === "select" ? ["-S"] : []),
    ...connection(target),
  ];
  const options = { program: tools.pgbench, args, env: environment(target), signal: tools.signal };
  return runToEnd(options);
}

/** What pgbench printed. Raises an Error if a client failed, or a transaction did, or there was none. */
export function parsePgbench(output: string): Measured {
  requireClean(output);
  const measured = {
    tps: find(output, /^tps = ([\d.]+)/m),
    transactions: find(output, /transactions actually processed: (\d+)/),
    latencyMs: find(output, /^latency average = ([\d.]+) ms/m),
  };
  if (Number.isNaN(measured.tps)) throw new Error(`pgbench measured nothing:\n${output}`);
  return measured;
}

/** Raises an Error if a client failed, or a transaction did. */
export function requireClean(output: string): void {
  const failed = find(output, /number of failed transactions: (\d+)/);
  if (failed > 0 || /aborted/.test(output))
    throw new Error(`pgbench did not finish cleanly:\n${output}`);
}

function find(output: string, pattern: RegExp): number {
  return Number(pattern.exec(output)?.[1] ?? Number.NaN);
}

export function connection(target: Target): string[] {
  return ["-h", target.host, "-p", String(target.port), "-U", target.user, "postgres"];
}

export function environment(target: Target): NodeJS.ProcessEnv {
  const { password = "", tls = false } = target;
  return {
    PGSSLMODE: tls ? "require" : "disable",
    PGGSSENCMODE: "disable",
    PGPASSWORD: password,
  };
}
