import { parse } from "pgsql-ast-parser";
import { BorealisError } from "../../src/base/errors.ts";
import { compileParsed } from "../../src/api/command.ts";
import { type ClusterOrder, orderText } from "../../src/api/command-orders.ts";
import type { Answer, Ask } from "../../src/api/ask.ts";
import { AdminConversation } from "../../src/api/conversation.ts";
import type { SessionFacts } from "../../src/api/functions.ts";
import { Evaluator } from "../../src/api/evaluation.ts";
import { forParser } from "../../src/api/parser-text.ts";
import { Settings } from "../../src/api/settings.ts";
import type { SqlValue } from "../../src/api/sql-types.ts";
import { tokensOf } from "../../src/api/statement-text.ts";
import type { Sight } from "../../src/api/tables.ts";
import type { StatusReport } from "../../src/cluster/index.ts";
import type { SessionRow } from "../../src/session/index.ts";
import {
  encodeMessage,
  frontend,
  MessageScanner,
  parseDataRow,
  parseReport,
} from "../../src/wire/index.ts";

export function aSession(row: Partial<SessionRow> = {}): SessionRow {
  return {
    pid: 1,
    user: "app",
    database: "shop",
    applicationName: "",
    clientAddress: "127.0.0.1:1",
    endpoint: "writer",
    instance: "instance-1",
    state: "idle",
    sinceMs: Date.UTC(2026, 10, 30),
    backendPid: null,
    isPooled: false,
    outcomes: {},
    keptBecause: null,
    ...row,
  };
}

type Instance = StatusReport["instances"][number];

export function anInstance(row: Partial<Instance> = {}): Instance {
  return {
    id: "instance-1",
    role: "reader",
    az: "az1",
    tier: 1,
    state: "available",
    agentPid: 10,
    postgresPid: 11,
    replayLsn: "0/10",
    lagMs: 1.5,
    port: 5443,
    building: null,
    problem: null,
    ...row,
  };
}

export function aStatus(report: Partial<StatusReport> = {}): StatusReport {
  return {
    cluster: {
      id: "borealis",
      state: "available",
      engineVersion: "18.4",
      epoch: 3,
      timeline: 2,
      vdl: "0/5A3B7C8",
      writer: "instance-1",
      dataDir: "/data",
      supervisorPid: 7,
    },
    endpoints: [
      {
        id: "writer",
        type: "writer",
        host: "127.0.0.1",
        port: 5432,
        loopback: null,
        members: ["instance-1"],
        allow: null,
      },
      {
        id: "mine",
        type: "custom",
        host: "127.0.0.1",
        loopback: null,
        port: 5463,
        members: [],
        allow: null,
        custom: { type: "reader", static: ["instance-1", "instance-2"], excluded: null },
      },
    ],
    instances: [anInstance({ role: "writer" }), anInstance({ id: "instance-2", lagMs: null })],
    storage: [],
    volume: {
      bytes: 9_007_199_254_740_991,
      logBytes: 1,
      extentBytes: null,
      sharedBytes: 0,
      logStart: "0/1",
      snapshots: 1,
      damage: null,
      problem: null,
      earliestRestorableTime: "2026-01-01T00:00:00Z",
      latestRestorableTime: null,
      archive: null,
    },
    ...report,
  };
}

export function aSight(sight: Partial<Sight> = {}): Sight {
  const nowUs = BigInt(Date.UTC(2026, 10, 30, 0, 5)) * 1000n;
  return { nowUs, status: aStatus(), sessions: [], snapshots: [], ...sight };
}

export const adminFacts: SessionFacts = {
  user: "postgres",
  database: "borealis",
  pid: 4711,
  version: "PostgreSQL 18.4 (Borealis)",
  setting: (name) => (name === "server_version" ? "18.4" : undefined),
};

/** The values of a SELECT, as the evaluator has them. */
export function select(
  sql: string,
  sight: Sight = aSight(),
  parameters: readonly SqlValue[] = [],
): SqlValue[][] {
  return compile(sql).run(sight, parameters);
}

export function compile(sql: string): ReturnType<typeof compileParsed> {
  const { text } = forParser(tokensOf(sql));
  const statements = parse(text, { locationTracking: true });
  return compileParsed({ text }, statements, { session: adminFacts, types: [] });
}

/** "CODE message" of what a SELECT fails with. */
export function failure(sql: string, sight: Sight = aSight()): string {
  try {
    select(sql, sight);
  } catch (error) {
    if (error instanceof BorealisError)
      return `${error.code} ${error.message}${error.position === undefined ? "" : ` at ${error.position}`}`;
    throw error;
  }
  return "nothing";
}

/** A conversation whose questions are answered at once; what it says is told as lines. */
export class TalkingClient {
  readonly conversation: AdminConversation;
  sight = aSight();
  /** What the cluster was asked to do. */
  readonly orders: ClusterOrder[] = [];
  /** What the next question fails with. */
  trouble: BorealisError | undefined;

