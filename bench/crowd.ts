/** Clients that are logged in and do nothing. */
import pg from "pg";
import type { Target } from "./pgbench.ts";

/** That log in at the same time: more would only wait, here and there. */
const atOnce = 50;

export class Crowd {
  private readonly target: Target;
  private clients: pg.Client[] = [];
  private lost = 0;

  constructor(target: Target) {
    this.target = target;
  }

  /** Returns when there are so many of them. */
  async grow(count: number, signal: AbortSignal): Promise<void> {
    while (this.clients.length < count) {
      signal.throwIfAborted();
      const missing = Math.min(atOnce, count - this.clients.length);
      const joined = await Promise.all(Array.from({ length: missing }, () => this.join()));
      this.clients.push(...joined);
    }
  }

  /** Raises an Error if one of them is not there any more: what was measured is not what it is called then. */
  requireWhole(): void {
    if (this.lost > 0) throw new Error(`${this.lost} of ${this.clients.length} clients were lost`);
  }

  async leave(): Promise<void> {
    const { clients } = this;
    this.clients = [];
    await Promise.all(clients.map((client) => client.end().catch(() => undefined)));
    this.lost = 0;
  }

  private async join(): Promise<pg.Client> {
    const client = new pg.Client({ ...this.target, database: "postgres" });
    client.on("error", () => this.lost++);
    await client.connect();
    await client.query("SELECT 1");
    return client;
  }
}
