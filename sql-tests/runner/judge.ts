import { createHash } from "node:crypto";
import type { Outcome } from "./exchange.ts";
import type { ExpectedResult, Expectation, SqlRecord } from "./record.ts";
import type { Notice } from "./session.ts";

/** What is wrong, as lines for a person; undefined if nothing is. */
export type Verdict = string | undefined;

export interface JudgeContext {
  /** Results with more values are compared as a hash; 0 for never. */
  readonly hashThreshold: number;
  /** Hashes of labelled results so far: the same label, the same result. */
  readonly labels: Map<string, string>;
}

/** Judges one record by what came back. */
export function judge(
  record: SqlRecord,
  outcome: Outcome,
  notices: readonly Notice[],
  context: JudgeContext,
): Verdict {
  const unexpected =
    judgeExpectation(record.expectation, outcome) ?? judgeNotice(record.prefixes.notice, notices);
  if (unexpected !== undefined) return unexpected;
  if (record.copyOut) return difference(record.copyOut, outcome.copyOut);
  return record.result ? judgeResult(record.result, outcome, context) : undefined;
}

function judgeExpectation(expectation: Expectation, { error, affected }: Outcome): Verdict {
  if (expectation.kind !== "error") {
    if (error) return `failed: ${error.message} (${error.code ?? "no SQLSTATE"})`;
    if (expectation.kind === "count" && affected !== expectation.count) {
      return `expected a count of ${expectation.count}, got ${affected ?? "none"}`;
    }
    return undefined;
  }
  const { sqlState, pattern } = expectation;
  const wanted = [sqlState, pattern].filter((part) => part !== undefined).join(" ");
  if (!error) return `expected an error${wanted && ` (${wanted})`}, but it succeeded`;
  const got = `${error.message} (${error.code ?? "no SQLSTATE"})`;
  if (sqlState !== undefined && error.code !== sqlState)
    return `expected error ${sqlState}, got ${got}`;
  if (pattern !== undefined && !new RegExp(pattern).test(error.message)) {
    return `expected an error like /${pattern}/, got ${got}`;
  }
  return undefined;
}

function judgeNotice(wanted: string | undefined, notices: readonly Notice[]): Verdict {
  if (wanted === undefined) return undefined;
  const isThere = notices.some(
    ({ code, message }) => code === wanted || new RegExp(wanted).test(message),
  );
  if (isThere) return undefined;
  const came = notices.map(({ code, message }) => `${message} (${code ?? "no SQLSTATE"})`);
  return `expected a notice like "${wanted}", got ${came.length > 0 ? came.join("; ") : "none"}`;
}

function judgeResult(expected: ExpectedResult, outcome: Outcome, context: JudgeContext): Verdict {
  const { types, sort, label } = expected;
  if (outcome.columns !== types.length) {
    return `expected ${types.length} columns (${types}), got ${outcome.columns}`;
  }
  let rows = outcome.rows.map((row) =>
    row.map((value, column) => formatValue(types[column] ?? "T", value)),
  );
  if (sort === "rowsort") rows = rows.toSorted((a, b) => compareText(a.join("\t"), b.join("\t")));
  let values = rows.flat();
  if (sort === "valuesort") {
    values = values.toSorted(compareText);
    rows = values.map((value) => [value]);
  }
  const hash = hashOf(values);
  if (label !== undefined) {
    const known = context.labels.get(label);
    context.labels.set(label, hash);
    if (known !== undefined && known !== hash)
      return `differs from the other results labelled "${label}"`;
  }
  const hashed = /^(\d+) values hashing to ([0-9a-f]{32})$/.exec(expected.lines[0] ?? "");
  if (hashed) {
    const isSame = Number(hashed[1]) === values.length && hashed[2] === hash;
    return isSame
      ? undefined
      : difference([...expected.lines], [`${values.length} values hashing to ${hash}`]);
  }
  // A label with a result left out: only that all of its results are the same is checked.
  if (label !== undefined && expected.lines.length === 0) return undefined;
  if (context.hashThreshold > 0 && values.length > context.hashThreshold) {
    return difference([...expected.lines], [`${values.length} values hashing to ${hash}`]);
  }
  return compareRows(expected.lines, rows, values);
}

/** Results are written one value a line, as sqllogictest does, or one row a line. */
function compareRows(
  expected: readonly string[],
  rows: readonly string[][],
  values: readonly string[],
): Verdict {
  const isByValue = expected.length === values.length && rows.length !== values.length;
  if (isByValue) return difference(expected, values);
  const actual = rows.map((row) => row.join("\t"));
  const isSame =
    expected.length === rows.length &&
    expected.every((line, index) => isSameRow(line, actual[index] ?? ""));
  return isSame ? undefined : difference(expected, actual);
}

/** Columns apart by tabs compare exactly; otherwise runs of space count as one. */
function isSameRow(expected: string, actual: string): boolean {
  if (expected.trimEnd() === actual.trimEnd()) return true;
  if (expected.includes("\t")) return false;
  return squeeze(expected) === squeeze(actual);
}

function squeeze(line: string): string {
  return line.trim().replace(/\s+/g, " ");
}

/** The text of a value by its declared type: I whole, R with three decimals, B in words, T printable. */
export function formatValue(type: string, value: string | null): string {
  if (value === null) return "NULL";
  switch (type) {
    case "I":
      if (value === "t") return "1";
      if (value === "f") return "0";
      return /^-?\d+\.\d+$/.test(value) ? String(Math.trunc(Number(value))) : value;
    case "R":
      return Number.isFinite(Number(value)) ? Number(value).toFixed(3) : value;
    case "B":
      return value === "t" ? "true" : value === "f" ? "false" : value;
    default:
      return value === "" ? "(empty)" : escapeControls(value);
  }
}

function escapeControls(value: string): string {
  return value
    .replaceAll("\n", String.raw`\n`)
    .replaceAll("\t", String.raw`\t`)
    .replaceAll("\r", String.raw`\r`);
}

/** By code unit, whatever the locale. */
function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

export function hashOf(values: readonly string[]): string {
  const hash = createHash("md5");
  for (const value of values) hash.update(`${value}\n`);
  return hash.digest("hex");
}

const linesShownMax = 40;

/** Expected and actual side by side; undefined if they are equal. */
export function difference(expected: readonly string[], actual: readonly string[]): Verdict {
  const count = Math.max(expected.length, actual.length);
  const lines: string[] = [];
  let isEqual = expected.length === actual.length;
  for (let index = 0; index < count; index++) {
    const [wanted, got] = [expected[index]?.trimEnd(), actual[index]?.trimEnd()];
    if (wanted === got) {
      lines.push(`    ${wanted ?? ""}`);
      continue;
    }
    isEqual = false;
    if (wanted !== undefined) lines.push(`  - ${wanted}`);
    if (got !== undefined) lines.push(`  + ${got}`);
  }
  if (isEqual) return undefined;
  const hidden = lines.length - linesShownMax;
  const shown =
    hidden > 0 ? [...lines.slice(0, linesShownMax), `    … ${hidden} more lines`] : lines;
  return ["wrong result (- expected, + actual):", ...shown].join("\n");
}
