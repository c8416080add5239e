/** Clients that insert numbered rows and remember what they were told, so that every promise can be checked. */
import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { type TestCluster, until } from "./cluster.ts";
import { isThorough } from "./thorough.ts";

/** Full load would have every core, of this test and of whatever runs beside it. */
const pauseMs = isThorough ? 0 : 5;

/** No two clients of a file's share their rows, also where an earlier test has failed and left its own running. */
let clientsSoFar = 0;

export class Workload {
  private readonly cluster: TestCluster;
  private readonly clients: number;
  private readonly acknowledged = new Set<string>();
  private readonly running: Promise<void>[] = [];
  private isStopping = false;
  errors = 0;

  constructor(cluster: TestCluster, clients = 4) {
    this.cluster = cluster;
    this.clients = clients;
  }

  /** After a stop: other clients, which remember all that these were told. */
  async goOn(): Promise<Workload> {
    const next = new Workload(this.cluster, this.clients);
    for (const key of this.acknowledged) next.acknowledged.add(key);
    await next.start();
    return next;
  }

  get acknowledgedCount(): number {
    return this.acknowledged.size;
  }

  async start(): Promise<void> {
    await this.cluster.query(
      "CREATE TABLE IF NOT EXISTS promises (client int, n int, PRIMARY KEY (client, n))",
    );
    for (let n = 0; n < this.clients; n++) this.running.push(this.run(clientsSoFar++));
    await this.untilMore(20);
  }

  /** Waits until `count` more rows have been acknowledged: the cluster serves writes. */
  async untilMore(count: number, deadlineMs = 120_000): Promise<void> {
    const goal = this.acknowledged.size + count;
    await until(
      `${count} more commits are acknowledged`,
      () => this.acknowledged.size >= goal,
      deadlineMs,
    );
  }

  async stop(): Promise<void> {
    this.isStopping = true;
    await Promise.all(this.running);
  }

  /** Rows that were acknowledged before it is asked and that `endpoint` does not show: must be none on the writer. */
  async missingOn(endpoint: "writer" | "reader" | `instance-${number}`): Promise<string[]> {
    const told = [...this.acknowledged];
    const { rows } = await this.cluster.query("SELECT client, n FROM promises", endpoint);
    const there = new Set(
      rows.map((row: { client: number; n: number }) => `${row.client}:${row.n}`),
    );
    return told.filter((key) => !there.has(key));
  }

  private async run(client: number): Promise<void> {
    let n = 0;
    while (!this.isStopping) {
      let connection: pg.Client | undefined;
      try {
        connection = await this.cluster.client("writer");
        while (!this.isStopping) {
          n++;
          await connection.query("INSERT INTO promises VALUES ($1, $2)", [client, n]);
          this.acknowledged.add(`${client}:${n}`);
          if (pauseMs > 0) await delay(pauseMs);
        }
      } catch {
        // Unknown or refused: not a promise. The next row has a new number.
        this.errors++;
        await new Promise((resolve) => setTimeout(resolve, 20));
      } finally {
        await connection?.end().catch(() => undefined);
      }
    }
  }
}
