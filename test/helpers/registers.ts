/**
 * Clients that count registers up, read them everywhere, and remember every answer; afterwards the answers are compared
 * with what the cluster holds. Each write leaves a row with a token of its own, so the final table is the one history
 * that every answer must be part of.
 */
import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { type Rng, seededRng } from "../../src/base/rng.ts";
import type { TestCluster } from "./cluster.ts";

export type RegisterEndpoint = "writer" | "reader";

export interface Operation {
  readonly kind: "write" | "read";
  readonly endpoint: RegisterEndpoint;
  readonly key: number;
  /** Of a write: its own. Of a read: that of the value it was shown. */
  token: string;
  readonly startMs: number;
  endMs: number;
  /** Of an answered one. */
  value: number | undefined;
}

/** A value that a register had, by the token of its write: what is left at the end. */
export interface Kept {
  readonly key: number;
  readonly value: number;
  readonly token: string;
}

export interface RegisterOptions {
  readonly seed: number;
  readonly writers?: number;
  readonly readers?: number;
  readonly keys?: number;
}

/** A statement that takes longer is given up by its client: the answer is unknown. */
const patienceMs = 20_000;

export class Registers {
  readonly operations: Operation[] = [];
  private readonly cluster: TestCluster;
  private readonly options: Required<RegisterOptions>;
  private readonly running: Promise<void>[] = [];
  private isStopping = false;

  constructor(cluster: TestCluster, options: RegisterOptions) {
    this.cluster = cluster;
    this.options = { writers: 4, readers: 3, keys: 5, ...options };
  }

  get answeredWrites(): number {
    return this.operations.filter((one) => one.kind === "write" && one.value !== undefined).length;
  }
  get answeredReads(): number {
    return this.operations.filter((one) => one.kind === "read" && one.value !== undefined).length;
  }
  get unanswered(): number {
    return this.operations.filter((one) => one.value === undefined).length;
  }

  async start(): Promise<void> {
    const { keys, writers, readers, seed } = this.options;
    await this.cluster.query(
      `CREATE TABLE registers (k int PRIMARY KEY, v bigint NOT NULL, token text NOT NULL);
       CREATE TABLE register_log (k int, v bigint, token text, PRIMARY KEY (k, v));
       INSERT INTO registers SELECT k, 0, '' FROM generate_series(1, ${keys}) k`,
    );
    for (let client = 0; client < writers + readers; client++) {
      const rng = seededRng(seed * 1000 + client);
      this.running.push(this.run(client, client < writers, rng));
    }
  }

  async stop(): Promise<void> {
    this.isStopping = true;
    await Promise.all(this.running);
  }

  private async run(client: number, writes: boolean, rng: Rng): Promise<void> {
    let count = 0;
    while (!this.isStopping) {
      const endpoint: RegisterEndpoint = writes || rng.below(3) === 0 ? "writer" : "reader";
      let connection: pg.Client | undefined;
      try {
        connection = await this.cluster.client(endpoint, {
          query_timeout: patienceMs,
          connectionTimeoutMillis: patienceMs,
        });
        const statements = 1 + rng.below(200);
        for (let n = 0; n < statements && !this.isStopping; n++) {
          const key = 1 + rng.below(this.options.keys);
          const token = writes ? `${client}.${++count}` : "";
          await this.operate(connection, { endpoint, key, token, writes });
        }
      } catch {
        // Unknown or refused: no promise was made.
        await delay(20);
      } finally {
        // One whose statement hangs is not waited for.
        connection?.end().catch(() => undefined);
      }
    }
  }

  private async operate(
    connection: pg.Client,
    what: {
      endpoint: RegisterEndpoint;
      key: number;
      token: string;
      writes: boolean;
    },
  ): Promise<void> {
    const { writes, ...facts } = what;
    const kind = writes ? "write" : "read";
    const startMs = performance.now();
    const operation: Operation = { ...facts, kind, startMs, endMs: 0, value: undefined };
    this.operations.push(operation);
    const { rows } = await (writes
      ? connection.query(
          `WITH up AS (UPDATE registers SET v = v + 1, token = $2 WHERE k = $1 RETURNING k, v, token)
           INSERT INTO register_log SELECT k, v, token FROM up RETURNING v, token`,
          [what.key, what.token],
        )
      : connection.query("SELECT v, token FROM registers WHERE k = $1", [what.key]));
    const [row] = rows as { v: string; token: string }[];
    operation.endMs = performance.now();
    operation.value = Number(row?.v);
    if (!writes) operation.token = row?.token ?? "?";
  }

  /** Every answer that the final history contradicts; none is what must be. */
  async contradictions(): Promise<string[]> {
    const { rows } = await this.cluster.query("SELECT k, v, token FROM register_log ORDER BY k, v");
    const kept = (rows as { k: number; v: string; token: string }[]).map(({ k, v, token }) => ({
      key: k,
      value: Number(v),
      token,
    }));
    return contradictionsIn(this.operations, kept);
  }
}

/** `kept` is in the order of keys and values. */
export function contradictionsIn(
  operations: readonly Operation[],
  kept: readonly Kept[],
): string[] {
  const history = new Map<string, string>();
  const found: string[] = [];
  const invoked = new Set(operations.filter((one) => one.kind === "write").map((one) => one.token));
  const last = new Map<number, number>();
  for (const { key, value, token } of kept) {
    if (value !== (last.get(key) ?? 0) + 1)
      found.push(`register ${key} has a hole before ${value}`);
    last.set(key, value);
    if (!invoked.delete(token))
      found.push(`register ${key} = ${value} by nobody, or twice: ${token}`);
    history.set(`${key}:${value}`, token);
  }
  for (const { kind, endpoint, key, value, token } of operations) {
    if (value === undefined) continue;
    const holds = value === 0 ? "" : history.get(`${key}:${value}`);
    if (holds !== token)
      found.push(`${kind} on ${endpoint}: ${key} = ${value} by ${token}, is ${holds}`);
  }
  return [...found, ...staleAnswers(operations)];
}

/** On the writer, what was answered before a statement began is seen by it. */
function staleAnswers(operations: readonly Operation[]): string[] {
  const found: string[] = [];
  for (const key of new Set(operations.map((one) => one.key))) {
    const answered = operations.filter(
      (one) => one.key === key && one.endpoint === "writer" && one.value !== undefined,
    );
    const byEnd = answered.toSorted((a, b) => a.endMs - b.endMs);
    let seen = 0;
    let next = 0;
    for (const { kind, startMs, value = 0 } of answered.toSorted((a, b) => a.startMs - b.startMs)) {
      for (let ended = byEnd[next]; ended && ended.endMs < startMs; ended = byEnd[++next])
        seen = Math.max(seen, ended.value ?? 0);
      const least = kind === "write" ? seen + 1 : seen;
      if (value < least)
        found.push(`stale ${kind}: register ${key} = ${value} after ${seen} was answered`);
    }
  }
  return found;
}
