import { BorealisError } from "../base/errors.ts";
import type { Carrying } from "./carrying.ts";
import type { ConsistencyMode } from "./consistency.ts";
import {
  decideForward,
  type ForwardPlace,
  type ForwardText,
  unknownText,
} from "./forward-decision.ts";
import { type OwnAnswer, type OwnFailure, SideAnswers } from "./switch-answers.ts";
import type { SwitchAction } from "./switch-action.ts";
import { SwitchMessages } from "./switch-messages.ts";
import type { SwitchPhase } from "./switch-phase.ts";
import type { Destination, SideName, StatementStep, TextSource, Unit } from "./switch-unit.ts";
import {
  backend,
  encodeError,
  encodeSync,
  parseParameterStatus,
  transactionState,
} from "../wire/index.ts";
import { keyOf } from "./prepared-book.ts";
import { unparsableWord } from "./client-messages.ts";

export type { SwitchAction } from "./switch-action.ts";
export type { SideName } from "./switch-unit.ts";

export interface SwitchboardOptions extends TextSource {
  readonly mode: () => ConsistencyMode;
  /** The session's own server, or the last one, is a reader. */
  readonly isReader: () => boolean;
  /** It has one at this moment. */
  readonly isServed: () => boolean;
  readonly carrying: Carrying;
  /** Nothing is being asked of the reader about what the session has. */
  readonly isSettled: () => boolean;
  /** Of the transaction that is open as it begins. */
  readonly state: number;
}

const endsStep = new Set<number>([
  backend.parseComplete,
  backend.closeComplete,
  backend.rowDescription,
  backend.noData,
]);

/** Of the writer these are facts that the client knows otherwise of its own server. */
const serverFacts = new Set(["in_hot_standby", "default_transaction_read_only"]);

/**
 * One client between two servers of its session, pure: its own, a reader, and the writer for what that must run. One
 * unit is under way at a time, on one side. What is told of the other side meanwhile waits for its end.
 */
export class Switchboard {
  private readonly options: SwitchboardOptions;
  private readonly messages: SwitchMessages;
  private readonly answers: Record<SideName, SideAnswers>;
  private phase: SwitchPhase = { kind: "listening", unit: undefined };
  private place: ForwardPlace;
  private beginSql: string | undefined;
  private actions: SwitchAction[] = [];
  private lateAsides: Buffer[] = [];
  /** The transaction that is open, or the unit, has been let read on the reader. */
  private hasLooked = false;
  /** Statements of the writer that the reader could not make. */
  private readonly unmade: StatementStep[] = [];
  /** The writer has, or may have, committed something of this session's that the reader may not show. */
  hasUnseen = false;

  constructor(options: SwitchboardOptions) {
    this.options = options;
    const { idle, failed } = transactionState;
    this.place =
      options.state === idle ? "outside" : options.state === failed ? "failed" : "reading";
    this.answers = { reader: this.answersOf("reader"), writer: this.answersOf("writer") };
    this.messages = new SwitchMessages(options, {
      place: () => this.place,
      unit: () => this.unit,
      open: (unit) => {
        this.phase = { kind: "listening", unit };
      },
      decide: (unit, text) => this.decide(unit, text),
      look: (unit) => this.look(unit),
      refuse: (unit, side, error) => this.refuseUnit(unit, side, error),
      isWaiting: () => this.phase.kind === "preparing" || this.phase.kind === "settling",
      isAnswering: () => this.phase.kind === "answering",
      sent: (unit) => {
        this.phase = { kind: "answering", unit };
      },
      deliver: (to, bytes) => this.deliver(to, bytes),
      pause: () => this.actions.push({ kind: "pauseClient" }),
    });
  }

  /** Nothing of the client's is under way: the writer's side may be closed. */
  get isQuiet(): boolean {
    return this.phase.kind === "listening" && !this.phase.unit && this.place !== "writing";
  }

  /** ... and no transaction is open. */
  get isOutside(): boolean {
    return this.isQuiet && this.place === "outside";
  }

  /** The client waits for a side to be made ready: its servers run nothing of its. */
  get isPreparing(): boolean {
    return this.phase.kind === "preparing";
  }

  /** Where a cancel request is to go. */
  get activeSide(): SideName {
    return this.unit?.side ?? (this.place === "writing" ? "writer" : "reader");
  }

  /** Raises ProtocolViolation for what is not the protocol. */
  fromClient(chunk: Buffer): SwitchAction[] {
    this.messages.push(chunk);
    return this.take();
  }

  fromSide(side: SideName, chunk: Buffer): SwitchAction[] {
    this.answers[side].push(chunk);
    return this.take();
  }

  /** Sends questions of ours, `cycles` of them, to a side that nothing of the client's is under way on. */
  ask(
    side: SideName,
    bytes: Buffer,
    cycles: number,
    then: (answer: OwnAnswer) => void,
  ): SwitchAction[] {
    this.answers[side].ask(cycles, then);
    this.actions.push({ kind: "toSide", side, bytes });
    return this.take();
  }

