/** Clients that append, transfer, exchange registers' values and read everywhere, and write every answer down. */
import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { type Rng, seededRng } from "../../src/base/rng.ts";
import { type TestCluster, until } from "./cluster.ts";
import {
  type Append,
  type CommitForm,
  count,
  type Exchange,
  type Final,
  type History,
  type Outcome,
  rolledBack,
  type Write,
} from "./history.ts";
import { firstValue } from "./register-order.ts";

export interface SessionsOptions {
  readonly seed: number;
  /** Of each of the six kinds. */
  readonly ofEachKind: number;
  /** Mean pause between two operations of a session. */
  readonly pauseMs: number;
}

export const accounts = 24;
export const balance = 1_000_000;
const registers = 6;
/** Of each session's numbers: its rows, and its registers' values. */
const numbersPerSession = 100_000_000;

const schema = `
  CREATE TABLE appends (place bigserial PRIMARY KEY, row bigint NOT NULL);
  CREATE INDEX ON appends (row);
  CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL);
  CREATE TABLE transfers (place bigserial PRIMARY KEY, row bigint NOT NULL, source int, target int, amount int);
  CREATE TABLE registers (key int PRIMARY KEY, value bigint NOT NULL)`;

/** One statement, so one snapshot. A PostgreSQL's folder and the moment of its start name one life of it. */
const view = `SELECT
  current_setting('data_directory') || ' ' || extract(epoch FROM pg_postmaster_start_time()) AS life,
  (SELECT array_agg(value ORDER BY key) FROM registers) AS registers,
  (SELECT sum(balance) FROM accounts) AS total,
  (SELECT coalesce(max(place), 0) FROM appends) AS last_place,
  ARRAY(SELECT row FROM appends ORDER BY place DESC LIMIT 40) ||
  ARRAY(SELECT row FROM transfers ORDER BY place DESC LIMIT 20) AS rows`;

/** It shares its server connections with others. */
const pooled = "-c borealis.pool=auto";
/** It writes at the reader endpoint, and sees there what it has written. */
const forwarding = "-c apg_write_forward.consistency_mode=session";

type Endpoint = "writer" | "reader" | `instance-${number}`;

/** One session's part: what it does again and again, over whatever connection it has. */
interface Part {
  readonly session: number;
  readonly endpoint: Endpoint;
  /** What it sets at its start. */
  readonly options: string;
  readonly rng: Rng;
  readonly act: (client: pg.Client, part: Part) => Promise<unknown>;
}

export class CheckerSessions {
  private readonly cluster: TestCluster;
  private readonly history: History;
  private readonly options: SessionsOptions;
  private readonly running: Promise<void>[] = [];
  /** Sessions that have not ended. */
  private readonly waiting = new Set<string>();
  private isStopping = false;
  private readonly numbers = new Map<number, number>();
  /** Rows that somebody has asked to append, to be looked for. */
  private readonly asked: number[] = [];
  private readonly lives = new Map<string, string>();

  constructor(cluster: TestCluster, history: History, options: SessionsOptions) {
    this.cluster = cluster;
    this.history = history;
    this.options = options;
  }

  get sessionCount(): number {
    return this.running.length;
  }

  async start(): Promise<void> {
    await this.cluster.query(
      `${schema}; INSERT INTO accounts SELECT id, ${balance} FROM generate_series(1, ${accounts}) id;
       INSERT INTO registers VALUES ${Array.from({ length: registers }, (_, k) => `(${k + 1}, ${firstValue(k + 1)})`).join()}`,
    );
    // A reader that lags has no tables yet.
    for (const endpoint of ["instance-1", "instance-2", "instance-3"] as const)
      await until(`${endpoint} has the tables`, async () => {
        return (await this.cluster.query("SELECT FROM registers", endpoint)).rowCount === registers;
      });
    const parts: [Endpoint, Part["act"]][] = [
      ["writer", (client, part) => this.append(client, part)],
      ["writer", (client, part) => this.transfer(client, part)],
      ["writer", (client, part) => this.exchange(client, part)],
      ["writer", (client, part) => this.readWriter(client, part)],
      ["reader", (client, part) => this.view(client, part)],
    ];
    for (let n = 0; n < this.options.ofEachKind; n++) {
      // The last of each kind.
      const options = n > 0 && n === this.options.ofEachKind - 1 ? pooled : "";
      for (const [endpoint, act] of parts) this.add(endpoint, act, options);
      this.add(`instance-${1 + (n % 3)}`, (client, part) => this.view(client, part), options);
    }
    for (const options of [forwarding, `${forwarding} ${pooled}`])
      this.add("reader", (client, part) => this.forward(client, part), options);
  }

  /** Resolves when every session has ended, or when `patienceMs` are over; with those that wait for an answer still. */
  async stop(patienceMs: number): Promise<string[]> {
    this.isStopping = true;
    await Promise.race([Promise.all(this.running), delay(patienceMs, undefined, { ref: false })]);
    return [...this.waiting];
  }

