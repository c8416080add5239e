import {
  encodeQuery,
  findBindNames,
  findExecutePortal,
  findParseName,
  findTarget,
  frontend,
  MessageScanner,
  parseTextOf,
  queryTextOf,
} from "../wire/index.ts";
import { clientHeadOf } from "./client-heads.ts";
import { unparsable } from "./client-messages.ts";
import { type ForwardPlace, type ForwardText, unknownText } from "./forward-decision.ts";
import { newUnit, type SideName, type StatementStep, type Unit } from "./switch-unit.ts";

export type Destination = SideName | "hold" | "drop";

/** What decides about the client's units. */
export interface UnitDesk {
  place(): ForwardPlace;
  unit(): Unit | undefined;
  /** A new unit begins. */
  open(unit: Unit): void;
  /** Gives `unit.side` a value, or has it made ready first ("wait"). */
  decide(unit: Unit, text: ForwardText): "decided" | "wait";
  /** Nothing of the client's may be looked at. */
  isWaiting(): boolean;
  /** All of a unit has been sent. */
  isAnswering(): boolean;
  /** All of this unit has been sent now. */
  sent(unit: Unit): void;
  deliver(to: Destination, bytes: Buffer): void;
  /** What the client has sent waits. */
  pause(): void;
}

/** A prepared statement as the session has it on the reader. */
export interface KnownStatement {
  readonly text: ForwardText;
  /** Of its Parse message. */
  readonly sql: string | undefined;
}

export interface TextSource {
  /** Of a text that the client sends; of one that PostgreSQL may read otherwise than our parser, unknownText. */
  readonly textOf: (sql: string) => ForwardText;
  readonly findPrepared: (name: string) => KnownStatement | undefined;
}

/** Of a batch that is not decided. */
const heldBytesMax = 1024 * 1024;
const unknownStatement: KnownStatement = { text: unknownText, sql: undefined };
const refusedQuery = encodeQuery(unparsable);

/** Cuts what the client sends into units, asks where each is to go, and delivers it there. */
export class SwitchMessages {
  private readonly source: TextSource;
  private readonly desk: UnitDesk;
  private readonly scanner = new MessageScanner(clientHeadOf);
  private backlog: Buffer[] = [];
  private isPaused = false;
  /** Where the body goes of which a part is still to come. */
  private bodyTo: Destination = "drop";
  /** The unnamed statement that was made last, and where; undefined: the session has it from before. */
  private unnamed: { readonly sql: string | undefined; readonly side: SideName } | undefined;

  constructor(source: TextSource, desk: UnitDesk) {
    this.source = source;
    this.desk = desk;
  }

  push(chunk: Buffer): void {
    if (this.isPaused) this.backlog.push(chunk);
    else this.scan(chunk);
  }

  /** Goes on with what had to wait. True: the client may send more. */
  goOn(): boolean {
    if (!this.isPaused) return false;
    this.isPaused = false;
    const chunks = this.backlog;
    this.backlog = [];
    for (const chunk of chunks) this.push(chunk);
    return !this.isPaused;
  }

  private scan(chunk: Buffer): void {
    const { scanner, desk } = this;
    const { missingBytes } = scanner;
    scanner.begin(chunk);
    const bodyEnd = Math.min(missingBytes, chunk.length);
    if (bodyEnd > 0) desk.deliver(this.bodyTo, chunk.subarray(0, bodyEnd));
    while (scanner.next()) {
      const to = this.destination();
      if (to === "wait") {
        this.isPaused = true;
        this.backlog.unshift(scanner.takeBack());
        desk.pause();
        return;
      }
      desk.deliver(to, this.bytes);
      this.bodyTo = to;
      this.afterMessage();
    }
  }

  private get bytes(): Buffer {
    const { buffer, start, end } = this.scanner;
    return buffer.subarray(start, Math.min(end, buffer.length));
  }

  private get body(): Buffer {
    return this.bytes.subarray(5);
  }

  private get isWhole(): boolean {
    return this.scanner.end <= this.scanner.buffer.length;
  }

