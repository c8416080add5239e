import { BorealisError } from "../base/errors.ts";
import { encodeError } from "../wire/index.ts";
import type { Action, Outcome } from "./action.ts";
import { Conversation } from "./conversation.ts";
import type { ExchangeOptions } from "./exchange-options.ts";
import { endingOf, lastWordsOf } from "./ending.ts";
import { Dormancy } from "./dormancy.ts";
import type { Carried } from "./handover.ts";
import type { Fate } from "./fate.ts";
import { frontOf, isAllKept, isDone, sightOf } from "./loss.ts";
import type { Memory } from "./memory.ts";
import { type Found, Restoration } from "./restoration.ts";
import {
  afterLoss,
  answered,
  ended,
  goingOn,
  lossesMax,
  lostAgain,
  refuse,
  type Refused,
  type Resume,
  type SettledSight,
  succeed,
  tellings,
  unknownOutcome,
} from "./resume.ts";
import { holdsNothing, type Phase } from "./survivor-phase.ts";
import { WaitingBytes } from "./waiting-bytes.ts";

/**
 * One client's session over any number of servers, pure: a conversation with each, and what happens between two.
 *
 *     live ── server lost ──▶ asking (a commit was under way) ──▶ connecting ──▶ restoring ──▶ replaying ──▶ live
 *     live ── given up, since it needs none ──▶ parked ── the client sends ──▶ connecting ──▶ restoring ──▶ live
 */
export class Survivor {
  private current: Conversation;
  private readonly memory: Memory;
  private phase: Phase = { kind: "live" };
  private actions: Action[] = [];
  private readonly waiting = new WaitingBytes();
  /** Servers lost since the client last heard of anything's end. */
  private losses = 0;
  /** Servers, one after the other, that could not be cleaned of what somebody else had left there. */
  private spoilt = 0;
  /** At the last loss; see ServerSide.isMidMessage. */
  private wasMidMessage = false;

  constructor(options: ExchangeOptions) {
    this.current = new Conversation(options);
    this.memory = options.memory;
  }

  /** It gives up its server, or has none to begin with. Only with nothing under way; see whyKept. */
  park(): void {
    this.phase = { kind: "dormant", dormancy: new Dormancy() };
    this.memory.connectionLost();
    this.current.letGo();
  }

  get isParked(): boolean {
    return this.phase.kind === "dormant";
  }

  /** The client has sent something, and nothing of that has come to a server. */
  get isWaking(): boolean {
    return this.phase.kind === "connecting" && this.phase.resume.outcome === undefined;
  }

  /** ... and the server that it is for is being made ready. */
  get isPreparing(): boolean {
    return this.phase.kind === "restoring" && this.phase.resume.outcome === undefined;
  }

  /** No server is ready for what the client has sent: it hears `error`, and the session goes on, without one. */
  refuseWaking(error: BorealisError): Action[] {
    if (!this.isWaking && !this.isPreparing) return [];
    this.park();
    this.phase = { kind: "dormant", dormancy: new Dormancy(encodeError(error, "ERROR")) };
    this.actions.push({ kind: "told", code: error.code }, { kind: "resumeClient" });
    for (const bytes of this.waiting.takeAll(0)) this.actions.push(...this.fromClient(bytes));
    return this.take();
  }

  /** Nothing of what the client has sent is kept for a server. */
  get holdsNothing(): boolean {
    return holdsNothing(this.phase) && this.waiting.isEmpty;
  }

  /** It needs a server that nobody has used. */
  get needsNew(): boolean {
    return this.spoilt > 1;
  }

  get conversation(): Conversation {
    return this.current;
  }

  get isLive(): boolean {
    return this.phase.kind === "live";
  }

  /** It has a server that runs something of the client's. */
  get hasServer(): boolean {
    return this.phase.kind === "live" || this.phase.kind === "replaying";
  }

  /** Its server must not be read. */
  get isHeld(): boolean {
    return this.hasServer && this.current.isHeld;
  }

  fromClient(chunk: Buffer): Action[] {
    if (this.phase.kind === "live") {
      const bytes = this.waiting.withoutSkipped(chunk);
      return bytes.length === 0 ? [] : this.current.fromClient(bytes);
    }
    if (this.phase.kind === "dormant") {
      const next = this.phase.dormancy.fromClient(chunk);
      if (next === "wake") return this.wake(chunk);
      if (next.some(({ kind }) => kind === "close" || kind === "fail"))
        this.phase = { kind: "ended" };
      return next;
    }
    return this.waiting.add(chunk) === "full" ? [{ kind: "pauseClient" }] : [];
  }

  fromServer(chunk: Buffer): Action[] {
    const { phase } = this;
    if (phase.kind === "restoring") this.onRestored(phase, chunk);
    else if (this.hasServer) {
      this.actions.push(...this.current.fromServer(chunk));
      if (phase.kind === "replaying") this.onReplayed(phase.resume);
    }
    return this.take();
  }

  durable(refusal?: BorealisError): Action[] {
    if (this.hasServer) this.actions.push(...this.current.durable(refusal));
    return this.take();
  }

