import { OutcomeUnknown } from "../base/errors.ts";
import { type Lsn, parseLsn } from "../base/lsn.ts";
import type { LogDriverHandle } from "../log-driver/index.ts";
import type { PgClient } from "../wire/index.ts";

/**
 * Answers of the endpoint that must wait until the quorum holds what a session did (decisions.md D20).
 *
 * "flushed": a commit is flushed before it waits for its standby, so VCL past the flush position covers it. VCL, not
 * VDL: the flush position may lie inside somebody else's unfinished record.
 *
 * "inserted": a commit with synchronous_commit off or local is not flushed yet. A small transaction of our own comes
 * after it in the log, makes PostgreSQL flush both, and waits for the quorum like any other: no guess about positions
 * (the insert position counts page headers that nothing has filled yet).
 */
export class DurabilityWaits {
  private readonly client: PgClient;
  private readonly driver: LogDriverHandle;
  private readonly signal: AbortSignal;
  private running: Promise<void> | undefined;
  private next: Promise<void> | undefined;

  constructor(options: { client: PgClient; driver: LogDriverHandle; signal: AbortSignal }) {
    this.client = options.client;
    this.driver = options.driver;
    this.signal = options.signal;
  }

  /** Raises OutcomeUnknown when this writer ends first. */
  async until(what: "flushed" | "inserted"): Promise<void> {
    try {
      if (what === "inserted") await this.barrier();
      await this.driver.waitForVcl(await this.flushPosition(), this.signal);
    } catch (cause) {
      throw new OutcomeUnknown(
        "the writer went away while a commit waited for the storage quorum",
        {
          cause,
          hint: "the transaction may or may not have been committed: look before running it again",
        },
      );
    }
  }

  private async flushPosition(): Promise<Lsn> {
    const { rows } = await this.client.query("SELECT pg_catalog.pg_current_wal_flush_lsn()");
    return parseLsn(rows[0]?.[0] ?? "");
  }

  /** One barrier serves all who asked before it began; who comes later shares the next one. */
  private barrier(): Promise<void> {
    if (!this.running) {
      this.running = this.emit().finally(() => {
        this.running = undefined;
      });
      return this.running;
    }
    this.next ??= this.running
      .catch(() => undefined)
      .then(() => {
        this.next = undefined;
        return this.barrier();
      });
    return this.next;
  }

  private async emit(): Promise<void> {
    await this.client.query("SELECT pg_catalog.pg_logical_emit_message(true, 'borealis', '')");
  }
}