  private destination(): Destination | "wait" {
    const { desk } = this;
    const { type } = this.scanner;
    if (type === frontend.terminate) return "reader";
    if (desk.isWaiting()) return "wait";
    const unit = desk.unit();
    if (desk.isAnswering() && unit) return this.whileAnswering(unit);
    switch (type) {
      case frontend.query:
        return this.onQuery(unit);
      case frontend.functionCall:
        return unit?.side ?? this.begin("function", this.standing);
      case frontend.copyData:
      case frontend.copyDone:
      case frontend.copyFail:
        return unit?.side ?? this.standing; // of a COPY that has ended: it is ignored there
      default:
        return this.onBatch(unit);
    }
  }

  private whileAnswering(unit: Unit): Destination | "wait" {
    const { type } = this.scanner;
    const side = unit.side ?? "reader";
    const isCopy =
      type === frontend.copyData || type === frontend.copyDone || type === frontend.copyFail;
    return isCopy || unit.isCopying || type === frontend.flush ? side : "wait";
  }

  /** Where goes what needs no decision. */
  private get standing(): SideName {
    return this.desk.place() === "writing" ? "writer" : "reader";
  }

  private begin(kind: Unit["kind"], side: SideName): SideName {
    const unit = newUnit(kind);
    unit.side = side;
    unit.runsMore = true;
    this.desk.open(unit);
    return side;
  }

  private onQuery(open: Unit | undefined): Destination | "wait" {
    const { desk } = this;
    // It ends the unsynced messages before it, wherever they are.
    if (open?.kind === "batch") {
      open.runsMore = true;
      if (open.side === undefined) this.settleHere(open);
      return open.isRefused ? "drop" : (open.side ?? "reader");
    }
    const unit = open ?? newUnit("query");
    if (unit.side === undefined) {
      if (!open) desk.open(unit);
      const sql = this.isWhole ? queryTextOf(this.body) : undefined;
      const text = sql === undefined ? unknownText : this.resolve(this.source.textOf(sql));
      if (sql !== undefined && isBegin(text)) unit.begin = { text, sql };
      else unit.runsMore = true;
      if (desk.decide(unit, text) === "wait") return "wait";
    }
    this.unnamed = { sql: undefined, side: unit.side ?? "reader" };
    if (!unit.isRefused) return unit.side ?? "reader";
    desk.deliver(unit.side ?? "reader", refusedQuery);
    return "drop";
  }

  private onBatch(open: Unit | undefined): Destination | "wait" {
    const { desk } = this;
    const { type } = this.scanner;
    const unit = open ?? newUnit("batch");
    if (!open) desk.open(unit);
    if (unit.isRefused) {
      const passes = type === frontend.sync || type === frontend.flush;
      return passes ? (unit.side ?? "reader") : "drop";
    }
    if (unit.side === undefined) {
      const waits = this.gather(unit);
      if (waits) return waits;
    }
    const { side = "reader" } = unit;
    if (unit.isRefused) return "drop";
    if (side === "writer") {
      const step = stepOf(this.bytes, this.isWhole);
      if (step) unit.steps.push(step);
    }
    this.noteParse(unit, side);
    return side;
  }

  /** The batch is not decided. Undefined: now it is. */
  private gather(unit: Unit): Destination | "wait" | undefined {
    const { type } = this.scanner;
    const isTooMuch = unit.heldBytes > heldBytesMax || !this.isWhole;
    switch (type) {
      case frontend.bind:
        return this.onBind(unit);
      case frontend.execute:
        if (unit.begin && !unit.runsMore && findExecutePortal(this.body) !== undefined)
          return "hold";
        return this.decide(unit, unknownText);
      case frontend.sync:
        this.settleHere(unit);
        return undefined;
      case frontend.flush:
        if (unit.begin) return this.decide(unit, unit.begin.text);
        // The client waits for these answers before it says what is to be run.
        unit.isOnReader = this.standing === "reader";
        if (!unit.isOnReader) this.settleHere(unit);
        else this.sendAhead(unit);
        return unit.isOnReader ? "reader" : undefined;
      default:
        if (isTooMuch) {
          this.settleHere(unit);
          return undefined;
        }
        this.noteParse(unit, this.standing);
        return "hold";
    }
  }

