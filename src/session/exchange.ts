import { Deque } from "../base/deque.ts";
import { BorealisError, sqlState } from "../base/errors.ts";
import { encodeParameterStatus, transactionState } from "../wire/index.ts";
import type { Action, UpTo } from "./action.ts";
import { consistencySetting } from "./consistency.ts";
import { type Cycle, newCycle } from "./cycle.ts";
import { Journal } from "./journal.ts";
import type { Memory } from "./memory.ts";
import type { TextPlan, TextPlanner } from "./plan.ts";
import {
  type Answer,
  defaultHonesty,
  flushedQueryProbe,
  type HonestySettings,
  isLowered,
} from "./probe.ts";
import { readbackSteps } from "./readback.ts";
import { StatementBook } from "./statement-book.ts";
import { applyWish, defaultWishes, type SurvivalWishes } from "./survival-wishes.ts";
import { Comparison, type Told, Transcript } from "./transcript.ts";

/** In these a byte that looks like a backslash may be the second half of a character. */
const trickyEncodings = new Set([
  "SJIS",
  "BIG5",
  "GBK",
  "UHC",
  "GB18030",
  "JOHAB",
  "SHIFT_JIS_2004",
]);
const hasOther = /[^ -~\s]/;
const endsOnPurpose = new Set<string>([sqlState.adminShutdown, sqlState.cannotConnectNow]);

export interface ExchangeOptions {
  /** On a writer: no success may be told for what is not durable. */
  readonly isHonest: boolean;
  readonly planner: TextPlanner;
  /** From start-up options and ALTER ROLE or DATABASE. */
  readonly honesty?: HonestySettings;
  /** synchronous_commit at the start; undefined: the server's own. */
  readonly synchronousCommit?: string;
  /** client_min_messages keeps warnings from us from the start. */
  readonly hidesWarnings?: boolean;
  readonly wishes?: SurvivalWishes;
  /** The session's book: one over all its servers. */
  readonly memory: Memory;
  /** How much of a client's messages is kept; 1 MiB unless told. */
  readonly journalBytesMax?: number;
}

/** What goes over to another server connection. */
export interface Succession {
  readonly before: Exchange;
  /** The transaction state that the new connection is in. */
  readonly state: number;
  /** What is told first must be this, and the client has it already. */
  readonly expected?: Told | undefined;
  /** The transaction is lost: the client hears it with the next answer that is an error, or should be one. */
  readonly pendingError?: Buffer | undefined;
}

/** Notifications, mostly. */
const lateAsidesMax = 1_000;
const journalBytesDefault = 1024 * 1024;
/** The server ends its sessions because it goes away itself; or an operator ends one. */
const goingAway = new Set<string>([
  sqlState.adminShutdown,
  sqlState.crashShutdown,
  sqlState.cannotConnectNow,
]);

/** What both directions of one session share: what the server still owes, and what the session is. */
export class Exchange {
  readonly isHonest: boolean;
  readonly planner: TextPlanner;
  readonly options: ExchangeOptions;
  readonly cycles = new Deque<Cycle>();
  readonly book: StatementBook;
  /** As the server has them. */
  readonly parameters: Map<string, string>;
  /** As the client has heard of them. */
  readonly toldParameters: Map<string, string>;
  readonly journal: Journal;
  readonly memory: Memory;
  readonly transcript = new Transcript();
  readonly comparison: Comparison | undefined;
  pendingError: Buffer | undefined;
  /** The transaction was lost with its server: nothing of it can be run again. */
  isLostTransaction: boolean;
  wishes: SurvivalWishes;
  /** What the server said as it went: not for the client, unless somebody ended this session on purpose. */
  lastWords: { readonly code: string; readonly bytes: Buffer } | undefined;
  /** The client has heard of the end of a cycle on this server. */
  hasAdvanced = false;
  /** The client has the beginning of a message only: what is no part of that has to wait for an end. */
  holdsAsides: boolean;
  private lateAsides: Buffer[];
  /** Cycles of the client's opened so far. */
  openedCount = 0;
  /** Of the last ReadyForQuery. */
  state: number = transactionState.idle;
  honesty: HonestySettings;
  /** synchronous_commit or a setting of ours may not be what it was: ask for all of them at the next commit. */
  isSuspicious: boolean;
  /** The warning of a broken-off wait may not be sent: then any commit may be one. */
  hidesWarnings: boolean;
  /** The transaction has something that writes inside COMMIT. */
  writesAtCommit = false;
  /** The transaction has a NOTIFY: it is lost with the transaction, though that may write nothing else. */
  hasNotified = false;
  /** The client has said goodbye. */
  hasTerminated = false;
  /** The server has ended the session with a FATAL error, which the client got. */
  hasFatal = false;
  private actions: Action[] = [];
  private areTraitsDirty = false;

