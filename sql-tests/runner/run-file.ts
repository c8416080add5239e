import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { ExtendedRequest, Outcome } from "./exchange.ts";
import { areMet, type ServerFacts } from "./facts.ts";
import { judge, type Verdict } from "./judge.ts";
import { parseTestFile } from "./parse.ts";
import { Place } from "./place.ts";
import {
  type ConnectionRecord,
  type ControlRecord,
  FormatError,
  type NotificationRecord,
  type SqlRecord,
  type TestRecord,
} from "./record.ts";
import type { Session } from "./session.ts";
import { substitute } from "./substitute.ts";

export interface FileOptions {
  readonly url: string;
  readonly facts: ServerFacts;
  readonly timeoutMs: number;
}

export interface Failure {
  readonly line: number;
  readonly sql: string;
  readonly reason: string;
}

export interface FileReport {
  passed: number;
  skipped: number;
  readonly failures: Failure[];
}

/** How long a notification or a lock wait may take to show. */
const awaitedMs = 10_000;
/** Long enough for a server to send what it has no reason to send. */
const silenceMs = 200;

/** Runs the text of one file in a place of its own, and removes the place whatever happens. */
export async function runFile(text: string, options: FileOptions): Promise<FileReport> {
  const report: FileReport = { passed: 0, skipped: 0, failures: [] };
  let records: TestRecord[];
  try {
    records = parseTestFile(text);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    report.failures.push({ line: error.line, sql: "", reason: error.message });
    return report;
  }
  const usesDatabase = records.some(
    (record) => record.kind === "control" && record.control.kind === "database",
  );
  const place = await Place.make({ ...options, usesDatabase });
  try {
    await new FileRun(place, options, report).run(records, new Map());
    await place.remove();
  } catch (error) {
    report.failures.push({ line: 0, sql: "", reason: `stopped: ${String(error)}` });
    await place.remove().catch((cause: unknown) => {
      report.failures.push({ line: 0, sql: "", reason: `cannot clean up: ${String(cause)}` });
    });
  }
  return report;
}

type Variables = ReadonlyMap<string, string>;

class FileRun {
  private readonly place: Place;
  private readonly facts: ServerFacts;
  private readonly report: FileReport;
  private readonly labels = new Map<string, string>();
  private readonly background = new Map<string, SqlRecord>();
  private readonly builtins: Variables;
  private hashThreshold = 0;
  private protocol: "simple" | "extended" = "simple";
  private isHalted = false;

  constructor(place: Place, { facts }: FileOptions, report: FileReport) {
    this.place = place;
    this.facts = facts;
    this.report = report;
    this.builtins = new Map([
      ["schema", place.schema],
      ["database", place.database],
      ["user", place.user],
      ["unique", `sqltest_${randomBytes(4).toString("hex")}`],
    ]);
  }

  async run(records: readonly TestRecord[], variables: Variables): Promise<void> {
    await this.runAll(records, variables);
    for (const record of this.background.values())
      this.fail(record, "sent in the background, and never waited for");
  }

  private async runAll(records: readonly TestRecord[], variables: Variables): Promise<void> {
    for (const record of records) {
      if (this.isHalted) {
        this.report.skipped += judgedRecords([record]);
        continue;
      }
      switch (record.kind) {
        case "control":
          this.control(record);
          break;
        case "loop":
          for (const value of record.values) {
            await this.runAll(record.body, new Map([...variables, [record.variable, value]]));
          }
          break;
        default:
          if (areMet(record.prefixes.conditions, this.facts)) await this.runOne(record, variables);
          else this.report.skipped++;
      }
    }
  }

  private control({ control }: ControlRecord): void {
    switch (control.kind) {
      case "halt":
        this.isHalted = areMet(control.conditions, this.facts);
        break;
      case "hashThreshold":
        this.hashThreshold = control.values;
        break;
      case "protocol":
        this.protocol = control.protocol;
        break;
      case "database":
    }
  }

