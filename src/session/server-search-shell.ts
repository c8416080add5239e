import type { Timer } from "../io/index.ts";
import type { Action, Outcome } from "./action.ts";
import { noInstance } from "./admin-shell.ts";
import type { BackendReady } from "./backend-shell.ts";
import { canceledWait, cannotBorrow, cannotReturn } from "./farewells.ts";
import { HushWatch } from "./hush-shell.ts";
import { LateCancel } from "./late-cancel.ts";
import type { ServerLine } from "./server-line-shell.ts";
import type { Survivor } from "./survivor.ts";
import { returnServer } from "./tenancy-shell.ts";
import type { ServerStart, SessionWorld, WantedServer } from "./world-shell.ts";

type FateWanted = Extract<Action, { kind: "askFate" }>;

/** A session, as far as its next server is concerned. */
export interface Searcher {
  readonly world: SessionWorld;
  readonly survivor: Survivor;
  /** The one that it had last. */
  readonly line: () => ServerLine;
  readonly hasEnded: () => boolean;
  /** Nothing is on its way to a server any more. */
  readonly left: () => void;
  /** This is its server now, and is listened to. */
  readonly adopt: (backend: BackendReady) => void;
  readonly run: (actions: Action[]) => void;
  readonly readOn: () => void;
  readonly isForsaken: () => boolean;
  /** Its server hangs, and may be had again when it does not. */
  readonly leaveHung: () => void;
}

/** Finds a session its next server: after it has lost one, or when it has something to do and none to do it. */
export class ServerSearch {
  private readonly searcher: Searcher;
  private readonly asking = new AbortController();
  private holdTimer: Timer | undefined;
  private heldSinceMs = 0;
  /** Counts what was asked for. */
  private wishes = 0;
  readonly hush: HushWatch;
  /** What its client has cancelled, until that has come to its end. */
  readonly lateCancel = new LateCancel();

  constructor(searcher: Searcher) {
    this.searcher = searcher;
    this.hush = new HushWatch(searcher);
  }

  /** From now on the session waits for an instance; for so long, and no longer. */
  holdFor(): void {
    const { world, run, survivor } = this.searcher;
    const onTimeout = (): void => run(survivor.gaveUp(noInstance()));
    if (this.holdTimer) return;
    this.holdTimer = world.clock.after(this.holdMs, onTimeout);
    this.heldSinceMs = world.clock.nowMs();
    world.counters.holdBegun();
  }

  /** The loss of a server has ended so. */
  cameTo(outcome: Outcome): void {
    this.stopHolding();
    this.lateCancel.cameTo(outcome);
  }

  stopHolding(): void {
    if (!this.holdTimer) return;
    const { clock, counters } = this.searcher.world;
    this.holdTimer.cancel();
    this.holdTimer = undefined;
    counters.holdEnded(clock.nowMs() - this.heldSinceMs);
  }

  /** What became of a commit on the server that was lost; nobody is told after `close`. */
  async askFate(
    { xid, isEndedAlone, endsPrepared = false }: FateWanted,
    pid: number,
  ): Promise<void> {
    const { world, survivor, run } = this.searcher;
    this.holdFor();
    const { target } = this.searcher.line();
    const { signal } = this.asking;
    const fate = await (isEndedAlone === true
      ? world.fates.ofEnded(target, { xid, endsPrepared }, signal)
      : world.fates.of(target.incarnation, xid, signal));
    world.logger.info({ event: "session.fate", pid, xid: String(xid), fate });
    run(survivor.fateKnown(fate));
  }

  /** After anything that was said. */
  settled(): void {
    const { survivor, line } = this.searcher;
    this.lateCancel.settle(survivor, line());
    this.hush.settled();
  }

  close(): void {
    this.asking.abort();
    this.hush.close();
    this.stopHolding();
  }

  async reconnect(): Promise<void> {
    const { survivor, world, hasEnded, run, readOn } = this.searcher;
    const line = this.searcher.line();
    // One that we leave while it lives may be had again.
    const isLost = !line.wasReleased && !line.wasLeft && (line.closed || line.isRetired);
    line.leave();
    const { isWaking } = survivor;
    // It may wait longer for its turn in a pool than for an instance.
    if (!isWaking) this.holdFor();
    this.searcher.left();
    const wish = ++this.wishes;
    const isWanted = (): boolean =>
      !hasEnded() && this.searcher.line() === line && this.wishes === wish && !survivor.isParked;
    const holdTimeoutMs = isWaking ? this.holdMs : Number.POSITIVE_INFINITY;
    // One of a pool that goes while it is made ready, with nothing of the client's on it, may have gone alone.
    const mayStay = isLost && isWaking && !line.isRetired && (await world.isServing(line.target));
    if (!isWanted()) return;
    const lost = isLost && !mayStay ? line.target : undefined;
    const { mayReturn } = line;
    const isNew = survivor.needsNew;
    const start = await this.connect({ lost, mayReturn, holdTimeoutMs, isWanted, isNew });
    if (!isWanted()) {
      if (start.kind === "ready") returnServer(start);
      return;
    }
    if (start.kind !== "ready") {
      this.onNobody(start, isWaking);
      return;
    }
    // Making it ready, and running a transaction again, may take longer.
    this.stopHolding();
    this.searcher.adopt(start);
    const { target, parameters, carried } = start;
    run(survivor.connected(world.exchangeOf(target), parameters, carried));
    readOn();
  }

  private async connect(wanted: WantedServer): Promise<ServerStart> {
    const { world, run, survivor } = this.searcher;
    try {
      return await world.connect(wanted);
    } catch (error) {
      run(survivor.terminate(error));
      return { kind: "nobody" };
    }
  }

  /**
   * What the session's client has sent waits for a server of the pool, or until that is ready: it is not to be run any more.
   * Gives the server that was being made ready: nobody's, and perhaps waiting for a lock.
   */
  cancelWait(): BackendReady | undefined {
    const { survivor, run, left, readOn } = this.searcher;
    const line = this.searcher.line();
    const { isPreparing } = survivor;
    if (!isPreparing && !survivor.isWaking) return undefined;
    if (isPreparing) {
      line.leave();
      line.wasReleased = true;
    }
    run(survivor.refuseWaking(canceledWait));
    if (isPreparing) left();
    readOn();
    return isPreparing ? line.backend : undefined;
  }

  private get holdMs(): number {
    const { survivor, world } = this.searcher;
    return survivor.conversation.exchange.wishes.holdTimeoutMs ?? world.holdTimeoutMs;
  }

  private onNobody(start: Exclude<ServerStart, BackendReady>, isWaking: boolean): void {
    const { survivor, world, run, readOn } = this.searcher;
    if (start.kind === "exhausted") {
      run(isWaking ? survivor.refuseWaking(start.error) : survivor.gaveUp(start.error));
      readOn();
      return;
    }
    const refused = world.isPooled ? cannotBorrow : cannotReturn;
    const why = start.kind === "refused" ? refused(start.reason) : noInstance();
    run(survivor.gaveUp(why));
  }
}
