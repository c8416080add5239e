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

interface Operation {
  readonly client: number;
  readonly kind: "write" | "read";
  readonly endpoint: RegisterEndpoint;
  readonly key: number;
  readonly token: string;
  readonly startMs: number;
  endMs: number;
  /** Of an answered one. */
  value: number | undefined;
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
          await this.operate(connection, { client, endpoint, key, token, writes });
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
      client: number;
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
    if (!writes) this.reads.set(operation, row?.token ?? "?");
  }
  private readonly reads = new Map<Operation, string>();

  /** Every answer that the final history contradicts; none is what must be. */
  async contradictions(): Promise<string[]> {
    const { rows } = await this.cluster.query("SELECT k, v, token FROM register_log ORDER BY k, v");
    const history = new Map<string, string>();
    const found: string[] = [];
    const invoked = new Set(this.operations.map((one) => one.token));
    const last = new Map<number, number>();
    for (const { k, v, token } of rows as { k: number; v: string; token: string }[]) {
      const value = Number(v);
      if (value !== (last.get(k) ?? 0) + 1) found.push(`register ${k} has a hole before ${value}`);
      last.set(k, value);
      if (!invoked.has(token))
        found.push(`register ${k} at ${value} was written by nobody: ${token}`);
      history.set(`${k}:${value}`, token);
    }
    for (const one of this.operations) {
      if (one.value === undefined) continue;
      const told = one.kind === "write" ? one.token : (this.reads.get(one) ?? "");
      const holds = one.value === 0 ? "" : history.get(`${one.key}:${one.value}`);
      if (holds !== told)
        found.push(
          `${one.kind} on ${one.endpoint}: ${one.key} = ${one.value} by ${told}, is ${holds}`,
        );
    }
    return [...found, ...this.staleAnswers()];
  }

  /** On the writer, what was answered before a statement began is seen by it. */
  private staleAnswers(): string[] {
    const found: string[] = [];
    for (let key = 1; key <= this.options.keys; key++) {
      const answered = this.operations.filter(
        (one) => one.key === key && one.endpoint === "writer" && one.value !== undefined,
      );
      const byEnd = answered.toSorted((a, b) => a.endMs - b.endMs);
      let seen = 0;
      let next = 0;
      for (const one of answered.toSorted((a, b) => a.startMs - b.startMs)) {
        for (let ended = byEnd[next]; ended && ended.endMs < one.startMs; ended = byEnd[++next])
          seen = Math.max(seen, ended.value ?? 0);
        const least = one.kind === "write" ? seen + 1 : seen;
        if ((one.value ?? 0) < least)
          found.push(
            `stale ${one.kind}: register ${key} = ${one.value} after ${seen} was answered`,
          );
      }
    }
    return found;
  }
}
