import { type HiddenState, unknownHiddenState } from "./hidden-state.ts";
import { keyOf, PreparedBook, readingSettings, textOf } from "./prepared-book.ts";
import { encodeReadback, parseReadback, type Readback, settingsOf } from "./readback.ts";
import { type Carried, planHandover, type RestoreWishes } from "./handover.ts";
import { listening, unread } from "./reasons.ts";
import { RepeatableTexts } from "./repeatable-texts.ts";
import { planRestore, type RestorePlan, type Wanted } from "./restore.ts";
import type { Change, Circumstances, NumberedTouch, StatementChange } from "./session-change.ts";
import { customNameLengthMax, customNamesMax, type SessionTouch } from "./session-touch.ts";
import { TouchCount } from "./touch-count.ts";
import { Unseen } from "./unseen.ts";

export interface SessionBookOptions {
  /** Who logged in. */
  readonly user: string;
  /** Of its database, as it is known at the moment. */
  readonly hidden?: () => HiddenState;
  /** Settings that it was connected with, and that its connections are not opened with. */
  readonly base?: ReadonlyMap<string, string>;
  /** For texts of prepared statements and what goes with them; 4 MiB unless told. */
  readonly bytesMax?: number;
}

/** - start: as it was before the transaction that is open (its messages are going to be sent again); else as it is now */
export type Moment = "now" | "start";

const bytesMaxDefault = 4 * 1024 * 1024;
const noSettings: ReadonlyMap<string, string> = new Map();
const loadsMax = 100;

const unknownYet = "what its last statements changed is not known";

/**
 * What a session has beyond its transaction, and how it is made again on another server connection.
 *
 * The statements of the protocol are known by their messages. All else (settings, LISTEN, PREPARE, temporary objects,
 * held cursors, advisory locks) is asked of the server, since no text tells what a rollback, a function or an
 * expression made of it: a text only says that the answer may differ now. The question must be asked outside a
 * transaction; sent in one write behind the statement, or behind the COMMIT, it costs no round trip.
 */
export class SessionBook {
  private readonly user: string;
  private readonly hidden: () => HiddenState;
  private readonly base: ReadonlyMap<string, string>;
  /** It was reset on this connection, to what that was opened with. */
  private isBaseLost = false;
  readonly prepared: PreparedBook;
  private readonly reading = new Map<string, string>();
  private readonly customNames = new Set<string>();
  private readonly loads = new Set<string>();
  private hasTooMany = false;
  /** Something in the cycle that is being answered. */
  private hasFailed = false;
  private known: Readback | undefined;
  private unknownStatement: string | undefined;
  private asksLocks = false;
  // On the connection that it has now.
  private hasDrawn = false;
  private readonly unseen = new Unseen();
  private readonly touches = new TouchCount();
  private readonly repeatable = new RepeatableTexts();

  constructor(options: SessionBookOptions) {
    this.user = options.user;
    this.base = options.base ?? noSettings;
    this.hidden = options.hidden ?? (() => unknownHiddenState);
    this.prepared = new PreparedBook(options.bytesMax ?? bytesMaxDefault);
  }

  // --- What the client sends

  /** A Parse that is passed on. `isKept`: with its text; else it makes one that is too long to be kept. */
  parseSent(step: number, body: Buffer, isKept: boolean): StatementChange {
    const end = body.indexOf(0);
    const key = keyOf(body.subarray(0, end < 0 ? body.length : end));
    return isKept
      ? { kind: "parse", step, key, body: Buffer.from(body) }
      : { kind: "parse", step, key };
  }

  /** A Close of a statement; `body` is the message's. */
  closeSent(step: number, body: Buffer): StatementChange {
    const end = body.indexOf(0, 1);
    return { kind: "close", step, key: keyOf(body.subarray(1, end < 0 ? body.length : end)) };
  }

  /** Any simple Query; `isRewritten`: it went out as extended messages. */
  querySent(isRewritten = false): Change {
    return { kind: "query", step: 0, isRewritten };
  }