  /** What `readLater` asked for. */
  readBack(): Action[] {
    if (this.phase.kind !== "live") return [];
    this.current.exchange.readBack();
    this.takeFrom(this.current);
    return this.take();
  }

  commitTimedOut(): Action[] {
    if (this.phase.kind === "asking" || this.phase.kind === "live")
      this.actions.push(...this.current.commitTimedOut());
    return this.take();
  }

  clientEnded(): void {
    this.current.clientEnded();
  }

  cancelled(): void {
    if (this.hasServer) this.current.cancelled();
  }

  /** The server is lost: of what still comes from it nothing is told, until `lost` says that there is no more. */
  drain(): Action[] {
    if (this.phase.kind === "live") this.actions.push(...this.current.drain());
    return this.take();
  }

  /** All that the server has said is here. */
  lost(): Action[] {
    const { phase } = this;
    if (phase.kind === "live") this.onLost();
    else if (phase.kind === "restoring" || phase.kind === "replaying")
      this.onLostAgain(phase.resume);
    return this.take();
  }

  /** What `askFate` asked for. */
  fateKnown(fate: Fate): Action[] {
    if (this.phase.kind !== "asking") return [];
    const hasHappened = isDone(this.current.exchange, fate);
    if (this.phase.isEnding === true) return this.endKnown(hasHappened);
    if (hasHappened === true) this.goOn(answered(this.current, this.memory));
    else if (hasHappened === false) this.goOnFrom("undone");
    else this.refuse(refuse(this.current, unknownOutcome(false), "its fate is not known"));
    return this.take();
  }

  /** What `reconnect` asked for; `options` as the new server needs them. */
  connected(
    options: ExchangeOptions,
    parameters: ReadonlyMap<string, string>,
    carried?: Carried,
  ): Action[] {
    if (this.phase.kind !== "connecting") return [];
    const { resume } = this.phase;
    this.current.follows(parameters);
    this.memory.moved();
    const found: Found = { carried, skipsUnnamed: this.isWaking && this.waiting.replacesUnnamed };
    const restoration = new Restoration(this.memory, resume, found);
    this.phase = { kind: "restoring", resume, options, restoration };
    if (restoration.bytes.length > 0)
      this.actions.push({ kind: "toServer", bytes: restoration.bytes });
    else this.onRestored(this.phase, Buffer.alloc(0));
    return this.take();
  }

  /** No other server was found in time. */
  gaveUp(error: BorealisError): Action[] {
    if (this.phase.kind === "ended") return [];
    // Its server is gone for the cluster, and does not end.
    if (this.phase.kind === "live") {
      const isUnknown = this.current.exchange.mayHaveCommitted;
      this.count(isUnknown ? "unknown" : "expired", error.message);
      return [...this.take(), ...this.terminate(error)];
    }
    if (this.phase.kind === "asking") this.fail(unknownOutcome(false), "unknown", error.message);
    else this.fail(error, "expired", error.message);
    return this.take();
  }

  /** The session ends here, whatever it is doing. */
  terminate(cause?: unknown): Action[] {
    if (this.phase.kind === "ended") return [];
    if (this.phase.kind === "live" || this.phase.kind === "asking") {
      this.phase = { kind: "ended" };
      return this.current.terminate(cause);
    }
    this.end(this.farewell(cause instanceof BorealisError ? cause : ended("it was to end")));
    return this.take();
  }

  /**
   * Somebody has ended this session's server process, and only that: it hears what the server said; before that, whether
   * what it was committing is.
   */
  endedOnPurpose(): Action[] {
    if (this.phase.kind !== "live") return [];
    this.wasMidMessage = this.current.server.isMidMessage;
    const ending = endingOf(this.current);
    if (ending === "doubt") return this.terminate();
    if (ending === "known") return this.endKnown(false);
    this.phase = { kind: "asking", isEnding: true };
    return [ending];
  }

  private endKnown(hasHappened: boolean | undefined): Action[] {
    const last = lastWordsOf(this.current, this.memory, hasHappened);
    this.phase = { kind: "ended" };
    return last instanceof BorealisError ? [this.farewell(last)] : last;
  }

  private wake(chunk: Buffer): Action[] {
    this.losses = 0;
    this.waiting.add(chunk);
    this.connect(goingOn(undefined, []));
    return this.take();
  }

  private onLost(): void {
    const { exchange } = this.current;
    const hasEnded = exchange.hasTerminated || exchange.hasFatal;
    if (hasEnded || exchange.wishes.onFailover === "disconnect") {
      if (!hasEnded) this.count("disconnected");
      this.end({ kind: "close" });
      return;
    }
    this.losses = exchange.hasAdvanced ? 1 : this.losses + 1;
    this.wasMidMessage = this.current.server.isMidMessage;
    exchange.settleTraits();
    this.takeFrom(this.current);
    this.memory.connectionLost();
    const sight = sightOf(exchange);
    // What the client sent behind the front may have begun, too; or it is not kept.
    if (this.current.server.hasMore || !isAllKept(exchange)) {
      const outcome = exchange.mayHaveCommitted ? "unknown" : "ended";
      this.fail(exchange.lossOf(), outcome, "it ran ahead");
    } else if (sight.kind === "ask") {
      this.phase = { kind: "asking" };
      this.actions.push({ kind: "askFate", xid: sight.xid });
    } else this.goOnFrom(sight.kind);
  }