  private sendAhead(unit: Unit): void {
    unit.owed += unit.held.length; // Parse, Describe, Close: each has one answer that ends it
    for (const bytes of unit.held.splice(0)) this.desk.deliver("reader", bytes);
    // Made where the session is: for the writer it is carried like all that was made before.
    if (unit.parses.has("")) this.unnamed = undefined;
    unit.parses.clear();
  }

  private onBind(unit: Unit): Destination | "wait" | undefined {
    const names = findBindNames(this.body);
    if (unit.owed > 0) return "wait";
    const { text, sql } = names ? this.statementOf(unit, names.statement) : unknownStatement;
    if (isBegin(text) && this.desk.place() === "outside" && this.isWhole && !unit.begin) {
      // The client's own text is needed to open it elsewhere.
      if (sql === undefined) return this.decide(unit, text);
      unit.begin = { text, sql };
      return "hold";
    }
    unit.runsMore = true;
    const isElsewhere =
      names?.statement === "" && !unit.parses.has("") && this.unnamed?.side === "writer";
    const isRead = isElsewhere && this.desk.place() === "outside" && text.kind !== "write";
    return this.decide(unit, isRead ? { ...text, kind: "write" } : text);
  }

  private decide(unit: Unit, text: ForwardText): "wait" | undefined {
    if (text.kind !== "begin" && text.kind !== "readOnlyBegin") unit.runsMore = true;
    return this.desk.decide(unit, text) === "wait" ? "wait" : undefined;
  }

  /** Nothing of it needs a decision: parsed it is where the session is. */
  private settleHere(unit: Unit): void {
    this.settle(unit, this.standing);
  }

  /** It goes to `side`, and so does what was held of it. */
  settle(unit: Unit, side: SideName): void {
    unit.side = side;
    for (const bytes of unit.held.splice(0)) {
      this.desk.deliver(side, bytes);
      const step = side === "writer" ? stepOf(bytes, true) : undefined;
      if (step) unit.steps.push(step);
    }
    if (unit.parses.has("")) this.unnamed = { sql: unit.parses.get(""), side };
  }

  private noteParse(unit: Unit, side: SideName): void {
    if (this.scanner.type !== frontend.parse) return;
    const name = findParseName(this.body);
    if (name === undefined) return;
    const sql = this.isWhole ? parseTextOf(this.body) : undefined;
    unit.parses.set(name, sql);
    if (name === "") this.unnamed = { sql, side };
  }

  private statementOf(unit: Unit, name: string): KnownStatement {
    const known = unit.parses.has(name) ? { sql: unit.parses.get(name) } : undefined;
    const made = known ?? (name === "" ? this.unnamed : undefined);
    if (!made) return this.source.findPrepared(name) ?? unknownStatement;
    if (made.sql === undefined) return unknownStatement;
    return { text: this.resolve(this.source.textOf(made.sql)), sql: made.sql };
  }

  /** EXECUTE is what it executes. */
  private resolve(text: ForwardText): ForwardText {
    if (text.kind !== "execute" || text.executes === undefined) return text;
    const found = this.source.findPrepared(text.executes)?.text ?? unknownText;
    return { ...found, changesSession: text.changesSession };
  }

  private afterMessage(): void {
    const { desk } = this;
    const { type } = this.scanner;
    const unit = desk.unit();
    if (!unit || desk.isAnswering() || unit.side === undefined) return;
    const isEnd =
      type === frontend.sync || type === frontend.query || type === frontend.functionCall;
    if (isEnd) desk.sent(unit);
  }
}

function isBegin({ kind }: ForwardText): boolean {
  return kind === "begin" || kind === "readOnlyBegin";
}

function stepOf(message: Buffer, isWhole: boolean): StatementStep | undefined {
  const body = message.subarray(5);
  if (message[0] === frontend.parse) {
    const name = findParseName(body) ?? "";
    return {
      kind: "parse",
      name,
      bytes: name !== "" && isWhole ? Buffer.from(message) : undefined,
    };
  }
  if (message[0] !== frontend.close) return undefined;
  const closed = findTarget(body);
  const isStatement = closed?.target === "statement" && closed.name !== "";
  return {
    kind: "close",
    name: closed?.name ?? "",
    bytes: isStatement ? Buffer.from(message) : undefined,
  };
}
