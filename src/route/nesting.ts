import { skipToken } from "./scan.ts";

/**
 * Of the characters of operators, of brackets, and of words that nest. The parser's stack bears 2,600 of the worst (a SELECT in brackets, two of
 * these) and 5,700 of all others; what has 500 operators in a row is not judged even where it was parsed.
 */
const nestingMax = 2_000;

const token =
  /['"$;,()[\]]|--|\/\*|[-+*/<>=~!@#%^&|`?:]|[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/g;
/** What stands in it is no part of the grammar. */
const opaque = new Set(["'", '"', "$", "--", "/*"]);
/** Each holds all that stands to its left, or its right, whatever else is on the list that it stands in. */
const joining = new Set(["union", "intersect", "except", "join"]);
const chaining = new Set(
  "not is isnull notnull in like ilike similar between collate at operator".split(" "),
);
/** The grammar keeps a row of these flat, and the arms of a CASE. */
const flat = new Set(["and", "or", "when", "then", "else"]);

const longestWord = "intersect".length;

/** What is open, between a bracket (or CASE) and its end. */
interface Level {
  readonly isCase: boolean;
  joins: number;
  chain: number;
}

/** Whether a text may nest too deep for the parser, told by one pass over its words. Of most the length says so. */
export function nests(sql: string): boolean {
  return sql.length > nestingMax && new Nesting().isTooDeep(sql);
}

class Nesting {
  private readonly outer: Level[] = [];
  private level: Level = newLevel(false);
  /** Of all levels around this one. */
  private outerDepth = 0;

  isTooDeep(sql: string): boolean {
    token.lastIndex = 0;
    for (let found = token.exec(sql); found; found = token.exec(sql)) {
      const [word] = found;
      if (opaque.has(word)) token.lastIndex = skipToken(sql, found.index);
      else this.next(word);
      if (this.outerDepth + this.level.joins + this.level.chain > nestingMax) return true;
    }
    return false;
  }

  private next(word: string): void {
    const { level } = this;
    if (word === "(" || word === "[") this.open(false);
    else if (word === ")" || word === "]") this.close();
    else if (word === ",") level.chain = 0;
    else if (word === ";") level.chain = level.joins = 0;
    else if (!/^[a-z_\u0080-\uffff]/i.test(word)) level.chain++;
    else this.nextWord(word.length > longestWord ? "" : word.toLowerCase());
  }

  private nextWord(word: string): void {
    const { level } = this;
    if (word === "case") this.open(true);
    else if (word === "end" && level.isCase) this.leave();
    else if (joining.has(word)) level.joins++;
    else if (chaining.has(word)) level.chain++;
    else if (flat.has(word)) level.chain = 0;
  }

  private open(isCase: boolean): void {
    const { joins, chain } = this.level;
    this.outerDepth += 1 + joins + chain;
    this.outer.push(this.level);
    this.level = newLevel(isCase);
  }

  /** A bracket ends what CASE has left open in it. */
  private close(): void {
    while (this.level.isCase) this.leave();
    this.leave();
  }

  private leave(): void {
    const level = this.outer.pop();
    this.level = level ?? newLevel(false);
    if (level) this.outerDepth -= 1 + level.joins + level.chain;
  }
}

function newLevel(isCase: boolean): Level {
  return { isCase, joins: 0, chain: 0 };
}
