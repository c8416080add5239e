import { ProtocolViolation } from "../base/errors.ts";
import {
  type AuditClass,
  auditClassOf,
  type Classified,
  hasPlainNumbers,
  isOfDefinition,
  redacted,
} from "../route/index.ts";
import {
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

/** What is known of a text that a client sends to be run. */
export interface AuditedText {
  readonly class: AuditClass;
  /** Its command tags; "" where it was not parsed. */
  readonly command: string;
  /** Without anything that may be a secret; null where that cannot be told. */
  readonly text: string | null;
  readonly characters: number;
}

export interface StatementTapOptions {
  /** All, or those of definition alone. */
  readonly isAll: boolean;
  /** `isPlain`: UTF-8 and standard_conforming_strings on, so that PostgreSQL reads the text as the parser does. */
  readonly classify: (sql: string, isPlain: boolean) => Classified;
  readonly isPlain: (sql: string) => boolean;
  readonly tell: (statement: AuditedText) => void;
}

/** More names than any driver uses, and longer ones; what has another one is not known. */
const namesMax = 20_000;
const nameCharsMax = 1_024;
/** ... and what it says is not kept of so many. */
const textsMax = 1_000;
/** Longer texts are data, and slow to look through; definitions with the bodies of their functions are longer. */
const shownCharsMax = { data: 16 * 1024, definition: 64 * 1024 };
const textCharsMax = 8 * 1024;
const commandCharsMax = 200;

/** A statement that was prepared. */
interface Known {
  readonly statement: AuditedText;
  /** It was told when it came, which is its first Execute's line, too. */
  isTold: boolean;
}

const unknown: AuditedText = { class: "unknown", command: "", text: null, characters: 0 };
const byNumber: AuditedText = { ...unknown, class: "function", command: "function by number" };

/**
 * Sees what a client sends, and tells each statement that it has run: a Query as it comes, a prepared one with each Execute; a
 * definition when it is prepared, since what the server made of that and later messages is not known here: whatever is run by
 * which name, no definition runs that was not told. It changes nothing, and what is no protocol it leaves to the session. Pure.
 */
export class StatementTap {
  private readonly options: StatementTapOptions;
  private readonly scanner = new MessageScanner(clientHeadOf);
  private readonly statements = new Map<string, Known>();
  private readonly portals = new Map<string, Known>();
  private isBroken = false;

  constructor(options: StatementTapOptions) {
    this.options = options;
  }

  see(chunk: Buffer): void {
    if (this.isBroken) return;
    const { scanner } = this;
    try {
      scanner.begin(chunk);
      while (scanner.next()) this.onMessage();
      if (scanner.isAtBoundary) scanner.letGo();
    } catch (error) {
      // The session says so, and ends.
      if (!(error instanceof ProtocolViolation)) throw error;
      this.isBroken = true;
    }
  }

  private onMessage(): void {
    const { scanner } = this;
    switch (scanner.type) {
      case frontend.query:
        this.tell(this.look(queryTextOf));
        return;
      case frontend.parse:
        this.onParse();
        return;
      case frontend.bind: {
        const names = findBindNames(this.body);
        if (names) remember(this.portals, names.portal, this.statements.get(names.statement));
        // Names too long to be found: any portal may be another one now.
        else this.portals.clear();
        return;
      }
      case frontend.execute: {
        const portal = findExecutePortal(this.body);
        const known = portal === undefined ? undefined : this.portals.get(portal);
        if (known?.isTold === true) known.isTold = false;
        else this.tell(known?.statement ?? unknown);
        return;
      }
      case frontend.close: {
        const closed = findTarget(this.body);
        if (closed?.target === "statement") this.statements.delete(closed.name);
        else if (closed) this.portals.delete(closed.name);
        return;
      }
      case frontend.functionCall:
        if (this.options.isAll) this.options.tell(byNumber);
    }
  }

  private get body(): Buffer {
    const { buffer, start, end } = this.scanner;
    return buffer.subarray(start + 5, Math.min(end, buffer.length));
  }

  private onParse(): void {
    const name = findParseName(this.body);
    if (name === undefined) return;
    const before = name === "" ? undefined : this.statements.get(name)?.statement;
    const now = this.look(parseTextOf);
    const isTold = isOfDefinition(now.class);
    if (isTold) this.options.tell(now);
    // The server refuses a name that is taken, unless it was freed in a way that was not seen: either may be meant.
    const isCertain = before === undefined || isSame(before, now);
    remember(this.statements, name, isCertain ? { statement: now, isTold } : aStranger());
  }

  private look(textOf: (body: Buffer) => string): AuditedText {
    const { scanner, options } = this;
    if (scanner.end > scanner.buffer.length)
      return { ...unknown, characters: scanner.end - scanner.start };
    const sql = textOf(this.body);
    const isPlain = options.isPlain(sql);
    const classified = options.classify(sql, isPlain);
    for (const { deallocates, sessionEffects } of classified.statements) {
      if (deallocates === "*" || sessionEffects.includes("discard")) this.statements.clear();
      else if (deallocates !== undefined) this.statements.delete(deallocates);
    }
    const what = auditClassOf(classified);
    const { length: characters } = sql;
    if (!options.isAll && !isOfDefinition(what))
      return { class: what, command: "", text: null, characters };
    const tags = classified.statements.map(({ tag }) => tag).join("; ");
    const isKnown = isPlain && !classified.parseFailed;
    const text = isKnown ? shownText(sql, classified, what) : null;
    return { class: what, command: cut(tags, commandCharsMax), text, characters };
  }

  private tell(statement: AuditedText): void {
    if (this.options.isAll || isOfDefinition(statement.class)) this.options.tell(statement);
  }
}

function isSame(a: AuditedText, b: AuditedText): boolean {
  return a.class === b.class && a.text === b.text && a.characters === b.characters;
}

function shownText(sql: string, classified: Classified, what: AuditClass): string | null {
  const isDefinition = isOfDefinition(what);
  if (sql.length > shownCharsMax[isDefinition ? "definition" : "data"]) return null;
  const text = redacted(sql, { keepsNumbers: hasPlainNumbers(classified) });
  return text === undefined ? null : cut(text, textCharsMax);
}

function cut(text: string, charsMax: number): string {
  return text.length <= charsMax ? text : `${text.slice(0, charsMax)}…`;
}

function aStranger(): Known {
  return { statement: unknown, isTold: false };
}

function remember(book: Map<string, Known>, name: string, known: Known | undefined): void {
  const isTooMuch = name.length > nameCharsMax || (book.size >= namesMax && !book.has(name));
  if (!known || isTooMuch) {
    book.delete(name);
    return;
  }
  if (book.size < textsMax || known.statement.text === null) book.set(name, known);
  else book.set(name, { ...known, statement: { ...known.statement, text: null } });
}
