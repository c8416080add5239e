import { Deque } from "../base/deque.ts";
import { type BorealisError, sqlState } from "../base/errors.ts";
import { encodeParameterStatus, transactionState } from "../wire/index.ts";
import type { Action, UpTo } from "./action.ts";
import { type Cycle, newCycle } from "./cycle.ts";
import type { ExchangeOptions, Succession } from "./exchange-options.ts";
import { isGoingAway, lostInCommit, lostOtherwise } from "./farewells.ts";
import { Journal } from "./journal.ts";
import type { Memory } from "./memory.ts";
import { isPlainText } from "./plain-text.ts";
import { prepareTag, type TextPlan, type TextPlanner } from "./plan.ts";
import type { TraitChange } from "./traits.ts";
import {
  type Answer,
  defaultHonesty,
  flushedQueryProbe,
  flushedTakingProbe,
  type HonestySettings,
  isLowered,
  worseOf,
} from "./probe.ts";
import { readbackSteps } from "./readback.ts";
import { Changes, type OwedBodies } from "./session-change.ts";
import { StatementBook } from "./statement-book.ts";
import type { SurvivalWishes } from "./survival-wishes.ts";
import { Comparison, Transcript } from "./transcript.ts";
import { WishBook } from "./wish-book.ts";

/** Notifications, mostly. */
const lateAsidesMax = 1_000;
const journalBytesDefault = 1024 * 1024;