  private async runOne(
    written: SqlRecord | ConnectionRecord | NotificationRecord,
    variables: Variables,
  ): Promise<void> {
    const record = substitute(written, new Map([...this.builtins, ...variables]));
    const session = await this.place.session(record.prefixes.connection);
    switch (record.kind) {
      case "sql":
        return this.runSql(record, session);
      case "notification":
        return this.settle(record, await judgeNotification(record, session));
      case "reconnect":
        return this.place.disconnect(record.prefixes.connection);
      case "cancel":
        return session.cancel();
      case "blocked":
        return this.settle(record, await this.judgeBlocked(session));
      case "wait":
        return this.wait(record, session);
    }
  }

  private async runSql(record: SqlRecord, session: Session): Promise<void> {
    if (session.background)
      return this.fail(record, "the connection is busy with a record in the background");
    session.notices.length = 0;
    const { bind, prepared, fetch, isBackground, connection } = record.prefixes;
    const isExtended =
      this.protocol === "extended" ||
      bind !== undefined ||
      prepared !== undefined ||
      fetch !== undefined;
    const name = prepared ?? "";
    const extended: ExtendedRequest = {
      values: bind ?? [],
      name,
      isParsed: name !== "" && session.parsed.has(name),
      fetch: fetch ?? 0,
      onParsed: () => session.parsed.add(name),
    };
    const outcome = session.run({
      sql: record.sql,
      extended: isExtended ? extended : undefined,
      copyIn: record.copyIn,
    });
    if (isBackground) {
      session.background = outcome;
      this.background.set(connection, record);
      return;
    }
    this.settle(record, this.judge(record, await outcome, session));
  }

  private judge(record: SqlRecord, outcome: Outcome, session: Session): Verdict {
    return judge(record, outcome, session.notices, {
      hashThreshold: this.hashThreshold,
      labels: this.labels,
    });
  }

  /** Judges the record that runs in the background, at the place where it was written. */
  private async wait(record: ConnectionRecord, session: Session): Promise<void> {
    const sent = this.background.get(record.prefixes.connection);
    if (!session.background || !sent)
      return this.fail(record, "nothing runs in the background here");
    const outcome = await session.background;
    session.background = undefined;
    this.background.delete(record.prefixes.connection);
    this.settle(sent, this.judge(sent, outcome, session));
  }

  /** Waits until the session's backend waits for a lock. */
  private async judgeBlocked(session: Session): Promise<Verdict> {
    if (!session.background) return "nothing runs in the background here";
    const deadline = Date.now() + awaitedMs;
    while (Date.now() < deadline) {
      if (await this.place.isBlocked(session)) return undefined;
      await sleep(10);
    }
    return `does not wait for a lock after ${awaitedMs} ms`;
  }

  private settle(record: { readonly line: number }, verdict: Verdict): void {
    if (verdict === undefined) this.report.passed++;
    else this.fail(record, verdict);
  }

  private fail(record: { readonly line: number; readonly sql?: string }, reason: string): void {
    this.report.failures.push({ line: record.line, sql: record.sql ?? "", reason });
  }
}

/** How many of them would have been counted. */
function judgedRecords(records: readonly TestRecord[]): number {
  let count = 0;
  for (const record of records) {
    if (record.kind === "loop") count += record.values.length * judgedRecords(record.body);
    else if (record.kind === "sql") count += record.prefixes.isBackground ? 0 : 1;
    else if (record.kind === "wait" || record.kind === "blocked" || record.kind === "notification")
      count++;
  }
  return count;
}

async function judgeNotification(
  { expected }: NotificationRecord,
  session: Session,
): Promise<Verdict> {
  // The server sends what is pending with the answer to anything.
  if (!session.background) await session.run({ sql: "", extended: undefined, copyIn: undefined });
  const came = await session.nextNotification(expected ? awaitedMs : silenceMs);
  const shown = came ? `${came.channel} ${came.payload}`.trimEnd() : "none";
  const wanted = expected ? `${expected.channel} ${expected.payload}`.trimEnd() : "none";
  return shown === wanted ? undefined : `expected notification: ${wanted}, got: ${shown}`;
}
