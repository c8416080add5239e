import { messageOf } from "../base/errors.ts";
import { type Clock, type Logger, orAborted } from "../io/index.ts";
import type { AdminSessions } from "./admin-shell.ts";
import type { AwaitDurable } from "./durability-shell.ts";
import { type Fate, fateOf, fateQuery, livingFateQuery, readFate, readLivingFate } from "./fate.ts";
import type { Target, Topology } from "./topology.ts";
import { sleepUntilChange } from "./until-change-shell.ts";

export interface FatesOptions {
  readonly topology: Topology;
  readonly awaitDurable: AwaitDurable;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface EndedTransaction {
  readonly xid: bigint;
  /** COMMIT PREPARED or ROLLBACK PREPARED was under way. */
  readonly endsPrepared: boolean;
}

/** What became of the transactions of a writer that is gone. */
export interface Fates {
  /** Resolves when it is known, for good; with `unknown` where nobody knows, or when `signal` aborts. */
  of(incarnation: string, xid: bigint, signal: AbortSignal): Promise<Fate>;
  /**
   * Likewise, of a writer that lives on, where the transaction's server process has ended alone. It is durable then, but for
   * "aborted", which can be nobody's success, unless that process was to end a transaction that had been prepared.
   */
  ofEnded(target: Target, ended: EndedTransaction, signal: AbortSignal): Promise<Fate>;
}

/** Asks the writer that came after, over the endpoints' own sessions. */
export class AdminFates implements Fates {
  private readonly options: FatesOptions;
  private readonly topology: Topology;
  private readonly admin: AdminSessions;

  constructor(options: FatesOptions, admin: AdminSessions) {
    this.options = options;
    this.topology = options.topology;
    this.admin = admin;
  }

  async of(incarnation: string, xid: bigint, signal: AbortSignal): Promise<Fate> {
    while (!signal.aborted) {
      const sight = fateOf(this.topology.lives(), incarnation, xid);
      if (sight === "neverHappened") return sight;
      const fate = sight === "ask" ? await this.ask(incarnation, xid) : "askAgain";
      if (fate !== "askAgain") return fate;
      await this.pause(signal);
    }
    return "unknown";
  }

  async ofEnded(
    target: Target,
    { xid, endsPrepared }: EndedTransaction,
    signal: AbortSignal,
  ): Promise<Fate> {
    while (!signal.aborted) {
      if (this.isSucceeded(target, xid)) return this.of(target.incarnation, xid, signal);
      const fate = await this.askLiving(target, xid);
      if (fate === "unknown" || (fate === "aborted" && !endsPrepared)) return fate;
      // Asked twice, so that what was waited for in between was this PostgreSQL's position, behind the commit.
      const isSettled = fate !== "askAgain" && (await this.isDurable(target, xid, signal));
      if (isSettled && (await this.askLiving(target, xid)) === fate) return fate;
      await this.pause(signal);
    }
    return "unknown";
  }

  private pause(signal: AbortSignal): Promise<void> {
    return sleepUntilChange(this.options.clock, this.topology, signal);
  }

  /** Somebody knows its fate by now who came after `target`. */
  private isSucceeded({ incarnation }: Target, xid: bigint): boolean {
    return fateOf(this.topology.lives(), incarnation, xid) !== "unknown";
  }

  private async isDurable(target: Target, xid: bigint, signal: AbortSignal): Promise<boolean> {
    const over = new AbortController();
    const look = (): void => {
      if (this.isSucceeded(target, xid)) over.abort();
    };
    const stop = this.topology.onChange(look);
    // It may have come while the living was asked.
    look();
    try {
      // With synchronous_commit off it counts as committed before it is flushed. One that is frozen never says.
      const inserted = this.options.awaitDurable.untilInserted(target.instanceId);
      await orAborted(inserted, AbortSignal.any([over.signal, signal]));
      return true;
    } catch (error) {
      // The next writer knows what became of it.
      this.options.logger.debug({ event: "fate.notDurable", reason: messageOf(error) });
      return false;
    } finally {
      stop();
    }
  }

  private async askLiving(target: Target, xid: bigint): Promise<Fate | "askAgain"> {
    try {
      const { rows } = await this.admin.query(target, livingFateQuery(xid));
      const [row] = rows;
      const { incarnation } = target;
      return row ? readLivingFate(this.topology.lives(), incarnation, row) : "askAgain";
    } catch (error) {
      this.options.logger.debug({ event: "fate.notTold", reason: messageOf(error) });
      return "askAgain";
    }
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
      this.options.logger.debug({ event: "fate.notTold", reason: messageOf(error) });
      return "askAgain";
    }
  }
}
