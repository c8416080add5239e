import type { Epoch } from "../base/ids.ts";
import type { SimInstance } from "./sim-instance.ts";

interface Statement {
  /** The newest epoch that was open when it arrived. */
  readonly openThen: Epoch;
  /** Released when this round is confirmed. */
  readonly round: number;
  /** When its result is there. */
  readonly readyAtMs: number;
}

/** The endpoint's gate (quorum-protocol.md, 14): holds results of reads on the writer. */
export class ReadGate {
  private readonly instance: SimInstance;
  private held: Statement[] = [];

  constructor(instance: SimInstance) {
    this.instance = instance;
  }

  /** A statement arrives, and takes `ms` to run. */
  read(ms: number): void {
    const { driver, clock, world } = this.instance;
    if (!driver || driver.situation !== "open") return;
    const openThen = world.observer.opened;
    const statement = { openThen, round: driver.round + 1, readyAtMs: clock.nowMs + ms };
    this.held.push(statement);
    if (!world.rules.isGated()) {
      return this.instance.later(ms, "result", () => this.release(() => true));
    }
    if (world.gateMode === "round") this.instance.step({ kind: "roundAsked", nowMs: clock.nowMs });
    this.instance.later(ms, "result", () => this.look());
  }

  noteRound(confirmed: number): void {
    if (this.instance.world.gateMode !== "round") return;
    const { nowMs } = this.instance.clock;
    this.release((statement) => statement.readyAtMs <= nowMs && statement.round <= confirmed);
  }

  look(): void {
    const { driver, clock, world } = this.instance;
    if (world.gateMode !== "lease" || !driver) return;
    const { nowMs } = clock;
    if (nowMs >= driver.leaseUntilMs) {
      if (this.held.length > 0) world.counters.note("results held without a lease");
      return;
    }
    this.release((statement) => statement.readyAtMs <= nowMs);
  }

  private release(isReady: (statement: Statement) => boolean): void {
    const ready = this.held.filter(isReady);
    if (ready.length === 0) return;
    this.held = this.held.filter((statement) => !isReady(statement));
    const { world, driver, name } = this.instance;
    for (const { openThen } of ready) {
      world.counters.note("reads released");
      if (driver) world.observer.noteRead(name, driver.epoch, openThen);
    }
  }

  close(): void {
    if (this.held.length > 0) this.instance.world.counters.note("reads refused", this.held.length);
    this.held = [];
  }
}
