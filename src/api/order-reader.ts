import { BorealisError, sqlState } from "../base/errors.ts";
import { requireParameter } from "./limits.ts";
import type { SqlValue } from "./sql-types.ts";
import { plainText, type Token } from "./statement-text.ts";

/** Names are much shorter, and so are moments. */
const nameMax = 200;
/** Of a setting. */
const valueMax = 10_000;
/** There are 16 instances and six storage nodes. */
const listMax = 100;
const tierMax = 15;

/**
 * Reads what stands behind a command's first words, one thing after the other. Each raises 42601 for something else, with the
 * command's usage for a hint, and 22023 or 54000 for a value that cannot be.
 */
export class OrderReader {
  private readonly tokens: readonly Token[];
  private readonly usage: string;
  private readonly values: readonly SqlValue[] | undefined;
  private at = 0;
  parameterCount = 0;

  constructor(tokens: readonly Token[], usage: string, values: readonly SqlValue[] | undefined) {
    this.tokens = tokens;
    this.usage = usage;
    this.values = values;
  }

  isAt(...words: readonly string[]): boolean {
    const next = this.tokens[this.at];
    return next?.kind === "word" && words.includes(next.text);
  }

  requireAt(...words: readonly string[]): void {
    if (!this.isAt(...words)) throw this.unexpected();
  }

  accepts(word: string): boolean {
    const isThere = this.isAt(word);
    if (isThere) this.at++;
    return isThere;
  }

  expects(word: string): void {
    this.requireAt(word);
    this.at++;
  }

  /** Up to the end, each once at most, in any order. */
  clauses(known: Readonly<Record<string, () => void>>): void {
    const left = new Map(Object.entries(known));
    while (this.at < this.tokens.length) {
      const word = this.tokens[this.at];
      const take = word?.kind === "word" ? left.get(word.text) : undefined;
      if (!word || !take) throw this.unexpected();
      left.delete(word.text);
      this.at++;
      take();
    }
  }

  end(): void {
    if (this.at < this.tokens.length) throw this.unexpected();
  }

  maybeName(): string | null {
    return this.at < this.tokens.length ? this.name() : null;
  }

  /** In quotes of either kind, a parameter, or bare with what stands right behind it: instance-2. */
  name(): string {
    const next = this.tokens[this.at];
    if (next?.kind === "word") return this.bareName();
    if (next?.kind !== "quoted") return this.literal();
    this.at++;
    return fitting(plainText(next));
  }

  /** A string or a parameter. */
  literal(charactersMax = nameMax): string {
    const next = this.tokens[this.at];
    if (next?.kind === "parameter") return this.parameter(charactersMax) ?? "";
    // Bits, of any base, are no text.
    if (next?.kind !== "string" || /^[bx]/i.test(next.text)) throw this.unexpected();
    this.at++;
    return fitting(plainText(next), charactersMax);
  }

  /** = DEFAULT or TO DEFAULT: then nothing is left of it to read. */
  assignsDefault(): boolean {
    const [sign, word] = this.tokens.slice(this.at);
    const isThere =
      (sign?.text === "=" || sign?.text === "to") &&
      word?.kind === "word" &&
      word.text === "default";
    if (isThere) this.at += 2;
    return isThere;
  }

  /** Behind = or TO. In quotes, a parameter, a number, or a word. */
  assigned(): string {
    if (!this.accepts("to") && !this.acceptsSign("=")) throw this.unexpected();
    const next = this.tokens[this.at];
    const isBare = next?.kind === "word" || next?.kind === "number" || next?.text === "-";
    return isBare ? this.bareName() : this.literal(valueMax);
  }

  private bareName(): string {
    let text = "";
    let end: number | undefined;
    for (let next = this.tokens[this.at]; next; next = this.tokens[this.at]) {
      const isPart = ["word", "number"].includes(next.kind) || ["-", "."].includes(next.text);
      if (!isPart || (end !== undefined && next.start !== end)) break;
      text += next.text;
      end = next.end;
      this.at++;
    }
    return fitting(text);
  }

  names(): string[] {
    const names = [this.name()];
    while (this.acceptsSign(",")) {
      if (names.length >= listMax) throw tooMany;
      names.push(this.name());
    }
    return names;
  }

  namesInParentheses(): string[] {
    if (!this.acceptsSign("(")) throw this.unexpected();
    if (this.acceptsSign(")")) return [];
    const names = this.names();
    if (!this.acceptsSign(")")) throw this.unexpected();
    return names;
  }

  tier(): number {
    const next = this.tokens[this.at];
    const isParameter = next?.kind === "parameter";
    const said = isParameter ? (this.parameter() ?? "0") : next?.text;
    if (!isParameter) {
      if (next?.kind !== "number") throw this.unexpected();
      this.at++;
    }
    if (said !== undefined && /^\d{1,2}$/.test(said) && Number(said) <= tierMax)
      return Number(said);
    throw new BorealisError(sqlState.invalidParameter, `TIER takes a number from 0 to ${tierMax}`, {
      hint: "the reader of the lowest tier is promoted first",
      ...(next && !isParameter && { position: next.start + 1 }),
    });
  }

  endpointType(): "reader" | "any" {
    const next = this.tokens[this.at];
    const isUnknown = next?.kind === "parameter" && this.values === undefined;
    const type = this.name();
    if (type === "reader" || type === "any") return type;
    if (isUnknown) return "any";
    throw new BorealisError(sqlState.invalidParameter, `TYPE takes reader or any, not "${type}"`, {
      hint: "reader: readers only; any: the writer, too",
    });
  }

  refusal(why: string): BorealisError {
    return new BorealisError(sqlState.syntaxError, why, { hint: `It is ${this.usage}` });
  }

  /** Undefined: nobody knows yet. */
  private parameter(charactersMax = nameMax): string | undefined {
    const { text = "" } = this.tokens[this.at] ?? {};
    const number = Number(text.slice(1));
    requireParameter(number);
    this.at++;
    this.parameterCount = Math.max(this.parameterCount, number);
    if (this.values === undefined) return undefined;
    const value = this.values[number - 1] ?? null;
    if (typeof value === "string" || typeof value === "bigint")
      return fitting(String(value), charactersMax);
    throw new BorealisError(
      sqlState.invalidParameter,
      `parameter ${text} is ${value === null ? "null" : "no text"}`,
      { hint: `It is ${this.usage}` },
    );
  }

  private acceptsSign(sign: string): boolean {
    const next = this.tokens[this.at];
    const isThere = next?.kind === "other" && next.text === sign;
    if (isThere) this.at++;
    return isThere;
  }

  private unexpected(): BorealisError {
    const next = this.tokens[this.at];
    const hint = `It is ${this.usage}`;
    if (!next)
      return new BorealisError(sqlState.syntaxError, "syntax error at end of input", { hint });
    // What has no end may be long.
    const message = `syntax error at or near "${next.text.slice(0, nameMax)}"`;
    return new BorealisError(sqlState.syntaxError, message, { hint, position: next.start + 1 });
  }
}

const tooMany = new BorealisError(
  sqlState.limitExceeded,
  `a list in a command has ${listMax} names at most`,
);

function fitting(name: string, charactersMax = nameMax): string {
  if (name.length <= charactersMax) return name;
  throw new BorealisError(
    sqlState.limitExceeded,
    `a ${charactersMax === nameMax ? "name" : "value"} in a command has ${charactersMax} characters at most`,
  );
}
