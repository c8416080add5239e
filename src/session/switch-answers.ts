import { backend, MessageScanner, parseDataRow, parseReportHead } from "../wire/index.ts";

export interface OwnFailure {
  /** SQLSTATE. */
  readonly code: string;
  readonly message: string;
}

/** What a side says to questions of ours. */
export interface OwnAnswer {
  /** Of the cycles that failed, by number. */
  readonly errors: ReadonlyMap<number, OwnFailure>;
  /** The last row that came. */
  readonly row: readonly (string | null)[] | undefined;
}

interface Asked {
  readonly cycles: number;
  seen: number;
  readonly errors: Map<number, OwnFailure>;
  row: readonly (string | null)[] | undefined;
  readonly then: (answer: OwnAnswer) => void;
}

const wholeBytesMax = 512;
const reportBytesMax = 64 * 1024;
const reports = new Set<number>([backend.error, backend.notification, backend.parameterStatus]);

type Verdict =
  | { readonly kind: "pass" | "drop" | "aside" | "own" }
  | { readonly kind: "replace"; readonly bytes: Buffer };

const drop: Verdict = { kind: "drop" };

/** What the messages of one side are to the switchboard. */
export interface AnswerSink {
  /** An answer, or a part of one, to what the client sent. */
  tell(bytes: Buffer): void;
  /** Besides answers: notices, changes of server parameters. */
  tellAside(bytes: Buffer): void;
  /** Instead of this error; undefined: it is told as it is. */
  substituteFor(report: ReadonlyMap<string, string>): Buffer | undefined;
  /** A message of an answer has passed, of that type. */
  passed(type: number): void;
  /** ReadyForQuery, with the transaction state; told already. */
  ready(state: number): void;
}

/** The stream of one side to the client: answers to the client's messages, and to questions of ours, which it never sees. */
export class SideAnswers {
  private readonly scanner = new MessageScanner((type, totalBytes) => {
    if (totalBytes <= wholeBytesMax) return totalBytes;
    const isNeeded = reports.has(type) || (type === backend.dataRow && this.asked !== undefined);
    return isNeeded ? Math.min(totalBytes, reportBytesMax) : 5;
  });
  private readonly sink: AnswerSink;
  private readonly dropsAsides: boolean;
  private asked: Asked | undefined;
  private isDropping = false;

  /** `dropsAsides`: what it says besides answers to the client concerns a server that the client does not know of. */
  constructor(sink: AnswerSink, { dropsAsides }: { readonly dropsAsides: boolean }) {
    this.sink = sink;
    this.dropsAsides = dropsAsides;
  }

  get isAsking(): boolean {
    return this.asked !== undefined;
  }

  /** The next `cycles` ReadyForQuery, and all before them, answer us. */
  ask(cycles: number, then: (answer: OwnAnswer) => void): void {
    this.asked = { cycles, seen: 0, errors: new Map(), row: undefined, then };
  }

  /** The side is gone: whoever asks is told so. */
  fail(failure: OwnFailure): void {
    const { asked } = this;
    this.asked = undefined;
    if (!asked) return;
    const { errors, seen } = asked;
    if (!errors.has(seen)) errors.set(seen, failure);
    asked.then({ errors, row: undefined });
  }

  push(chunk: Buffer): void {
    const { scanner, sink } = this;
    const { missingBytes } = scanner;
    scanner.begin(chunk);
    let from = this.isDropping ? Math.min(missingBytes, chunk.length) : 0;
    this.isDropping &&= missingBytes > chunk.length;
    while (scanner.next()) {
      const { type, start } = scanner;
      const end = Math.min(scanner.end, scanner.buffer.length);
      const bytes = scanner.buffer.subarray(start, end);
      const verdict = this.verdictOn(type, bytes, end === scanner.end);
      if (verdict.kind !== "pass") {
        this.emit(from, start);
        from = end;
        this.isDropping = end < scanner.end;
        if (verdict.kind === "aside") sink.tellAside(Buffer.from(bytes));
        else if (verdict.kind === "replace") sink.tell(verdict.bytes);
        else if (verdict.kind === "own") this.onOwn(type, bytes.subarray(5), end === scanner.end);
        continue;
      }
      sink.passed(type);
      if (type !== backend.readyForQuery) continue;
      this.emit(from, end);
      from = end;
      sink.ready(bytes[5] ?? 0);
    }
    this.emit(from, scanner.forwardEnd);
  }

  /** Of what is not whole the rest passes as its beginning does: it cannot be told later. */
  private verdictOn(type: number, bytes: Buffer, isWhole: boolean): Verdict {
    const isOwn = this.asked !== undefined;
    const aside: Verdict = { kind: isWhole ? "aside" : this.dropsAsides ? "drop" : "pass" };
    if (type === backend.parameterStatus) return this.dropsAsides && isOwn ? drop : aside;
    if (type === backend.notification) return this.dropsAsides ? drop : aside;
    if (type === backend.error) {
      const report = parseReportHead(bytes.subarray(5));
      // Its last words are for the client, whoever asked.
      const isFatal = report.get("V") === "FATAL" || report.get("V") === "PANIC";
      if (isOwn && isFatal && !this.dropsAsides) return aside;
      const substitute = isOwn ? undefined : this.sink.substituteFor(report);
      if (substitute) return { kind: "replace", bytes: substitute };
    }
    return { kind: isOwn ? "own" : "pass" };
  }

  private onOwn(type: number, body: Buffer, isWhole: boolean): void {
    const { asked } = this;
    if (!asked) return;
    if (type === backend.error) {
      const report = parseReportHead(body);
      const [code, message] = [report.get("C") ?? "", report.get("M") ?? ""];
      asked.errors.set(asked.seen, { code, message });
    } else if (type === backend.dataRow && isWhole) asked.row = parseDataRow(body);
    else if (type === backend.readyForQuery && ++asked.seen === asked.cycles) {
      this.asked = undefined;
      asked.then({ errors: asked.errors, row: asked.row });
    }
  }

  private emit(from: number, to: number): void {
    if (to > from) this.sink.tell(this.scanner.buffer.subarray(from, to));
  }
}