  private add(endpoint: Endpoint, act: Part["act"], options: string): void {
    const session = this.running.length + 1;
    const rng = seededRng(this.options.seed * 1_000 + session);
    const name = `session ${session} at ${endpoint} ${options}`;
    this.waiting.add(name);
    const run = this.run({ session, endpoint, options, rng, act });
    this.running.push(run.finally(() => this.waiting.delete(name)));
  }

  private async run(part: Part): Promise<void> {
    const { endpoint, options, rng } = part;
    while (!this.isStopping) {
      let client: pg.Client | undefined;
      try {
        client = await this.cluster.client(endpoint, { options });
      } catch (error) {
        count(this.history.refusedConnections, outcomeOf(error));
        await delay(50);
        continue;
      }
      try {
        const operations = 1 + rng.below(500);
        for (let n = 0; n < operations && !this.isStopping; n++) {
          await part.act(client, part);
          await delay(rng.below(2 * this.options.pauseMs));
        }
      } catch {
        // The connection is gone; what was under way is written down.
      }
      void client.end().catch(() => undefined);
    }
  }

  /** A number that nothing else has. */
  private number(session: number): number {
    const next = (this.numbers.get(session) ?? 0) + 1;
    this.numbers.set(session, next);
    return session * numbersPerSession + next;
  }

  private append(client: pg.Client, part: Part): Promise<unknown> {
    const chance = part.rng.below(8);
    const form = chance < 3 ? "own" : chance < 7 ? "alone" : "several";
    return this.appendAs(form, client, part);
  }

  /** Several statements in one Query are not forwarded. */
  private async forward(client: pg.Client, part: Part): Promise<void> {
    const form = part.rng.below(2) === 0 ? "own" : "alone";
    const write = await this.appendAs(form, client, part);
    for (const row of write.rows) await this.look(client, row, part.endpoint);
    if (part.rng.below(3) === 0) await this.view(client, part);
  }

  private async appendAs(
    form: CommitForm,
    client: pg.Client,
    { session, rng }: Part,
  ): Promise<Append> {
    const length = { own: 1 + rng.below(3), alone: 1, several: 2 }[form];
    const rows = Array.from({ length }, () => this.number(session));
    this.asked.push(...rows);
    const write = this.history.begin({ kind: "append", rows, ...attempt(session, form) });
    const insert = (row: number): string => `INSERT INTO appends (row) VALUES (${row})`;
    if (form === "several") {
      await settle(client, write, () => client.query(rows.map(insert).join("; ")));
    } else if (form === "alone") {
      const [row = 0] = rows;
      const extended = `INSERT INTO appends (row) VALUES ($1)${rng.below(2) === 0 ? " RETURNING row" : ""}`;
      const isSimple = rng.below(3) === 0;
      await settle(client, write, () =>
        isSimple ? client.query(insert(row)) : client.query(extended, [row]),
      );
    } else {
      const steps = rows.map((row) => () => client.query(insert(row)));
      await this.transaction(client, write, rng, steps);
    }
    return write;
  }

  private async transfer(client: pg.Client, { session, rng }: Part): Promise<void> {
    const [from, amount] = [1 + rng.below(accounts), 1 + rng.below(1_000)];
    const to = 1 + ((from + rng.below(accounts - 1)) % accounts);
    const row = this.number(session);
    const facts = { row, from, to, amount, ...attempt(session, "own") };
    const write = this.history.begin({ kind: "transfer", ...facts });
    // Locks are taken in one order: no deadlocks.
    const changes = [
      [from, -amount],
      [to, amount],
    ].toSorted(([a = 0], [b = 0]) => a - b);
    // What it saw of the balances must be the same when it is run again: some look, some do not.
    const seen = rng.below(2) === 0 ? " RETURNING balance" : "";
    await this.transaction(client, write, rng, [
      ...changes.map(([id, by]) => () => {
        return client.query(`UPDATE accounts SET balance = balance + $2 WHERE id = $1${seen}`, [
          id,
          by,
        ]);
      }),
      () =>
        client.query(
          "INSERT INTO transfers (row, source, target, amount) VALUES ($1, $2, $3, $4)",
          [row, from, to, amount],
        ),
    ]);
  }

  private async exchange(client: pg.Client, { session, rng }: Part): Promise<void> {
    const key = 1 + rng.below(registers);
    const form = rng.below(4) === 0 ? "own" : "alone";
    let expected: number;
    try {
      const { rows } = await client.query("SELECT value FROM registers WHERE key = $1", [key]);
      expected = Number((rows[0] as { value: string }).value);
    } catch (error) {
      this.readFailed(error);
      return;
    }
    const facts = { key, expected, value: this.number(session), hasMatched: false };
    const write: Exchange = this.history.begin({
      kind: "exchange",
      ...facts,
      ...attempt(session, form),
    });
    const update = async (): Promise<pg.QueryResult> => {
      const text = "UPDATE registers SET value = $3 WHERE key = $1 AND value = $2";
      const result = await client.query(text, [key, expected, write.value]);
      write.hasMatched = result.rowCount === 1;
      return result;
    };
    if (form === "alone") await settle(client, write, update);
    else await this.transaction(client, write, rng, [update]);
  }