  /** The next server has gone, too, before the client's own messages were going there. */
  private onLostAgain(resume: Resume): void {
    this.losses++;
    if (this.losses <= lossesMax) this.connect(resume);
    else if (resume.otherwise) this.refuse(resume.otherwise());
    else if (this.losses <= 2 * lossesMax) this.connect(resume);
    else this.fail(ended(lostAgain), "ended", lostAgain);
  }

  private goOnFrom(sight: SettledSight): void {
    const isSuspect = this.losses > lossesMax && frontOf(this.current.exchange) !== undefined;
    this.goOn(afterLoss(sight, this.current, { memory: this.memory, isSuspect }));
  }

  private goOn(next: Resume | Refused): void {
    if ("resume" in next) return this.refuse(next);
    this.takeFrom(this.current);
    this.actions.push({ kind: "commitTimer", timeoutMs: 0 });
    this.connect(next);
  }

  private refuse({ told, resume }: Refused): void {
    this.actions.push({ kind: "commitTimer", timeoutMs: 0 });
    if (told) {
      this.actions.push(...tellings(told, resume));
      return this.connect(resume);
    }
    this.count(resume.outcome ?? "ended", "the client was in the middle of a message");
    this.end({ kind: "close" });
  }

  private connect(resume: Resume): void {
    const obstacle = this.memory.obstacle(resume.moment);
    if (obstacle !== undefined) {
      const why = `it cannot be made again on another one: ${obstacle}`;
      return this.fail(ended(why), "ended", obstacle);
    }
    this.phase = { kind: "connecting", resume };
    this.actions.push({ kind: "reconnect" });
  }

  private onRestored(phase: Extract<Phase, { kind: "restoring" }>, chunk: Buffer): void {
    const { resume, options, restoration } = phase;
    const { exchange } = this.current;
    const rest = restoration.push(chunk, exchange.parameters);
    if (!rest) return;
    if (restoration.isSpoilt) {
      this.spoilt++;
      return this.onLostAgain(resume);
    }
    const problem = restoration.problem();
    if (problem !== undefined) return this.fail(ended(problem), "ended", problem);
    const { replay } = resume;
    if (resume.outcome === undefined && exchange.options === options) this.current.goesOn();
    else this.current = succeed(exchange, options, resume);
    if (resume.skipsToSync !== undefined) this.current.client.skipToSync(resume.skipsToSync);
    if (replay) {
      this.phase = { kind: "replaying", resume };
      for (const bytes of replay.bytes) this.actions.push(...this.current.fromClient(bytes));
    } else this.goLive(resume);
    if (rest.length > 0) this.actions.push(...this.fromServer(rest));
  }

  private onReplayed(resume: Resume): void {
    const { exchange } = this.current;
    const verdict = exchange.comparison?.verdict;
    // A batch that failed says nothing more before its Sync.
    const owed = exchange.cycles.length - (exchange.openBatch?.hasFailed === true ? 1 : 0);
    if (verdict === "same") this.goLive(resume);
    else if ((verdict === "different" || owed === 0) && resume.otherwise) {
      exchange.settleTraits();
      this.takeFrom(this.current);
      this.refuse(resume.otherwise());
    }
  }

  private goLive(resume: Resume): void {
    this.phase = { kind: "live" };
    this.spoilt = 0;
    this.wasMidMessage = false;
    if (resume.outcome !== undefined) this.count(resume.outcome, resume.reason);
    this.current.exchange.goLive({ isMidMessage: this.current.server.isMidMessage });
    this.takeFrom(this.current);
    this.actions.push({ kind: "resumeClient" });
    const waiting = this.waiting.takeAll(resume.skippedBytes);
    for (const bytes of [...resume.rest, ...waiting])
      this.actions.push(...this.current.fromClient(bytes));
  }

  private count(outcome: Outcome, reason?: string): void {
    this.actions.push({ kind: "outcome", outcome, reason });
  }

  private fail(error: BorealisError, outcome: Outcome, reason?: string): void {
    this.count(outcome, reason);
    this.end(this.farewell(error));
  }

  /** In the middle of a message nothing can be told any more. */
  private farewell(error: BorealisError): Action {
    return this.wasMidMessage ? { kind: "close" } : { kind: "fail", error };
  }

  private end(action: Action): void {
    this.phase = { kind: "ended" };
    this.actions.push(action);
  }

  private takeFrom(conversation: Conversation): void {
    this.actions.push(...conversation.exchange.takeActions());
  }

  private take(): Action[] {
    const { actions } = this;
    if (actions.length > 0) this.actions = [];
    return actions;
  }
}
