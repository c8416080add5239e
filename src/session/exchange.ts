import { Deque } from "../base/deque.ts";
import { BorealisError, sqlState } from "../base/errors.ts";
import { transactionState } from "../wire/index.ts";
import type { Action, UpTo } from "./action.ts";
import { type Cycle, newCycle } from "./cycle.ts";
import type { TextPlan, TextPlanner } from "./plan.ts";
import {
  type Answer,
  defaultHonesty,
  flushedQueryProbe,
  type HonestySettings,
  isLowered,
  queryProbe,
} from "./probe.ts";
import { StatementBook } from "./statement-book.ts";

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
}

/** What both directions of one session share: what the server still owes, and what the session is. */
export class Exchange {
  readonly isHonest: boolean;
  readonly planner: TextPlanner;
  readonly cycles = new Deque<Cycle>();
  readonly book = new StatementBook();
  readonly parameters = new Map<string, string>();
  /** Of the last ReadyForQuery. */
  state: number = transactionState.idle;
  honesty: HonestySettings;
  /** synchronous_commit or a setting of ours may not be what it was: ask for all of them at the next commit. */
  isSuspicious: boolean;
  /** The warning of a broken-off wait may not be sent: then any commit may be one. */
  hidesWarnings: boolean;
  /** The transaction has something that writes inside COMMIT. */
  writesAtCommit = false;
  /** The client has said goodbye. */
  hasTerminated = false;
  /** The server has ended the session with a FATAL error, which the client got. */
  hasFatal = false;
  private actions: Action[] = [];
  private areTraitsDirty = false;

  constructor(options: ExchangeOptions) {
    this.isHonest = options.isHonest;
    this.planner = options.planner;
    this.honesty = options.honesty ?? defaultHonesty;
    this.hidesWarnings = options.hidesWarnings ?? false;
    this.isSuspicious = !this.honesty.isForced || isLowered(options.synchronousCommit ?? "on");
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

  takeActions(): Action[] {
    const { actions } = this;
    if (actions.length > 0) this.actions = [];
    return actions;
  }

  /** A new last cycle. */
  open(kind: Cycle["kind"], facts: Partial<Cycle> = {}): Cycle {
    const cycle = newCycle(kind, facts);
    this.cycles.pushBack(cycle);
    return cycle;
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
    if (plan.changesTraits && !this.areTraitsDirty) {
      this.areTraitsDirty = true;
      this.add({ kind: "traitsChanging" });
    }
    if (plan.deallocates !== undefined) this.book.deallocate(plan.deallocates);
  }

  /** No transaction is open any more: what it did to the catalogs can be seen. */
  settleTraits(): void {
    if (!this.areTraitsDirty) return;
    this.areTraitsDirty = false;
    this.add({ kind: "traitsSettled" });
  }

  learn(cycle: Cycle, answer: Answer): void {
    const before = cycle.answer;
    // Two commits in one batch: the worse counts.
    cycle.answer = before && isLowered(before.synchronousCommit) ? before : answer;
    if (answer.settings) {
      this.honesty = answer.settings;
      this.isSuspicious = isLowered(answer.synchronousCommit) || !answer.settings.isForced;
      this.startTimer(cycle);
    } else if (isLowered(answer.synchronousCommit)) this.isSuspicious = true;
  }

  /** Our question within extended messages. */
  get question(): Buffer {
    // The answer is wanted while the commit waits only where it may change what happens meanwhile: the timeout.
    return this.isSuspicious ? flushedQueryProbe : queryProbe;
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
    if (answer.hasId === false && !this.writesAtCommit) {
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
