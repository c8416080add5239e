import { BorealisError } from "../base/errors.ts";
import type { Lsn } from "../base/lsn.ts";
import { orAborted, sleep } from "../io/index.ts";
import { encodeSync } from "../wire/index.ts";
import type { Carrying } from "./carrying.ts";
import type { AwaitDurable } from "./durability-shell.ts";
import { cancelledByClient, notCertain, notKnown } from "./farewells.ts";
import { consistencyOf } from "./forward-texts.ts";
import { encodeOwnQuery, ownPrefix } from "./readback.ts";
import { ReaderSight, type ReaderSightOptions } from "./reader-sight-shell.ts";
import type { Session } from "./session-shell.ts";
import type { OwnAnswer, OwnFailure } from "./switch-answers.ts";
import type { SideName } from "./switchboard.ts";
import type { Target } from "./topology.ts";

export interface ReadinessOptions extends ReaderSightOptions {
  /** Up to where a writer has acknowledged commits: a record's end, which readers come to. */
  readonly acknowledgedOn: (target: Target) => Promise<Lsn>;
  readonly awaitDurable: AwaitDurable;
}

/** The two sides whose readiness it is. */
export interface Sides {
  readonly carrying: Carrying;
  /** The client's own session. */
  own(): Session;
  /** The one at the writer, if it is there. */
  writer(): Session | undefined;
  /** Opens that if need be. True: it is new. Raises BorealisError. */
  openWriter(signal: AbortSignal): Promise<boolean>;
  closeWriter(): void;
  /** Questions of ours, `cycles` of them. Rejects if that side is not there. */
  ask(side: SideName, bytes: Buffer, cycles?: number): Promise<OwnAnswer>;
}

const retryMs = 20;
/** An end of a batch, a question, and that again if a server was lost meanwhile. */
const settlingMax = 4;

/** Of a side on which nothing is under way. */
export function ownQuery(sql: string): Buffer {
  return Buffer.concat([encodeOwnQuery(`${ownPrefix}forward`, sql), encodeSync()]);
}

/** What a side needs before the client's next messages may go there. All of it raises 57014 once `signal` is aborted. */
export class Readiness {
  readonly sight: ReaderSight;
  private readonly options: ReadinessOptions;
  private readonly sides: Sides;

  constructor(options: ReadinessOptions, sides: Sides) {
    this.options = options;
    this.sides = sides;
    this.sight = new ReaderSight(options);
  }

  /** The writer's side has what the session has, and the transaction `begin` if there is one. Raises BorealisError. */
  async ofWriter(
    { begin, needsUnnamed }: { readonly begin: string | undefined; readonly needsUnnamed: boolean },
    signal: AbortSignal,
  ): Promise<void> {
    const { sides } = this;
    const session = sides.own();
    await this.settle(session);
    const { exchange } = session.conversation;
    const { memory, wishes } = exchange;
    if (!memory.isKnown || consistencyOf(exchange) === "off") throw notCertain;
    const isNew = await sides.openWriter(signal);
    const plan = memory.restore("now", { hasUnnamed: needsUnnamed });
    const carriage = sides.carrying.next(plan, isNew);
    if (carriage) {
      const { errors } = await sides.ask("writer", carriage.bytes, carriage.cycles);
      for (const [index, failure] of errors) {
        const key = carriage.mayFail.get(index);
        if (key === undefined) this.failWriter(failure);
        else sides.carrying.forget(key);
      }
    }
    // Settings of ours are kept by the endpoint, and only there.
    const writer = sides.writer();
    writer?.conversation.exchange.wishBook.adopt({ ...wishes, consistency: "off" });
    if (signal.aborted) throw cancelledByClient;
    if (begin === undefined) return;
    const { errors } = await sides.ask("writer", ownQuery(begin));
    for (const error of errors.values()) this.failWriter(error);
  }

  /** The reader shows all that was acknowledged by now: this session's own writes above all. Raises BorealisError. */
  async ofReader(signal: AbortSignal): Promise<void> {
    const session = this.sides.own();
    const withinMs = this.withinMs();
    const at = await this.acknowledged(withinMs, signal);
    if (session.survivor.isParked) {
      // Whichever it wakes on shows that first.
      this.sight.note(at);
      return;
    }
    const targetOf = (): Target | undefined => (signal.aborted ? undefined : session.target);
    try {
      await this.sight.untilShown(targetOf, at, withinMs);
    } catch (error) {
      throw signal.aborted ? cancelledByClient : error;
    }
  }

  private withinMs(): number {
    const { wishes } = this.sides.own().conversation.exchange;
    return wishes.holdTimeoutMs ?? this.options.holdTimeoutMs;
  }

  /** What the session has is known, and its server owes nothing: an open batch of the client's is ended. */
  private async settle(session: Session): Promise<void> {
    for (let round = 0; round < settlingMax; round++) {
      const { conversation } = session;
      const isKnown = conversation.exchange.memory.needsReadback === "no";
      if (conversation.isIdle && !isKnown) session.readBack();
      // Without a server it cannot be asked, and gets one.
      if (conversation.isIdle && (isKnown || session.survivor.isLive)) return;
      // Behind the question: then that is answered, too.
      await this.sides.ask("reader", encodeSync());
    }
  }

  private failWriter(cause: OwnFailure): never {
    this.sides.closeWriter();
    const message = `the session cannot be made ready at the writer: ${cause.message}`;
    throw new BorealisError(cause.code, message);
  }

  private async acknowledged(withinMs: number, signal: AbortSignal): Promise<Lsn> {
    const { clock } = this.options;
    const untilMs = clock.nowMs() + withinMs;
    for (;;) {
      if (signal.aborted) throw cancelledByClient;
      await this.sides.openWriter(signal);
      const at = await this.acknowledgedNow(untilMs, signal);
      if (at !== undefined) return at;
      if (clock.nowMs() > untilMs) throw notKnown;
      await sleep(clock, retryMs, signal);
    }
  }

  /** Undefined: the writer is being replaced, and its successor knows. */
  private async acknowledgedNow(untilMs: number, signal: AbortSignal): Promise<Lsn | undefined> {
    const { sides, options } = this;
    const writer = sides.writer();
    if (!writer) return undefined;
    const { target } = writer;
    // With synchronous_commit lowered a commit was told that the position may not have come to.
    if (writer.conversation.exchange.isSuspicious) {
      if (!(await this.isInserted(target, untilMs, signal))) return undefined;
    }
    const at = await options.acknowledgedOn(target).catch(() => undefined);
    // What a writer says passes the read gate: nobody else acknowledged anything before that.
    const isOfAll = consistencyOf(sides.own().conversation.exchange) === "global";
    if (isOfAll && sides.writer()) await sides.ask("writer", ownQuery("SELECT"));
    return sides.writer()?.target === target ? at : undefined;
  }

  /**
   * Waits until all is durable that was written at this writer by now. False: not in time, or it is another's to say. One that hangs,
   * or has no quorum, never says.
   */
  private async isInserted(target: Target, untilMs: number, signal: AbortSignal): Promise<boolean> {
    const { clock, awaitDurable } = this.options;
    const over = new AbortController();
    const isWanted = (): boolean =>
      !signal.aborted && clock.nowMs() <= untilMs && this.sides.writer()?.target === target;
    const watch = async (): Promise<void> => {
      while (isWanted() && !over.signal.aborted) await sleep(clock, retryMs, over.signal);
      over.abort(notKnown);
    };
    void watch();
    try {
      await orAborted(awaitDurable.untilInserted(target.instanceId), over.signal);
      return true;
    } catch {
      return false;
    } finally {
      over.abort(notKnown);
    }
  }
}