  /**
   * A simple Query or an Execute is passed on. `names` are the values of `touch.nameParameters`, where its Bind is
   * known; `isAlone`: as a simple Query outside a transaction, so that nothing but its own failure undoes it. Undefined: it
   * changes nothing.
   */
  runSent(step: number, touch: SessionTouch, how: Circumstances = {}): Change | undefined {
    const { names = [], isAlone = false } = how;
    this.unseen.ran(touch, names.length, this.hidden());
    // A text may execute one of them some ten thousand times.
    const texts = [...new Set(touch.executes)].map((name) => this.prepared.factsOf(name));
    const executed = texts.flatMap((facts) => (facts ? this.unseen.executed(facts) : []));
    const named = [...touch.customNames, ...executed, ...names.map((name) => name.toLowerCase())];
    const runsTouchy = texts.some((facts) => facts?.mayTouch ?? true);
    const reach = runsTouchy ? "now" : this.reachOf(touch, named);
    for (const name of named) this.addCustomName(name);
    if (reach === "no") return undefined;
    const number = this.touches.next(reach !== "later");
    // Code may take them where nobody sees it; a text that says what it does says so.
    if (touch.touchesLocks || touch.reach !== "now") this.asksLocks = true;
    const runsUnknown = texts.includes(undefined);
    const isCertain = reach === "now";
    const repeatable = isAlone ? touch.repeatable : undefined;
    return { kind: "touch", step, touch: { ...touch, repeatable, number, isCertain, runsUnknown } };
  }

  /** It may draw from a sequence. */
  drawSent(): void {
    this.hasDrawn = true;
  }

  // --- What the server answers

  /** A message succeeded; undefined: which changes nothing that its answer makes true. */
  answeredStep(change: StatementChange | undefined): void {
    if (change?.kind === "close")
      this.unknownStatement ??= this.prepared.closed(change.key, this.reading);
    if (change?.kind !== "parse") return;
    const { key, body } = change;
    const path = this.settingValue("search_path") ?? null;
    this.unknownStatement ??= this.prepared.parsed(key, body, new Map(this.reading), path);
    // It was analysed as the session is behind them.
    if (!this.repeatable.isEmpty) this.touches.noteDoneOutside(this.repeatable.giveUp());
  }

  /** An ErrorResponse came instead of the answer of a message. */
  failedStep(change: StatementChange | undefined): void {
    // The server lets go of the old one before it looks at the new.
    if (change?.kind === "parse" && change.key === "") this.prepared.forget("");
    this.hasFailed = true;
  }

  /** ReadyForQuery ended the cycle of these changes. */
  ready(changes: readonly Change[], isIdle: boolean): void {
    for (const change of changes) {
      if (change.kind === "query")
        this.prepared.forget("", { lingers: change.isRewritten && this.hasFailed });
      else if (change.kind === "touch") this.touched(change.touch);
    }
    this.hasFailed = false;
    if (!isIdle) return;
    this.prepared.settle();
    this.touches.settle();
  }

  /**
   * The cycle of these changes failed at `step`, outside a transaction, and its server was lost before its ReadyForQuery: only
   * what no rollback undoes was done.
   */
  failedAndLost(changes: readonly Change[], step: number): void {
    for (const change of changes) {
      if (change.kind === "query") this.prepared.forget("");
      if (change.kind !== "touch" || change.step > step) continue;
      const { isCertain, survivesRollback, survivesFailure, number } = change.touch;
      const isLeft = change.step < step ? survivesRollback : survivesFailure;
      if (isCertain && isLeft) this.touches.noteDoneOutside(number);
    }
    this.hasFailed = false;
    this.prepared.settle();
    this.touches.settle();
  }

  /** A ParameterStatus, from the start of the connection on. */
  parameter(name: string, value: string): void {
    if ((readingSettings as readonly string[]).includes(name)) this.reading.set(name, value);
  }

  // --- Reading back

  /**
   * - now: before the client hears that the statement (or its transaction) is over
   * - later: when the session has nothing to do for a while
   * Where the cycle before it ends a transaction, or stands outside of one; not within one.
   */
  get needsReadback(): "no" | "later" | "now" {
    return this.touches.needsReadback;
  }

  /** The question, with its Sync, to be sent behind all that was sent so far; readbackSteps in readback.ts. */
  askReadback(): Buffer {
    this.touches.ask();
    const names = new Set([...this.customNames, ...this.hidden().customNames]);
    return encodeReadback([...names], this.asksLocks);
  }