  constructor(wishes: ReadonlyMap<string, string> = new Map()) {
    const settings = new Settings({ serverVersion: "18.4", user: "postgres" }, wishes);
    const key = Buffer.alloc(4);
    const session = { ...adminFacts, setting: (name: string) => settings.get(name) };
    this.conversation = new AdminConversation({ session, settings, key });
  }

  /** Whole messages in, lines out. */
  send(...messages: readonly Buffer[]): string[] {
    for (const message of messages) {
      const body = message.subarray(5);
      const work = this.conversation.receive(message[0] ?? 0, body);
      let step = work.next();
      while (step.done !== true) step = this.reply(work, step.value);
    }
    return linesOf(Buffer.concat(this.conversation.takeOutput()));
  }

  private reply(work: Generator<Ask, void, Answer>, ask: Ask): IteratorResult<Ask, void> {
    const { trouble } = this;
    this.trouble = undefined;
    if (trouble) return work.throw(trouble);
    if (ask.kind === "command") {
      this.orders.push(ask.order);
      return work.next({ kind: "lines", lines: ["done", orderText(ask.order)] });
    }
    let answer: Answer;
    try {
      answer = answerAt(ask, this.sight);
    } catch (error) {
      return work.throw(error);
    }
    return work.next(answer);
  }
}

const evaluator = new Evaluator((text) => {
  try {
    return parse(text, { locationTracking: true });
  } catch {
    throw new BorealisError("42601", "syntax error");
  }
});

/** What the thread would answer; everything goes over as it would there. */
export function answerAt(ask: Ask, sight: Sight = aSight()): Answer {
  if (ask.kind === "turn") return ask;
  if (ask.kind === "command") return { kind: "lines", lines: [orderText(ask.order)] };
  if (ask.kind === "prepare") return structuredClone(evaluator.answer(structuredClone(ask)));
  const { sources: _, ...order } = ask;
  return structuredClone(evaluator.answer(structuredClone({ ...order, sight })));
}

const plainNames: Readonly<Record<string, string>> = {
  "1": "ParseComplete",
  "2": "BindComplete",
  "3": "CloseComplete",
  I: "EmptyQuery",
  n: "NoData",
  s: "PortalSuspended",
};

/** What a server said, a line a message. */
export function linesOf(bytes: Buffer): string[] {
  const scanner = new MessageScanner((_type, total) => total);
  scanner.begin(bytes);
  const lines: string[] = [];
  while (scanner.next()) {
    const letter = String.fromCharCode(scanner.type);
    lines.push(lineOf(letter, scanner.buffer.subarray(scanner.start + 5, scanner.end)));
  }
  return lines;
}

function lineOf(letter: string, body: Buffer): string {
  switch (letter) {
    case "T":
      return `columns ${columnsOf(body).join(", ")}`;
    case "D":
      return `row ${parseDataRow(body)
        .map((value) => value ?? "NULL")
        .join(" | ")}`;
    case "C":
      return body.toString("utf8", 0, body.length - 1);
    case "Z":
      return `ready ${body.toString()}`;
    case "t":
      return `parameters ${Array.from({ length: body.readUInt16BE(0) }, (_, n) => body.readUInt32BE(2 + 4 * n)).join(" ")}`;
    case "E":
    case "N": {
      const fields = parseReport(body);
      const at = fields.has("P") ? ` at ${fields.get("P")}` : "";
      return `${fields.get("S")} ${fields.get("C")} ${fields.get("M")}${at}`;
    }
    case "S":
      return `parameter ${body.toString().split("\0").slice(0, 2).join("=")}`;
    default:
      return plainNames[letter] ?? letter;
  }
}

function columnsOf(body: Buffer): string[] {
  const names: string[] = [];
  let at = 2;
  while (at < body.length) {
    const end = body.indexOf(0, at);
    names.push(`${body.toString("utf8", at, end)}:${body.readUInt32BE(end + 7)}`);
    at = end + 19;
  }
  return names;
}

/** Parameters as text or, given as Buffer, in binary. */
export function bindValues(
  values: readonly (string | Buffer | null)[],
  { statement = "", portal = "", binaryResults = false } = {},
): Buffer {
  return encodeMessage(frontend.bind, (body) => {
    body.cString(portal).cString(statement).u16(values.length);
    for (const value of values) body.u16(typeof value === "string" || value === null ? 0 : 1);
    body.u16(values.length);
    for (const value of values) {
      const bytes = typeof value === "string" ? Buffer.from(value) : value;
      if (bytes === null) body.i32(-1);
      else body.u32(bytes.length).raw(bytes);
    }
    body.u16(1).u16(binaryResults ? 1 : 0);
  });
}
