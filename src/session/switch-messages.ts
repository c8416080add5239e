import {
  encodeParse,
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
import { unnamedElsewhere } from "./farewells.ts";
import { unparsable } from "./client-messages.ts";
import { type ForwardText, portalText, refusalAtWriter, unknownText } from "./forward-decision.ts";
import {
  type Destination,
  type KnownStatement,
  newUnit,
  type SideName,
  stepOf,
  type TextSource,
  type Unit,
  type UnitDesk,
} from "./switch-unit.ts";

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
        return this.onFunctionCall(unit);
      case frontend.copyData:
      case frontend.copyDone:
      case frontend.copyFail:
        if (unit && type !== frontend.copyData) unit.isCopying = false;
        return unit?.side ?? this.standing; // of a COPY that has ended: it is ignored there
      default:
        return this.onBatch(unit);
    }
  }

  private whileAnswering(unit: Unit): Destination | "wait" {
    const { type } = this.scanner;
    const side = unit.side ?? "reader";
    const isEnd = type === frontend.copyDone || type === frontend.copyFail;
    if (isEnd) unit.isCopyEnded = true;
    if (isEnd || type === frontend.copyData || type === frontend.flush) return side;
    if (!unit.isCopying) return "wait";
    // A Sync that came before the data counted for nothing; and what else comes amid the data is an error of PostgreSQL's.
    return !unit.isCopyEnded || (unit.kind === "batch" && type === frontend.sync) ? side : "wait";
  }

  /** Where goes what needs no decision. */
  private get standing(): SideName {
    return this.desk.place() === "writing" ? "writer" : "reader";
  }

  private onFunctionCall(open: Unit | undefined): Destination | "wait" {
    const { desk } = this;
    if (open?.kind === "batch") return this.endBatch(open);
    const unit = open ?? newUnit("function");
    if (!open) desk.open(unit);
    unit.runsMore = true;
    if (!unit.isRefused) {
      if (desk.look(unit) === "wait") return "wait";
      unit.side = this.standing;
    }
    return this.unlessRefused(unit);
  }

  /** It ends the unsynced messages before it, wherever they are. */
  private endBatch(unit: Unit): Destination {
    unit.runsMore = true;
    if (unit.side === undefined) this.settleHere(unit);
    return unit.isRefused ? "drop" : (unit.side ?? "reader");
  }

  /** Of a unit that is one message. */
  private unlessRefused({ side = "reader", isRefused }: Unit): Destination {
    if (!isRefused) return side;
    this.desk.deliver(side, refusedQuery);
    return "drop";
  }

  private onQuery(open: Unit | undefined): Destination | "wait" {
    const { desk } = this;
    if (open?.kind === "batch") return this.endBatch(open);
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
    return this.unlessRefused(unit);
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
    if (side === "writer" && type === frontend.bind && !unit.isRefused) this.judgeAtWriter(unit);
    if (unit.isRefused) return "drop";
    if (side === "writer") {
      const step = stepOf(this.bytes, this.isWhole);
      if (step) unit.steps[step.kind].pushBack(step);
    }
    this.noteParse(unit, side);
    return side;
  }

  /** The first of a batch that is bound decides where it goes; what follows may be nothing for the writer's session. */
  private judgeAtWriter(unit: Unit): void {
    const names = findBindNames(this.body);
    const { text } = names ? this.statementOf(unit, names.statement) : unknownStatement;
    const error = refusalAtWriter(text);
    if (error) this.desk.refuse(unit, "writer", error);
  }

  /** The batch is not decided. Undefined: now it is. */
  private gather(unit: Unit): Destination | "wait" | undefined {
    const { desk } = this;
    const { type } = this.scanner;
    switch (type) {
      case frontend.bind:
        return this.onBind(unit);
      case frontend.execute:
        if (unit.hasQuiet && findExecutePortal(this.body) !== undefined) return "hold";
        return this.decide(unit, portalText);
      case frontend.sync:
        return this.lookAndSettle(unit);
      case frontend.flush:
        if (unit.hasQuiet) {
          // What follows is run where this is: it may read.
          if (desk.look(unit) === "wait") return "wait";
          return this.decide(unit, unit.runsMore ? portalText : (unit.begin?.text ?? portalText));
        }
        if (this.standing === "writer") return this.lookAndSettle(unit);
        if (this.looks(unit) === "wait") return "wait";
        // The client waits for these answers before it says what is to be run.
        unit.isOnReader = true;
        this.sendAhead(unit);
        return "reader";
      default:
        if (unit.heldBytes > heldBytesMax || !this.isWhole) {
          unit.looks = true;
          return this.lookAndSettle(unit);
        }
        if (this.describesElsewhere(unit)) return this.onElsewhere(unit, portalText);
        this.noteParse(unit, this.standing);
        unit.looks ||= this.isLook(unit);
        return "hold";
    }
  }

  /** Whether a Parse, Describe or Close looks at what is in the database. */
  private isLook(unit: Unit): boolean {
    const { type } = this.scanner;
    if (type === frontend.parse)
      return this.statementOf(unit, findParseName(this.body) ?? "").text.readsData;
    const target = type === frontend.describe ? findTarget(this.body) : undefined;
    return target?.target === "statement" && this.statementOf(unit, target.name).text.readsData;
  }

  private describesElsewhere(unit: Unit): boolean {
    if (this.scanner.type !== frontend.describe || this.isUnnamedHere || unit.parses.has(""))
      return false;
    const { target, name } = findTarget(this.body) ?? {};
    return target === "statement" && name === "";
  }

  private looks(unit: Unit): "decided" | "wait" {
    return unit.looks ? this.desk.look(unit) : "decided";
  }

  /** Nothing of it needs a decision: parsed it is where the session is. */
  private lookAndSettle(unit: Unit): "wait" | undefined {
    if (this.looks(unit) === "wait") return "wait";
    if (unit.side === undefined) this.settleHere(unit);
    return undefined;
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
    const bindsUnnamed = names?.statement === "" && !unit.parses.has("");
    if (bindsUnnamed && !this.isUnnamedHere) return this.onElsewhere(unit, text);
    if (this.isWhole && this.isQuiet(unit, text, sql)) {
      unit.hasQuiet = true;
      if (isBegin(text) && sql !== undefined) unit.begin = { text, sql };
      else unit.runsMore = true;
      return "hold";
    }
    // What the batch has run before is the session's own: so is the rest of it.
    if (unit.runsMore && text.kind === "write")
      return this.decide(unit, { ...text, kind: "other" });
    unit.runsMore = true;
    unit.needsUnnamed = bindsUnnamed;
    return this.decide(unit, text);
  }

  /** The unnamed statement was made on the writer: where the session is, that name means an older one, or none. */
  private onElsewhere(unit: Unit, text: ForwardText): "wait" | undefined {
    const place = this.desk.place();
    const isForwarded = place === "writing" || place === "outside" || place === "begun";
    if (isForwarded && !unit.runsMore) return this.decide(unit, { ...text, kind: "write" });
    this.desk.refuse(unit, "reader", unnamedElsewhere);
    return undefined;
  }

  /** It reads nothing, so that the batch may still go either way, or wait before it reads. */
  private isQuiet(unit: Unit, text: ForwardText, sql: string | undefined): boolean {
    const place = this.desk.place();
    if (place === "writing" || place === "failed" || text.readsData) return false;
    // The client's own text is needed to open a transaction elsewhere.
    if (isBegin(text)) return sql === undefined || unit.begin === undefined;
    return true;
  }

  private decide(unit: Unit, text: ForwardText): "wait" | undefined {
    if (text.kind !== "begin" && text.kind !== "readOnlyBegin") unit.runsMore = true;
    return this.desk.decide(unit, text) === "wait" ? "wait" : undefined;
  }

  private settleHere(unit: Unit): void {
    this.settle(unit, this.standing);
  }

  /** It goes to `side`, and so does what was held of it. */
  settle(unit: Unit, side: SideName): void {
    unit.side = side;
    for (const bytes of unit.held.splice(0)) {
      this.desk.deliver(side, bytes);
      const step = side === "writer" ? stepOf(bytes, true) : undefined;
      if (step) unit.steps[step.kind].pushBack(step);
    }
    if (unit.parses.has("")) this.unnamed = { sql: unit.parses.get(""), side };
  }

  /** What came before the error is answered as it is; then comes the error, and nothing more before the Sync. */
  refuse(unit: Unit, side: SideName): void {
    unit.isRefused = true;
    if (unit.kind !== "batch") {
      unit.side = side;
      return;
    }
    this.settle(unit, side);
    this.unnamed = { sql: undefined, side };
    this.desk.deliver(side, encodeParse("", unparsable));
  }

  /** The unnamed statement is where the session is: for another server it has to be made there. */
  get isUnnamedHere(): boolean {
    return this.unnamed?.side !== "writer";
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
    return this.source.findPrepared(text.executes)?.text ?? portalText;
  }

  private afterMessage(): void {
    const { desk } = this;
    const { type } = this.scanner;
    const unit = desk.unit();
    if (!unit || desk.isAnswering() || unit.side === undefined) return;
    const isMessage = type === frontend.query || type === frontend.functionCall;
    // Of a batch that has failed PostgreSQL looks at nothing before its Sync.
    const isSkipped = unit.isRefused && unit.kind === "batch";
    if (type === frontend.sync || (isMessage && !isSkipped)) desk.sent(unit);
  }
}

function isBegin({ kind }: ForwardText): boolean {
  return kind === "begin" || kind === "readOnlyBegin";
}