  /**
   * Its cycle is over. `row` is the DataRow's values, if one came; `isIdle` what ReadyForQuery says. False: it says nothing of
   * what the session has.
   */
  readbackAnswered(row: readonly (string | null)[] | undefined, isIdle: boolean): boolean {
    const upTo = this.touches.takeAnswer();
    // Within a transaction it says what may still be undone.
    const read = row && isIdle ? parseReadback(row) : undefined;
    if (!read) {
      this.touches.noAnswer(isIdle);
      return false;
    }
    this.touches.answer(upTo);
    this.repeatable.readBack(upTo);
    this.known = read;
    // Of each of them there is a value that was set, or it was reset.
    this.isBaseLost = settingsOf(read, this.base).length > settingsOf(read, noSettings).length;
    const searchPath = this.settingValue("search_path") ?? null;
    this.unknownStatement = this.prepared.reconcile(
      read.prepared,
      new Map(this.reading),
      searchPath,
    );
    // It was read outside a transaction.
    this.prepared.settle();
    // What was sent behind the question may have taken one since.
    if (read.hasAdvisoryLock === false && this.touches.isLast(upTo)) this.asksLocks = false;
    return true;
  }

  /** The text of a prepared statement: of its Parse message, or the whole PREPARE that made it. */
  preparedText(name: string): { readonly sql: string; readonly isPrepare: boolean } | undefined {
    const entry = this.prepared.find(keyOf(Buffer.from(name)));
    if (!entry || entry === "tooLong") return undefined;
    return { sql: textOf(entry), isPrepare: typeof entry.source === "string" };
  }

  /** The value that it has set, in pg_settings' unit; undefined: its connection's own. */
  settingValue(setting: string): string | undefined {
    return this.known?.settings.find(([name]) => name === setting)?.[1];
  }

  /** The value that was read back last of a setting with a prefix; undefined: it was not asked for. */
  customValue(setting: string): string | null | undefined {
    return this.known?.custom.find(([name]) => name === setting)?.[1];
  }

  /** What it has is known: nothing that it did since may have changed it. */
  get isKnown(): boolean {
    return !this.hasTooMany && this.repeatable.isEmpty && this.touches.isCertain;
  }

  // --- Making it again

  /** The connection is gone: what was asked on it stays unanswered. */
  connectionLost(): void {
    this.touches.connectionLost();
    this.hasFailed = false;
  }

  /** Why the session cannot be made again on another connection; undefined: it can. */
  obstacle(at: Moment = "now"): string | undefined {
    const { known } = this;
    if (known?.hasTemporary === true) return "it has temporary objects";
    if (known?.hasHeldCursor === true) return "it has a cursor WITH HOLD";
    if (known?.hasAdvisoryLock === true) return "it holds a session advisory lock";
    if (this.prepared.hasTooLong) return "its prepared statements are too long";
    if (this.hasTooMany) return "it has too many settings of its own";
    if (this.unknownStatement !== undefined) {
      return `where its prepared statement "${this.unknownStatement}" comes from is not known`;
    }
    const { isCertain, wasCertainAtStart } = this.touches;
    return (at === "start" ? wasCertainAtStart : isCertain) ? undefined : unknownYet;
  }

  /**
   * What is sent on another connection with the same login, before anything else. The book stays as it is: messages that
   * are sent again after a restoration of the start may be told to it again, or not. `carried`: what somebody before has
   * left on that connection; undefined: nobody had it. `hasUnnamed`: with the unnamed statement.
   */
  restore(at: Moment = "now", how: RestoreWishes = {}): RestorePlan {
    const { carried, skipsUnnamed = false, hasUnnamed = true } = how;
    const wanted = this.wanted(at, hasUnnamed);
    const { cycles } = carried
      ? planHandover(wanted, carried, { skipsUnnamed })
      : planRestore(wanted);
    return { cycles: [...cycles, ...this.repeatable.cycles] };
  }

  private wanted(at: Moment, hasUnnamed: boolean): Wanted {
    const { known } = this;
    const settings: [string, string | null][] = settingsOf(known, this.base);
    if (known) {
      if (known.sessionUser !== this.user)
        settings.push(["session_authorization", known.sessionUser]);
      settings.push(["role", known.role]);
    }
    return {
      loads: [...this.loads],
      settings,
      prepared: this.prepared
        .list(at)
        .filter(([key]) => hasUnnamed || key !== "")
        .flatMap(([key, entry]) => (entry === "tooLong" ? [] : [[key, entry] as const])),
      channels: known?.channels ?? [],
    };
  }

  // --- Handing its connection over

  /** What of it lives in its connection alone, so that nobody else can have that; undefined: nothing does. */
  keeps({ readsDrawn }: { readonly readsDrawn: boolean }): string | undefined {
    const obstacle = this.obstacle();
    if (obstacle !== undefined) return obstacle;
    if ((this.known?.channels.length ?? 0) > 0) return listening;
    if (this.loads.size > 0) return "it has loaded a library";
    const hidden = this.hidden();
    const unseen = this.unseen.why(hidden);
    if (unseen !== undefined) return unseen;
    if (this.hasDrawn && (readsDrawn || hidden.readsDrawn))
      return "values that it drew from a sequence may be asked for";
    // Also what was asked for too often without an answer.
    return this.touches.isAllAnswered ? undefined : unread;
  }