  /** What `prepare` asked for is done. */
  prepared(): SwitchAction[] {
    if (this.phase.kind !== "preparing") return [];
    const { unit, side, decides } = this.phase;
    if (side === "writer" && this.place === "begun") this.place = "writing";
    if (side === "reader") this.hasLooked = true;
    this.phase = { kind: "listening", unit };
    if (decides) this.messages.settle(unit, side);
    this.goOn();
    return this.take();
  }

  /** ... or cannot be. `state` is what the reader's transaction is in. */
  refuse(error: BorealisError): SwitchAction[] {
    if (this.phase.kind !== "preparing") return [];
    const { unit } = this.phase;
    this.phase = { kind: "listening", unit };
    this.refuseUnit(unit, "reader", error);
    this.goOn();
    return this.take();
  }

  /** What `catchUp` asked for is done, or cannot be. */
  caughtUp(): SwitchAction[] {
    if (this.phase.kind === "settling") this.mirror(this.unmade.splice(0), { isLast: true });
    return this.take();
  }

  /** The writer's side is gone. What the client had under way there it has heard of, or it ends with it. */
  writerGone(failure: OwnFailure): SwitchAction[] {
    this.options.carrying.clear();
    this.answers.writer.fail(failure);
    this.answers.writer = this.answersOf("writer");
    return this.take();
  }

  /** Its next server may be one; but where something of a transaction has run, that is run again where it was. */
  private get mayBeReader(): boolean {
    const { isReader, isServed } = this.options;
    return isReader() || (!isServed() && (this.place === "outside" || this.place === "begun"));
  }

  private get unit(): Unit | undefined {
    return this.phase.kind === "settling" ? undefined : this.phase.unit;
  }

  /** Where a unit goes that runs `text`; "wait": not now. */
  private decide(unit: Unit, text: ForwardText): "decided" | "wait" {
    const { place, mayBeReader } = this;
    const mode = this.options.mode();
    const decision = decideForward(text, { mode, isReader: mayBeReader, place });
    const side = decision.kind === "forward" || place === "writing" ? "writer" : "reader";
    if (decision.kind === "refuse") {
      this.refuseUnit(unit, side, decision.error);
      return "decided";
    }
    if (this.needsPreparing(side, text)) {
      this.prepare(unit, side, true);
      return "wait";
    }
    if (side === "reader" && text.readsData) this.hasLooked = true;
    this.messages.settle(unit, side);
    return "decided";
  }

  private look(unit: Unit): "decided" | "wait" {
    if (this.place === "writing" || !this.needsPreparing("reader", unknownText)) return "decided";
    this.prepare(unit, "reader", false);
    return "wait";
  }

  private prepare(unit: Unit, side: SideName, decides: boolean): void {
    const opens = this.place === "begun" && side === "writer";
    const begin = opens ? this.beginSql : undefined;
    // What a transaction needs later has to be there when it begins.
    const mayNeedLater = unit.kind === "batch" && (opens || unit.begin !== undefined);
    const mayNeed = unit.needsUnnamed || (mayNeedLater && !unit.parses.has(""));
    const needsUnnamed = mayNeed && this.messages.isUnnamedHere;
    this.phase = { kind: "preparing", unit, side, decides };
    this.actions.push({ kind: "prepare", side, begin, needsUnnamed });
  }

  private needsPreparing(side: SideName, { readsData }: ForwardText): boolean {
    const { place } = this;
    if (side === "writer") return place === "outside" || place === "begun";
    if (place === "failed" || this.hasLooked || !readsData || !this.mayBeReader) return false;
    const mode = this.options.mode();
    return mode === "global" || (mode === "session" && this.hasUnseen);
  }

  private refuseUnit(unit: Unit, side: SideName, error: BorealisError): void {
    unit.refusal = error;
    this.messages.refuse(unit, side);
  }

  private answersOf(side: SideName): SideAnswers {
    return new SideAnswers(
      {
        tell: (bytes) => this.tell(side, bytes),
        tellAside: (bytes) => this.tellAside(side, bytes),
        substituteFor: (report) => this.substituteFor(report),
        passed: (type) => this.onPassed(side, type),
        ready: (state) => this.onReady(side, state),
      },
      { dropsAsides: side === "writer" },
    );
  }

  /** What comes of the other side may not come between: the reader's waits, the writer's is nothing to the client. */
  private tell(side: SideName, bytes: Buffer): void {
    const isWriters = this.activeSide === "writer";
    if (side === "reader" && isWriters) this.lateAsides.push(Buffer.from(bytes));
    else if (side === "reader" || isWriters) this.actions.push({ kind: "toClient", bytes });
  }

  /** SET LOCAL in a forwarded transaction is to be heard of; what the writer's session has besides is not the client's. */
  private tellAside(side: SideName, bytes: Buffer): void {
    if (side === "writer") {
      const isInTransaction = this.place === "writing" || this.unit?.begin !== undefined;
      if (!isInTransaction || serverFacts.has(parseParameterStatus(bytes.subarray(5)).name)) return;
    }
    this.tell(side, bytes);
  }

