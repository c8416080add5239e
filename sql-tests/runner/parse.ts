import { parseExpectation, parsePrefix } from "./parse-line.ts";
import {
  type ConnectionRecord,
  type ControlRecord,
  FormatError,
  type LoopRecord,
  type NotificationRecord,
  type Prefixes,
  type SqlRecord,
  type TestRecord,
} from "./record.ts";

const separator = "----";

export const noPrefixes: Prefixes = {
  conditions: [],
  connection: "default",
  isBackground: false,
  bind: undefined,
  prepared: undefined,
  fetch: undefined,
  notice: undefined,
};

/** Parses a whole file. Raises FormatError with the line. */
export function parseTestFile(text: string): TestRecord[] {
  return new Parser(text).records();
}

class Parser {
  private readonly lines: readonly string[];
  private at = 0;
  private prefixes = noPrefixes;

  constructor(text: string) {
    this.lines = text.split(/\r?\n/);
  }

  /** Records up to the end of the file, or of the loop that started at `loopLine`. */
  records(loopLine?: number): TestRecord[] {
    const records: TestRecord[] = [];
    for (;;) {
      const line = this.lines[this.at];
      if (line === undefined) {
        if (loopLine !== undefined) throw new FormatError(loopLine, "a loop without its endloop");
        if (this.prefixes !== noPrefixes)
          throw new FormatError(this.at, "a prefix without its record");
        return records;
      }
      this.at++;
      if (line.trim() === "" || line.startsWith("#")) continue;
      const [word = "", ...rest] = line.trim().split(/\s+/);
      if (word === "endloop") {
        if (loopLine === undefined) throw new FormatError(this.at, "endloop without a loop");
        return records;
      }
      const record = this.record(word, rest, line.trim());
      if (record) records.push(record);
    }
  }

  private record(word: string, rest: string[], line: string): TestRecord | undefined {
    switch (word) {
      case "statement":
        return this.statement(rest);
      case "query":
        return this.query(rest);
      case "copy":
        return this.copy(rest);
      case "loop":
      case "foreach":
        return this.loop(word, rest);
      case "wait":
      case "blocked":
      case "reconnect":
      case "cancel":
        return this.onConnection(word);
      case "notification":
        return this.notification(rest);
      case "halt":
      case "hash-threshold":
      case "protocol":
      case "database":
        return this.control(word, rest);
      default: {
        const prefixes = parsePrefix(word, rest, { line, at: this.at, prefixes: this.prefixes });
        this.prefixes = prefixes;
        return undefined;
      }
    }
  }

  private takePrefixes(): Prefixes {
    const prefixes = this.prefixes;
    this.prefixes = noPrefixes;
    return prefixes;
  }

  /** Lines up to a blank one, the separator, or the end of the file. */
  private block(): string[] {
    const block: string[] = [];
    for (;;) {
      const line = this.lines[this.at];
      if (line === undefined || line.trim() === "" || line.trim() === separator) return block;
      block.push(line);
      this.at++;
    }
  }

  /** The lines after a separator, if there is one. */
  private results(): string[] | undefined {
    if (this.lines[this.at]?.trim() !== separator) return undefined;
    this.at++;
    const results: string[] = [];
    for (;;) {
      const line = this.lines[this.at];
      if (line === undefined || line.trim() === "") return results;
      results.push(line);
      this.at++;
    }
  }

  private sqlRecord(line: number, parts: Partial<SqlRecord>): SqlRecord {
    const sql = this.block();
    if (sql.length === 0 && !this.prefixes.prepared)
      throw new FormatError(line, "a record without SQL");
    return {
      kind: "sql",
      line,
      prefixes: this.takePrefixes(),
      sql: sql.join("\n"),
      expectation: { kind: "ok" },
      result: undefined,
      copyIn: undefined,
      copyOut: undefined,
      ...parts,
    };
  }

  private statement(rest: string[]): SqlRecord {
    const line = this.at;
    return this.sqlRecord(line, { expectation: parseExpectation(rest, line) });
  }

  private query(rest: string[]): SqlRecord {
    const line = this.at;
    const [types = "", ...options] = rest;
    if (types === "error") {
      return this.sqlRecord(line, { expectation: parseExpectation(rest, line) });
    }
    if (!/^[TIRB]+$/.test(types))
      throw new FormatError(line, `column types "${types}": each is T, I, R or B`);
    const [first, second, ...more] = options;
    const isSort = first === "nosort" || first === "rowsort" || first === "valuesort";
    const label = isSort ? second : first;
    if (more.length > 0 || (!isSort && second !== undefined)) {
      throw new FormatError(line, `too many words after "query ${types}"`);
    }
    const record = this.sqlRecord(line, {});
    const lines = this.results() ?? [];
    return { ...record, result: { types, sort: isSort ? first : "nosort", label, lines } };
  }

  private copy(rest: string[]): SqlRecord {
    const line = this.at;
    const [direction, ...expected] = rest;
    if (direction === "in") {
      const expectation = parseExpectation(expected.length > 0 ? expected : ["ok"], line);
      const record = this.sqlRecord(line, { expectation });
      return { ...record, copyIn: this.results() ?? [] };
    }
    if (direction !== "out") throw new FormatError(line, "copy in [EXPECTATION], or copy out");
    const record = this.sqlRecord(line, {});
    return { ...record, copyOut: this.results() ?? [] };
  }

  private loop(word: string, rest: string[]): LoopRecord {
    const line = this.at;
    const [variable = "", ...given] = rest;
    if (!/^\w+$/.test(variable)) throw new FormatError(line, `${word} VARIABLE ...`);
    if (this.prefixes !== noPrefixes) throw new FormatError(line, "a loop takes no prefixes");
    return {
      kind: "loop",
      line,
      variable,
      values: word === "loop" ? range(given, line) : given,
      body: this.records(line),
    };
  }

  private onConnection(kind: ConnectionRecord["kind"]): ConnectionRecord {
    return { kind, line: this.at, prefixes: this.takePrefixes() };
  }

  private notification(rest: string[]): NotificationRecord {
    const [channel, ...payload] = rest;
    if (channel === undefined)
      throw new FormatError(this.at, "notification CHANNEL [PAYLOAD], or notification none");
    const expected = channel === "none" ? undefined : { channel, payload: payload.join(" ") };
    return { kind: "notification", line: this.at, prefixes: this.takePrefixes(), expected };
  }

  private control(word: string, rest: string[]): ControlRecord {
    const line = this.at;
    const [value = ""] = rest;
    if (word === "halt") {
      return {
        kind: "control",
        line,
        control: { kind: "halt", conditions: this.takePrefixes().conditions },
      };
    }
    if (word === "database") return { kind: "control", line, control: { kind: "database" } };
    if (word === "protocol") {
      if (value !== "simple" && value !== "extended")
        throw new FormatError(line, "protocol simple|extended");
      return { kind: "control", line, control: { kind: "protocol", protocol: value } };
    }
    if (!/^\d+$/.test(value)) throw new FormatError(line, "hash-threshold N");
    return { kind: "control", line, control: { kind: "hashThreshold", values: Number(value) } };
  }
}

function range([from = "", to = ""]: string[], line: number): string[] {
  if (!/^-?\d+$/.test(from) || !/^-?\d+$/.test(to))
    throw new FormatError(line, "loop VARIABLE FROM TO");
  const values: string[] = [];
  for (let value = Number(from); value < Number(to); value++) values.push(String(value));
  return values;
}
