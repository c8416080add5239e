import { messageOf } from "../base/errors.ts";
import { type Clock, type Logger, sleep } from "../io/index.ts";
import type { AdminSessions } from "./admin-shell.ts";
import { type Fate, fateOf, fateQuery, readFate } from "./fate.ts";
import type { Topology } from "./topology.ts";

/** What became of the transactions of a writer that is gone. */
export interface Fates {
  /** Resolves when it is known, for good; with `unknown` where nobody knows, or when `signal` aborts. */
  of(incarnation: string, xid: bigint, signal: AbortSignal): Promise<Fate>;
}

const retryMs = 50;

/** Asks the writer that came after, over the endpoints' own sessions. */
export class AdminFates implements Fates {
  private readonly topology: Topology;
  private readonly admin: AdminSessions;
  private readonly clock: Clock;
  private readonly logger: Logger;

  constructor(
    { topology, clock, logger }: { topology: Topology; clock: Clock; logger: Logger },
    admin: AdminSessions,
  ) {
    this.topology = topology;
    this.admin = admin;
    this.clock = clock;
    this.logger = logger;
  }

  async of(incarnation: string, xid: bigint, signal: AbortSignal): Promise<Fate> {
    while (!signal.aborted) {
      const sight = fateOf(this.topology.lives(), incarnation, xid);
      if (sight === "neverHappened") return sight;
      const fate = sight === "ask" ? await this.ask(incarnation, xid) : "askAgain";
      if (fate !== "askAgain") return fate;
      const changed = new AbortController();
      const stop = this.topology.onChange(() => changed.abort());
      await sleep(this.clock, retryMs, AbortSignal.any([changed.signal, signal])).finally(stop);
    }
    return "unknown";
  }

  private async ask(incarnation: string, xid: bigint): Promise<Fate | "askAgain"> {
    const writer = this.topology.writer();
    if (!writer || writer.incarnation === incarnation) return "askAgain";
    try {
      const { rows } = await this.admin.query(writer, fateQuery(xid));
      const [row] = rows;
      return row ? readFate(this.topology.lives(), { incarnation, xid }, row) : "askAgain";
    } catch (error) {
      // It is going away, too, or is a life that is not in the table yet: one that began before that xid says 22023.
      this.logger.debug({ event: "fate.notTold", reason: messageOf(error) });
      return "askAgain";
    }
  }
}