  private substituteFor(report: ReadonlyMap<string, string>): Buffer | undefined {
    const { unit } = this;
    // 42601: of the text that cannot be parsed, which the message quotes the first word of.
    const isOurs = report.get("C") === "42601" && report.get("M")?.includes(unparsableWord);
    if (!unit?.refusal || isOurs !== true) return undefined;
    const bytes = encodeError(unit.refusal, "ERROR");
    unit.refusal = undefined;
    return bytes;
  }

  private onPassed(side: SideName, type: number): void {
    const { unit } = this;
    if (unit?.isOnReader === true && unit.side === undefined) this.onAhead(unit, type);
    if (unit?.side !== side) return;
    if (type === backend.copyIn) {
      unit.isCopying = true;
      this.goOn();
    }
    if (type !== backend.parseComplete && type !== backend.closeComplete) return;
    const kind = type === backend.parseComplete ? "parse" : "close";
    const step = unit.steps[kind].popFront();
    if (step) unit.done.push(step);
  }

  /** The reader answers what was sent ahead of a decision. */
  private onAhead(unit: Unit, type: number): void {
    if (type === backend.error) {
      // All that follows is skipped there up to the Sync.
      unit.side = "reader";
      unit.owed = 0;
    } else if (endsStep.has(type)) unit.owed--;
    if (unit.owed === 0) this.goOn();
  }

  private onReady(side: SideName, state: number): void {
    if (this.phase.kind !== "answering" || this.phase.unit.side !== side) return;
    const { unit } = this.phase;
    this.place = this.placeAfter(unit, side, state);
    if (state === transactionState.idle) this.hasLooked = false;
    // A session that is on the writer itself may come to a reader later.
    if (side === "writer" || !this.options.isReader()) this.hasUnseen = true;
    if (this.place !== "writing")
      for (const bytes of this.lateAsides.splice(0)) this.actions.push({ kind: "toClient", bytes });
    const steps = unit.done.filter(({ bytes }) => bytes !== undefined);
    if (side === "writer" && steps.length > 0) {
      this.mirror(steps);
      return;
    }
    if (side === "reader" && state === transactionState.idle && !this.options.isSettled()) {
      this.settleReader(encodeSync(), 1);
      return;
    }
    this.phase = { kind: "listening", unit: undefined };
    this.goOn();
  }

  private placeAfter(unit: Unit, side: SideName, state: number): ForwardPlace {
    const { idle, failed } = transactionState;
    const { place } = this;
    if (state === idle) return "outside";
    if (side === "writer") return "writing";
    if (state === failed) return "failed";
    if (place === "readOnly") return place;
    const hasBegin = place === "outside" && unit.begin !== undefined && !unit.runsMore;
    if (hasBegin && unit.begin) {
      this.beginSql = unit.begin.sql;
      return unit.begin.text.kind === "readOnlyBegin" ? "readOnly" : "begun";
    }
    return place === "begun" && !unit.runsMore ? place : "reading";
  }

  /** Prepared statements are the session's, whichever server has got them first. */
  private mirror(steps: readonly StatementStep[], { isLast } = { isLast: false }): void {
    const { carrying } = this.options;
    const parts: Buffer[] = [];
    const sent = steps.filter(({ bytes }) => bytes !== undefined);
    for (const { kind, name, bytes = Buffer.alloc(0) } of sent) {
      const cycle = Buffer.concat([bytes, encodeSync()]);
      if (kind === "parse") carrying.note(keyOf(Buffer.from(name)), cycle);
      else carrying.forget(keyOf(Buffer.from(name)));
      parts.push(cycle);
    }
    this.settleReader(Buffer.concat(parts), parts.length, ({ errors }) => {
      const failed = sent.filter(({ kind }, index) => kind === "parse" && errors.has(index));
      if (isLast || failed.length === 0 || this.place !== "outside") return false;
      // What it names may not have been replayed.
      this.unmade.push(...failed);
      this.actions.push({ kind: "catchUp" });
      return true;
    });
  }

  /** `then` says true if the client is to wait longer. */
  private settleReader(
    bytes: Buffer,
    cycles: number,
    then: (answer: OwnAnswer) => boolean = () => false,
  ): void {
    this.phase = { kind: "settling" };
    this.answers.reader.ask(cycles, (answer) => {
      if (then(answer)) return;
      this.phase = { kind: "listening", unit: undefined };
      this.goOn();
    });
    this.actions.push({ kind: "toSide", side: "reader", bytes });
  }

  private deliver(to: Destination, bytes: Buffer): void {
    if (to === "drop" || bytes.length === 0) return;
    if (to === "hold") {
      const { unit } = this;
      unit?.held.push(Buffer.from(bytes));
      if (unit) unit.heldBytes += bytes.length;
      return;
    }
    this.actions.push({ kind: "toSide", side: to, bytes });
  }

  private goOn(): void {
    if (this.messages.goOn()) this.actions.push({ kind: "resumeClient" });
  }

  private take(): SwitchAction[] {
    const { actions } = this;
    this.actions = [];
    return actions;
  }
}
