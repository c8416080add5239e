import { BorealisError, sqlState } from "../base/errors.ts";
import { compileParsed } from "./command.ts";
import { type EncodedRows, encodeRows } from "./formats.ts";
import { forParser } from "./parser-text.ts";
import type { Prepared } from "./prepared.ts";
import type { ResultColumn } from "./result-row.ts";
import type { Query } from "./select.ts";
import type { SessionFacts } from "./functions.ts";
import type { SettingRow } from "./settings.ts";
import type { SqlType, SqlValue } from "./sql-types.ts";
import { moved, tokensOf } from "./statement-text.ts";
import type { Statement } from "./syntax.ts";
import type { Sight, Source } from "./tables.ts";

/** What a statement may know of its session, as plain data. */
export interface SessionData extends Omit<SessionFacts, "setting"> {
  /** Those that it may ask for. */
  readonly settings: readonly SettingRow[];
}

/** A SELECT as written, and its parameters' types as the client declared them. */
export interface SelectText {
  readonly text: string;
  readonly types: readonly (SqlType | undefined)[];
}

export interface PrepareOrder {
  readonly kind: "prepare";
  readonly statement: SelectText;
  readonly session: SessionData;
}

export interface RunOrder {
  readonly kind: "run";
  readonly statement: SelectText;
  readonly session: SessionData;
  readonly parameters: readonly SqlValue[];
  /** Of each column of the result. */
  readonly isBinary: readonly boolean[];
  readonly sight: Sight;
}

/** What can be known of a SELECT before it is run. */
export interface Plan {
  readonly columns: readonly ResultColumn[];
  readonly parameters: readonly SqlType[];
  readonly sources: ReadonlySet<Source>;
}

/** What passes between the thread that evaluates and who asks it; all of it is plain data. */
export type Order = (PrepareOrder | RunOrder) & { readonly id: number };

export type Outcome =
  | { readonly kind: "prepared"; readonly plan: Plan }
  | { readonly kind: "rows"; readonly rows: EncodedRows };

export type FromEvaluator =
  /** It may be asked. */
  | { readonly kind: "ready" }
  | { readonly kind: "done"; readonly id: number; readonly outcome: Outcome }
  | { readonly kind: "failed"; readonly id: number; readonly error: ErrorData }
  /** Something of ours is broken. */
  | { readonly kind: "broken"; readonly id: number; readonly reason: string };

export type ErrorData = Pick<BorealisError, "code" | "message" | "detail" | "hint" | "position">;

/** Raises BorealisError with its place in the text that it is given. */
export type Parser = (text: string) => readonly Statement[];

/** Trees that are kept: what is prepared is run next, as a rule. */
const treesMax = 50;
/** A tree is some hundred times as large as its text. */
const treesTextMax = 32 * 1024;

/** Compiles and runs SELECTs, one at a time; remembers nothing but trees, so that it can be lost at any moment. */
export class Evaluator {
  private readonly parse: Parser;
  private readonly trees = new Map<string, readonly Statement[]>();

  constructor(parse: Parser) {
    this.parse = parse;
  }

  /** Raises BorealisError with its place in the statement. */
  answer(order: PrepareOrder | RunOrder): Outcome {
    const { text, originalOf } = forParser(tokensOf(order.statement.text));
    try {
      const query = this.compile(text, order);
      if (order.kind === "prepare") {
        const { columns, parameters, sources } = query;
        return { kind: "prepared", plan: { columns, parameters, sources } };
      }
      const rows = query.run(order.sight, order.parameters);
      return { kind: "rows", rows: encodeRows(rows, query.columns, order.isBinary) };
    } catch (error) {
      throw error instanceof BorealisError ? moved(error, originalOf) : error;
    }
  }

  private compile(
    text: string,
    { statement, session }: PrepareOrder | RunOrder,
  ): Query & Pick<Prepared, "parameters"> {
    const settings = new Map(
      session.settings.map(({ name, value }) => [name.toLowerCase(), value]),
    );
    const facts = { ...session, setting: (name: string) => settings.get(name) };
    return compileParsed({ text }, this.treeOf(text), { session: facts, types: statement.types });
  }

  private treeOf(text: string): readonly Statement[] {
    const kept = this.trees.get(text);
    if (kept) return kept;
    const tree = this.parse(text);
    this.trees.set(text, tree);
    let length = [...this.trees.keys()].reduce((sum, key) => sum + key.length, 0);
    for (const oldest of this.trees.keys()) {
      if (oldest === text || (this.trees.size <= treesMax && length <= treesTextMax)) break;
      this.trees.delete(oldest);
      length -= oldest.length;
    }
    return tree;
  }
}

/** For an error that passes between threads, which takes its class away. */
export function errorData({ code, message, detail, hint, position }: BorealisError): ErrorData {
  return { code, message, detail, hint, position };
}

export function errorOf({ code, message, detail, hint, position }: ErrorData): BorealisError {
  return new BorealisError(code, message, {
    ...(detail !== undefined && { detail }),
    ...(hint !== undefined && { hint }),
    ...(position !== undefined && { position }),
  });
}

/** `at`: in UTF-16 units. */
export function syntaxError(message: string, at: number): BorealisError {
  return new BorealisError(sqlState.syntaxError, message, {
    position: at + 1,
    hint: "The admin database knows a part of PostgreSQL's SELECT; its documentation says which.",
  });
}