  /** Nobody could make them again with its login's rights: a function of somebody else's has set them. */
  get hasSettingsOfOthers(): boolean {
    return this.known?.hasSettingsOfOthers === true;
  }

  /** What its connection has, for the next who gets that: only while nothing keeps it. */
  carried(): Carried {
    const { known } = this;
    return {
      settings: new Map(settingsOf(known, this.isBaseLost ? noSettings : this.base)),
      hasOtherRole:
        known !== undefined && (known.role !== "none" || known.sessionUser !== this.user),
      prepared: this.prepared.present,
      isStale: this.prepared.isStale,
      hasDrawn: this.hasDrawn,
      isDoubtful: this.unseen.hasRunCode && this.hidden().hasNative,
      customNames: this.existingNames,
    };
  }

  /** Settings with a prefix that exist in its connection. */
  get existingNames(): ReadonlySet<string> {
    const custom = this.known?.custom ?? [];
    return new Set(custom.flatMap(([name, value]) => (value === null ? [] : [name])));
  }

  /** A setting with a prefix exists in it. */
  hasCustom(name: string): boolean {
    return typeof this.customValue(name) === "string";
  }

  /** It goes on with another connection, which knows nothing of what was done on the last. */
  moved(): void {
    this.isBaseLost = false;
    this.prepared.moved();
    this.hasDrawn = false;
    this.unseen.moved();
  }

  /**
   * All cycles of `plan` are over: `codes` are the SQLSTATEs of those that failed, by index. Gives why the session is
   * not what it was, or undefined. A prepared statement that cannot be made is no reason, whatever the code: what it names
   * is gone, or means something else now, or is locked. Where it was made it would fail when it is used; so it does here.
   */
  restored(plan: RestorePlan, codes: ReadonlyMap<number, string>): string | undefined {
    for (const [index, code] of codes) {
      const cycle = plan.cycles[index];
      if (cycle?.key === undefined)
        return `${cycle?.what ?? "its state"} cannot be made again (${code})`;
      this.prepared.setAside(cycle.key);
    }
    return undefined;
  }

  /** Bytes kept of prepared statements. */
  get sizeBytes(): number {
    return this.prepared.sizeBytes;
  }

  private touched(touch: NumberedTouch): void {
    const { isCertain, number, survivesRollback, loads, runsUnknown, repeatable } = touch;
    if (repeatable !== undefined && isCertain) {
      const isRead = this.hasFailed || this.touches.isAnswered(number);
      if (!isRead && !this.repeatable.answered(number, repeatable))
        this.touches.noteDoneOutside(this.repeatable.giveUp());
      return;
    }
    if (isCertain) this.touches.noteDone(number, survivesRollback);
    if (this.hasFailed) return;
    if (runsUnknown) this.unseen.foundUnknown();
    for (const load of loads) {
      if (this.loads.size < loadsMax) this.loads.add(load);
      else this.hasTooMany = true;
    }
  }

  /** "doubt": asked at once, and no obstacle to going on elsewhere while there is no answer. */
  private reachOf(touch: SessionTouch, named: readonly string[]): "no" | "later" | "doubt" | "now" {
    if (touch.reach === "now") return "now";
    const { known } = this;
    const isHeld = known?.hasTemporary === true || known?.hasHeldCursor === true;
    if (touch.mayFree && isHeld) return "now";
    const { changesSession } = this.hidden();
    if (touch.reach === "hidden" && changesSession === "likely") return "now";
    if (touch.makesObjects) return "doubt";
    if (touch.reach !== "no" && changesSession !== "no") return "later";
    // A name that is new to us: it exists from now on, whatever its value.
    const isNew = (name: string): boolean => name.includes(".") && !this.customNames.has(name);
    const isInTemporary = this.settingValue("search_path")?.includes("pg_temp") === true;
    return (touch.reach !== "no" && isInTemporary) || named.some(isNew) ? "later" : "no";
  }

  private addCustomName(name: string): void {
    // It may be the beginning of a longer one.
    const isTooLong = name.length > customNameLengthMax;
    if ((!isTooLong && !name.includes(".")) || this.customNames.has(name)) return;
    if (!isTooLong && this.customNames.size < customNamesMax) this.customNames.add(name);
    else this.hasTooMany = true;
  }
}