/** What both directions of one session share: what the server still owes, and what the session is. */
export class Exchange {
  readonly isHonest: boolean;
  readonly planner: TextPlanner;
  readonly options: ExchangeOptions;
  readonly cycles = new Deque<Cycle>();
  readonly owedBodies: OwedBodies = { bytes: 0 };
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
  readonly wishBook: WishBook;
  /** What the server said as it went: not for the client, unless somebody ended this session on purpose. */
  lastWords: { readonly code: string; readonly bytes: Buffer } | undefined;
  /** It was told to end while a commit waited for the quorum: it says nothing more. */
  wasEndedInCommit = false;
  /** It went at a point where PostgreSQL looks whether it shall: inside no commit. */
  wasCutShort = false;
  /** The client has heard of the end of a cycle on this server. */
  hasAdvanced = false;
  /** The client has the beginning of a message only: what is no part of that has to wait for an end. */
  holdsAsides: boolean;
  private lateAsides: Buffer[];
  /** Cycles of the client's opened so far. */
  openedCount = 0;
  /** ... and over. */
  private finishedCount = 0;
  /** Of the last ReadyForQuery. */
  state: number = transactionState.idle;
  honesty: HonestySettings;
  /** synchronous_commit or a setting of ours may not be what it was: ask for all of them at the next commit. */
  isSuspicious: boolean;
  /** The warning of a broken-off wait may not be sent: then any commit may be one. */
  hidesWarnings: boolean;
  /** The transaction has something that writes inside COMMIT. */
  writesAtCommit = false;
  /** ... and that others hear of, when PostgreSQL may have waited for nothing. */
  notifies = false;
  /** The client has said goodbye. */
  hasTerminated = false;
  /** The server has ended the session with a FATAL error, which the client got. */
  hasFatal = false;
  private actions: Action[] = [];
  private traitsDirty: TraitChange | undefined;

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
    this.wishBook = before?.wishBook.succeed(before.finishedCount) ?? new WishBook(options.wishes);
  }

  get wishes(): SurvivalWishes {
    return this.wishBook.current;
  }

  /** PostgreSQL reads the text as our parser does. */
  isPlain(sql: string): boolean {
    return isPlainText(sql, this.parameters);
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
    if (!isGoingAway(code)) return false;
    this.lastWords ??= { code, bytes: Buffer.from(bytes) };
    return true;
  }

  /** An operator may have ended this server, and that alone; or its whole PostgreSQL ends. */
  get mayBeOnPurpose(): boolean {
    // The client has heard why.
    if (this.hasFatal) return false;
    if (this.lastWords?.code === sqlState.adminShutdown || this.wasEndedInCommit) return true;
    // It could not have told.
    return this.hidesWarnings && this.isHonest && this.mayHaveCommitted;
  }

  takeActions(): Action[] {
    const { actions } = this;
    if (actions.length > 0) this.actions = [];
    return actions;
  }

  /** A new last cycle. */
  open(kind: Cycle["kind"], facts: Partial<Cycle> = {}): Cycle {
    const cycle = newCycle(kind, { changes: new Changes(this.owedBodies), ...facts });
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
    this.finishedCount++;
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
    if (this.wishBook.hasLocal) this.wishBook.ended(this.finishedCount);
    this.transcript.reset();
    this.isLostTransaction = false;
    this.pendingError = undefined;
    this.readBackIfNeeded();
  }

  /** The first two of the client's cycles turn out to be one. */
  merged(): void {
    this.finishedCount++;
    this.journal.merge();
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
    this.wishBook.asked();
    this.add({ kind: "toServer", bytes: this.memory.askReadback() });
  }

  /** `row` is what came of it, if anything did. */
  readbackAnswered(row: readonly (string | null)[] | undefined): void {
    const { memory } = this;
    const isIdle = this.state === transactionState.idle;
    if (memory.readbackAnswered(row, isIdle))
      this.wishBook.answered((name) => memory.customValue(name));
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
    this.noteWork(plan);
    if (plan.mayDraw || this.planner.traits.hidden === undefined) this.memory.drawSent();
    const change = plan.changesTraits;
    if (change && this.traitsDirty !== change && this.traitsDirty !== "code") {
      this.traitsDirty = change;
      this.add({ kind: "traitsChanging", change });
    }
    if (plan.deallocates !== undefined) this.book.deallocate(plan.deallocates);
    // SQL's EXECUTE runs the text of the statement that has this name.
    for (const name of plan.executes) {
      const found = this.memory.preparedText(name);
      if (found) this.noteWork(this.planner.plan(found.sql, this.isPlain(found.sql)));
    }
    for (const change of plan.wishes) this.wishBook.note(change, this.openedCount);
  }

  private noteWork({ writesAtCommit, notifies, obstacle }: TextPlan): void {
    this.writesAtCommit ||= writesAtCommit;
    this.notifies ||= notifies;
    if (obstacle !== undefined) this.journal.bar(obstacle);
  }

  /** No transaction is open, and none is under way. */
  endTransaction(): void {
    this.writesAtCommit = false;
    this.notifies = false;
    this.book.endTransaction();
  }

  /** No transaction is open any more: what it did to the catalogs can be seen. */
  settleTraits(): void {
    if (!this.traitsDirty) return;
    this.traitsDirty = undefined;
    this.add({ kind: "traitsSettled" });
  }

  /** The id of the transaction that `cycle` is going to commit; the rest of the answer follows. */
  learnXid(cycle: Cycle, answer: Answer): void {
    cycle.answer = answer;
  }

  learn(cycle: Cycle, answer: Answer): void {
    cycle.answer = worseOf(cycle.answer, answer);
    cycle.answersSeen++;
    this.learnWishes(cycle, answer);
  }

  /** Before a cycle that cannot be asked about: it says nothing of what that commits itself. */
  learnAhead(cycle: Cycle, answer: Answer): void {
    cycle.preparedXid = answer.xid;
    this.learnWishes(cycle, answer);
  }

  private learnWishes(cycle: Cycle, answer: Answer): void {
    if (answer.settings) {
      this.honesty = answer.settings;
      this.isSuspicious = isLowered(answer.synchronousCommit) || !answer.settings.isForced;
      this.startTimer(cycle);
    } else if (isLowered(answer.synchronousCommit)) this.isSuspicious = true;
  }

  /** Our question within extended messages, before a commit or a Sync. */
  question(commit?: Pick<TextPlan, "commitTag">): Buffer {
    return this.takesId(commit) ? flushedTakingProbe : flushedQueryProbe;
  }

  /** The transaction that `commit` ends takes an id inside that, if it has none before. */
  takesId(commit?: Pick<TextPlan, "commitTag">): boolean {
    return this.writesAtCommit || commit?.commitTag === prepareTag;
  }

  startTimer(cycle: Cycle): void {
    const timeoutMs = this.honesty.commitTimeoutMs;
    if (timeoutMs > 0 && cycle.verify !== "nothing") this.add({ kind: "commitTimer", timeoutMs });
  }

  /** How long the completion of this cycle must be held; undefined: not at all. */
  waitFor(cycle: Cycle): UpTo | undefined {
    if (cycle.isCleared || !cycle.hasCompleted || cycle.isDiscarded) return undefined;
    // It is no transaction: whatever the session wishes of its commits, and on readers, too.
    if (cycle.setsParameters) return "parameters";
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
    const { answer } = cycle;
    if (!this.honesty.isForced && answer?.settings?.isForced !== true) return undefined;
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
    return this.mayHaveCommitted ? lostInCommit(cause) : lostOtherwise(cause);
  }
}