  /** BEGIN, the steps, COMMIT: each a message of its own, and now and then a pause between two. */
  private async transaction(
    client: pg.Client,
    write: Write,
    rng: Rng,
    steps: readonly (() => Promise<unknown>)[],
  ): Promise<void> {
    await settle(client, write, async () => {
      await client.query("BEGIN");
      for (const step of steps) {
        await step();
        if (rng.below(4) === 0) await delay(rng.below(this.options.pauseMs));
      }
      write.commitMs = performance.now();
      return client.query("COMMIT");
    });
    if (write.outcome !== "ok") await client.query("ROLLBACK");
  }

  private async readWriter(client: pg.Client, part: Part): Promise<void> {
    // Most of what was asked last: that is where something could be missing.
    const back = part.rng.below(4) === 0 ? part.rng.below(this.asked.length) : part.rng.below(50);
    const row = this.asked[this.asked.length - 1 - back];
    if (row === undefined || part.rng.below(3) === 0) return this.view(client, part);
    await this.look(client, row, part.endpoint);
  }

  /** Looks for a row where it must be, once it was acknowledged: at the writer, or in the session that wrote it. */
  private async look(client: pg.Client, row: number, endpoint: Endpoint): Promise<void> {
    const startMs = performance.now();
    try {
      const { rows } = await client.query("SELECT count(*) FROM appends WHERE row = $1", [row]);
      const times = Number((rows[0] as { count: string }).count);
      const endMs = performance.now();
      this.history.looks.push({ row, by: endpoint, startMs, endMs, count: times });
      if (times > 0) this.history.show([row], endpoint, startMs);
    } catch (error) {
      this.readFailed(error);
    }
  }

  private async view(client: pg.Client, { endpoint }: Part): Promise<void> {
    const startMs = performance.now();
    try {
      const { rows } = await client.query(view);
      const seen = rows[0] as Record<"life" | "total" | "last_place", string> &
        Record<"registers" | "rows", string[]>;
      this.history.views.push({
        endpoint,
        life: this.interned(seen.life),
        startMs,
        endMs: performance.now(),
        registers: seen.registers.map(Number),
        total: Number(seen.total),
        lastPlace: Number(seen.last_place),
      });
      this.history.show(seen.rows.map(Number), endpoint, startMs);
    } catch (error) {
      this.readFailed(error);
    }
  }

  /** One string for each life, however often it is named. */
  private interned(life: string): string {
    const known = this.lives.get(life) ?? life;
    this.lives.set(known, known);
    return known;
  }

  /** Raises if the connection is gone with it. */
  private readFailed(error: unknown): void {
    count(this.history.failedReads, outcomeOf(error));
    if (isOver(error)) throw error;
  }
}

/** All that is there; to be asked when nobody writes. */
export async function readFinal(cluster: TestCluster): Promise<Final> {
  const pairs = async (sql: string): Promise<Map<number, number>> => {
    const { rows } = await cluster.query(sql);
    return new Map(rows.map((row: { k: string; v: string }) => [Number(row.k), Number(row.v)]));
  };
  return {
    appended: await pairs("SELECT row AS k, count(*) AS v FROM appends GROUP BY row"),
    transferred: await pairs("SELECT row AS k, count(*) AS v FROM transfers GROUP BY row"),
    balances: await pairs("SELECT id AS k, balance AS v FROM accounts"),
    registers: await pairs("SELECT key AS k, value AS v FROM registers"),
  };
}

function attempt(
  session: number,
  form: CommitForm,
): Pick<Write, "session" | "form" | "startMs"> & {
  commitMs: number | undefined;
  endMs: number;
  outcome: Outcome;
} {
  const startMs = performance.now();
  const commitMs = form === "own" ? undefined : startMs;
  return { session, form, startMs, commitMs, endMs: 0, outcome: "running" };
}

/** Writes down how it ends; raises if the connection is gone with it. */
async function settle(
  client: pg.Client,
  write: Write,
  ask: () => Promise<pg.QueryResult | pg.QueryResult[]>,
): Promise<void> {
  try {
    const result = await ask();
    const command = Array.isArray(result) ? undefined : (result.command as string | null);
    write.outcome = command === rolledBack ? rolledBack : "ok";
  } catch (error) {
    write.outcome = outcomeOf(error);
    write.said = error instanceof Error ? error.message : String(error);
    if (isOver(error)) throw error;
  } finally {
    write.endMs = performance.now();
  }
}

function outcomeOf(error: unknown): Outcome {
  return error instanceof pg.DatabaseError ? (error.code ?? "no SQLSTATE") : "closed";
}

function isOver(error: unknown): boolean {
  return !(error instanceof pg.DatabaseError) || error.severity === "FATAL";
}