  constructor(options: ExchangeOptions, succession?: Succession) {
    const before = succession?.before;
    this.options = options;
    this.isHonest = options.isHonest;
    this.memory = options.memory;
    this.planner = options.planner;
    this.honesty = before?.honesty ?? options.honesty ?? defaultHonesty;
    this.hidesWarnings = before?.hidesWarnings ?? options.hidesWarnings ?? false;
    this.isSuspicious =
      before?.isSuspicious ??
      (!this.honesty.isForced || isLowered(options.synchronousCommit ?? "on"));
    this.book = before?.book ?? new StatementBook();
    this.book.endTransaction();
    this.parameters = new Map(before?.parameters);
    this.toldParameters = before?.toldParameters ?? new Map<string, string>();
    this.holdsAsides = before?.holdsAsides ?? false;
    this.lateAsides = before?.lateAsides ?? [];
    this.journal = new Journal(options.journalBytesMax ?? journalBytesDefault);
    this.state = succession?.state ?? transactionState.idle;
    this.comparison = succession?.expected && new Comparison(succession.expected);
    this.pendingError = succession?.pendingError;
    this.isLostTransaction = this.state !== transactionState.idle;
    this.wishes = before?.wishes ?? options.wishes ?? defaultWishes;
  }

  /** PostgreSQL reads the text as our parser does. */
  isPlain(sql: string): boolean {
    if (this.parameters.get("standard_conforming_strings") === "off") return false;
    const isSafe = !trickyEncodings.has(this.parameters.get("client_encoding") ?? "UTF8");
    return isSafe || !hasOther.test(sql);
  }

  add(action: Action): void {
    this.actions.push(action);
  }

  /** To the client, as an answer. */
  tell(bytes: Buffer): void {
    this.transcript.add(bytes, this.state !== transactionState.idle);
    const news = this.comparison ? this.comparison.take(bytes) : bytes;
    if (news.length > 0) this.add({ kind: "toClient", bytes: news });
  }

  /** To the client, besides its answers. */
  tellAside(bytes: Buffer): void {
    if (!this.holdsAsides) this.add({ kind: "toClient", bytes });
    else if (this.lateAsides.length < lateAsidesMax) this.lateAsides.push(Buffer.from(bytes));
  }

  /** The client hears this server from here on. */
  goLive({ isMidMessage }: { readonly isMidMessage: boolean }): void {
    this.holdsAsides = isMidMessage;
    if (!isMidMessage) this.tellLateAsides();
    this.tellParameters();
  }

  /** It is between two messages. */
  private tellLateAsides(): void {
    this.holdsAsides = false;
    for (const bytes of this.lateAsides.splice(0)) this.tellAside(bytes);
  }

  noteParameter(name: string, value: string): void {
    this.parameters.set(name, value);
    this.memory.parameter(name, value);
    if (!this.isComparing) this.toldParameters.set(name, value);
  }

  /** The client hears what it has heard before: nothing of it is told. */
  get isComparing(): boolean {
    return this.comparison !== undefined && this.comparison.verdict !== "same";
  }

  /** It would have been told something else: nothing more is to be run here. */
  get hasDiffered(): boolean {
    return this.comparison?.verdict === "different";
  }

  /** What another server has set differently. */
  private tellParameters(): void {
    for (const [name, value] of this.parameters) {
      if (this.toldParameters.get(name) === value) continue;
      this.toldParameters.set(name, value);
      this.tellAside(encodeParameterStatus(name, value));
    }
  }

  /** True: it is kept, and the client does not hear it now. */
  keepLastWords(code: string, bytes: Buffer): boolean {
    if (!goingAway.has(code)) return false;
    this.lastWords ??= { code, bytes: Buffer.from(bytes) };
    return true;
  }

  takeActions(): Action[] {
    const { actions } = this;
    if (actions.length > 0) this.actions = [];
    return actions;
  }

  /** A new last cycle. */
  open(kind: Cycle["kind"], facts: Partial<Cycle> = {}): Cycle {
    const cycle = newCycle(kind, facts);
    this.cycles.pushBack(cycle);
    if (!cycle.isOwn) {
      this.openedCount++;
      this.journal.begin();
    }
    return cycle;
  }

  /** The client has been told that `cycle`, one of its own, is over. */
  finished(cycle: Cycle): void {
    const isIdle = this.state === transactionState.idle;
    this.journal.finish(isIdle);
    if (!this.isComparing) {
      this.hasAdvanced = true;
      this.tellLateAsides();
    }
    if (!isIdle) {
      this.transcript.mark();
      if (cycle.mayEndTransaction) this.journal.barAnswered("it follows on another's end");
      return;
    }
    // What is run again to be compared was in one transaction. What follows in it would commit by itself here.
    if (this.isComparing) this.comparison?.fail();
    this.transcript.reset();
    this.isLostTransaction = false;
    this.pendingError = undefined;
    this.readBackIfNeeded();
  }

  /** Outside a transaction, with nothing under way, the session is asked what it has, if that may be new. */
  private readBackIfNeeded(): void {
    const { needsReadback } = this.memory;
    if (needsReadback === "later") this.add({ kind: "readLater" });
    else if (needsReadback === "now") this.readBack();
  }

  readBack(): void {
    if (this.state !== transactionState.idle || this.cycles.length > 0 || this.isComparing) return;
    this.open("batch", {
      isOwn: true,
      isOpen: false,
      isOptional: true,
      isReadback: true,
      stepsSent: readbackSteps,
    });
    this.add({ kind: "toServer", bytes: this.memory.askReadback() });
  }

  /** The batch that has no Sync yet, if there is one: always the last. */
  get openBatch(): Cycle | undefined {
    const last = this.cycles.back();
    return last?.isOpen === true ? last : undefined;
  }

  /** What a text does to the session once it was sent. */
  noteSent(plan: TextPlan): void {
    if (plan.changesHonesty) {
      this.isSuspicious = true;
      // Until the next answer says that it is still off.
      this.honesty = { ...this.honesty, isForced: true };
    }
    if (plan.mayHideWarnings) this.hidesWarnings = true;
    if (plan.writesAtCommit) this.writesAtCommit = true;
    if (plan.notifies) this.hasNotified = true;
    if (plan.mayDraw || this.planner.traits.hidden === undefined) this.memory.drawSent();
    if (plan.changesTraits && !this.areTraitsDirty) {
      this.areTraitsDirty = true;
      this.add({ kind: "traitsChanging" });
    }
    if (plan.deallocates !== undefined) this.book.deallocate(plan.deallocates);
    if (plan.obstacle !== undefined) this.journal.bar(plan.obstacle);
    for (const { name, value, isLocal } of plan.wishes) {
      // Of one transaction only: forwarding is a matter of the session.
      if (isLocal && name === consistencySetting) continue;
      this.wishes = applyWish(this.wishes, name, value, this.options.wishes);
    }
  }

  /** No transaction is open any more: what it did to the catalogs can be seen. */
  settleTraits(): void {
    if (!this.areTraitsDirty) return;
    this.areTraitsDirty = false;
    this.add({ kind: "traitsSettled" });
  }

  /** The id of the transaction that `cycle` is going to commit; the rest of the answer follows. */
  learnXid(cycle: Cycle, answer: Answer): void {
    cycle.answer = answer;
  }

  learn(cycle: Cycle, answer: Answer): void {
    const before = cycle.answer;
    // Two commits in one batch: the worse counts.
    cycle.answer = before && isLowered(before.synchronousCommit) ? before : answer;
    cycle.answersSeen++;
    if (answer.settings) {
      this.honesty = answer.settings;
      this.isSuspicious = isLowered(answer.synchronousCommit) || !answer.settings.isForced;
      this.startTimer(cycle);
    } else if (isLowered(answer.synchronousCommit)) this.isSuspicious = true;
  }

  /** Our question within extended messages. */
  get question(): Buffer {
    return flushedQueryProbe;
  }

  startTimer(cycle: Cycle): void {
    const timeoutMs = this.honesty.commitTimeoutMs;
    if (timeoutMs > 0 && cycle.verify !== "nothing") this.add({ kind: "commitTimer", timeoutMs });
  }

  /** How long the completion of this cycle must be held; undefined: not at all. */
  waitFor(cycle: Cycle): UpTo | undefined {
    if (cycle.isCleared || !cycle.hasCompleted || cycle.isDiscarded) return undefined;
    if (cycle.verify === "always" && this.honesty.isForced) return "inserted";
    // What failed before any COMMIT in it was rolled back as a whole.
    if (cycle.hasFailed && !cycle.hasCommitted) return undefined;
    const upTo = cycle.verify === "answer" ? this.waitForAnswer(cycle) : undefined;
    if (upTo) return upTo;
    const mayBeBrokenOff = cycle.wasCancelled || this.hidesWarnings;
    const isDoubtful = cycle.wasInterrupted || (mayBeBrokenOff && cycle.verify !== "nothing");
    return isDoubtful ? "flushed" : undefined;
  }

  private waitForAnswer(cycle: Cycle): UpTo | undefined {
    if (!this.honesty.isForced) return undefined;
    const { answer } = cycle;
    // No answer: the question was swallowed somehow; then the worst is true.
    if (!answer) return "inserted";
    if (answer.xid === null && !this.writesAtCommit) {
      return cycle.drawsSequence ? "flushed" : undefined;
    }
    // They are queued by changes of rows, which have given the transaction an id; then they do as they like.
    if (this.planner.traits.hasDeferrableTriggers) return "inserted";
    // "local" has been flushed by the time it completes.
    if (answer.synchronousCommit === "local") return "flushed";
    return answer.synchronousCommit === "off" ? "inserted" : undefined;
  }

  /** Whether something that the client sent may have been committed without its knowing. */
  get mayHaveCommitted(): boolean {
    for (let index = 0; index < this.cycles.length; index++) {
      const cycle = this.cycles.at(index);
      if (cycle && cycle.verify !== "nothing" && !cycle.isDiscarded) return true;
    }
    return false;
  }

  /** What the client is told when the backend is gone, or its answer cannot be waited for. */
  lossOf(cause?: unknown): BorealisError {
    const facts = cause === undefined ? {} : { cause };
    if (this.mayHaveCommitted) {
      return new BorealisError(
        sqlState.outcomeUnknown,
        "the outcome of the transaction is not known",
        {
          hint: "The instance was lost while a commit was under way. Look for the transaction's effects before you repeat it.",
          ...facts,
        },
      );
    }
    // Who ends the session on purpose says why.
    if (cause instanceof BorealisError && endsOnPurpose.has(cause.code)) return cause;
    return new BorealisError(
      sqlState.adminShutdown,
      "terminating connection because its instance is gone",
      {
        hint: "Nothing was being committed. Connect again.",
        ...facts,
      },
    );
  }
}
