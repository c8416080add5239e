import { BorealisError } from "../../src/base/errors.ts";
import { ClassificationCache } from "../../src/route/index.ts";
import type { Action } from "../../src/session/action.ts";
import { Conversation } from "../../src/session/conversation.ts";
import type { ExchangeOptions } from "../../src/session/exchange-options.ts";
import type { Fate } from "../../src/session/fate.ts";
import type { Memory } from "../../src/session/memory.ts";
import { TextPlanner } from "../../src/session/plan.ts";
import type { DatabaseTraits } from "../../src/session/traits.ts";
import { SessionBook } from "../../src/session/session-book.ts";
import { Survivor } from "../../src/session/survivor.ts";
import {
  backend,
  encodeBind,
  encodeCommandComplete,
  encodeDataRow,
  encodeError,
  encodeExecute,
  encodeMessage,
  encodeParse,
  encodeQuery,
  encodeReadyForQuery,
  encodeRowDescription,
  MessageScanner,
  parseReport,
  queryTextOf,
  transactionState,
} from "../../src/wire/index.ts";

/**
 * Conversations and survivors as scripts: what each side sends, and what came out of it, one line per step. And what a
 * server says.
 */
const { open } = transactionState;

/** A message without a body. */
export const one = (type: number): Buffer => encodeMessage(type);
/** The answer to a SELECT of one row, without its ReadyForQuery. */
export const row = (value: string): Buffer =>
  Buffer.concat([
    encodeRowDescription([{ name: "a" }]),
    encodeDataRow([value]),
    encodeCommandComplete("SELECT 1"),
  ]);
export const began = [encodeCommandComplete("BEGIN"), encodeReadyForQuery(open)];
/** An error that a statement is answered with. */
export const failure = (code: string): Buffer =>
  encodeError(new BorealisError(code, "no"), "ERROR");
/** To one of our FunctionCalls. */
export const functionResult = (value: string | null): Buffer =>
  encodeMessage(backend.functionResult, (body) =>
    value === null ? body.i32(-1) : body.u32(value.length).text(value),
  );
/** To both of our FunctionCalls before a COMMIT. */
export const asked = (xid: string | null): Buffer[] => [
  functionResult(xid),
  encodeReadyForQuery(open),
  functionResult("on"),
  encodeReadyForQuery(open),
];
/** To our query within extended messages. */
export const queryAnswer = (xid: string | null, synchronousCommit = "on"): Buffer[] => [
  one(backend.parseComplete),
  one(backend.bindComplete),
  encodeDataRow([xid, "0", synchronousCommit, null, null]),
  encodeCommandComplete("SELECT 1"),
  one(backend.closeComplete),
  one(backend.closeComplete),
];
/** ... of a transaction that had none, and has taken it for us. */
export const freshAnswer = (xid: string): Buffer[] => queryAnswer(`${xid} new`);
/** A report of PostgreSQL's, with the routine that it comes from. */
export const report = (
  type: typeof backend.error | typeof backend.notice,
  fields: Readonly<Record<string, string>>,
): Buffer =>
  encodeMessage(type, (body) => {
    for (const [key, value] of Object.entries(fields)) body.text(key).cString(value);
    return body.u8(0);
  });
/** What a server says that is told to end, where PostgreSQL looks for that. */
export const cutShort = report(backend.error, {
  S: "FATAL",
  V: "FATAL",
  C: "57P01",
  M: "terminating connection due to administrator command",
  R: "ProcessInterrupts",
});
/** ... while a commit waits for the quorum: then it says nothing more. */
export const endedInCommit = report(backend.notice, {
  S: "WARNING",
  V: "WARNING",
  C: "57P01",
  M: "canceling the wait for synchronous replication and terminating connection due to administrator command",
  R: "SyncRepWaitForLSN",
});
/** Parse, Bind and Execute of a client's. */
export const extended = (text: string): Buffer =>
  Buffer.concat([encodeParse("", text), encodeBind("", ""), encodeExecute("")]);

const quietCode = {
  changesSession: "no",
  customNames: [],
  keepsOwnState: false,
  readsDrawn: false,
  hasNative: false,
  leavesUnseen: "no",
} as const;

/** A book that says what a test wants it to say. */
export function aBook(says: Partial<Memory> = {}): Memory {
  return Object.assign(new SessionBook({ user: "postgres", hidden: () => quietCode }), says);
}

/** Of a database without code of users, but for what `traits` says. */
export function aPlanner(traits: Partial<DatabaseTraits> = {}): TextPlanner {
  const planner = new TextPlanner(new ClassificationCache());
  planner.learnTraits({
    hasDeferrableTriggers: false,
    hasRules: false,
    relationsWithCode: new Set<string>(),
    codeNames: new Set<string>(),
    outsideNames: new Set<string>(),
    ...traits,
  });
  return planner;
}

/** Of a writer. The parser must be loaded. */
export function exchangeOptions(options: Partial<ExchangeOptions> = {}): ExchangeOptions {
  return { isHonest: true, planner: aPlanner(), memory: aBook(), ...options };
}

export function aConversation(options: Partial<ExchangeOptions> = {}): Conversation {
  return new Conversation(exchangeOptions(options));
}

/** Bytes are told by their letters; that a commit was told is measured only. */
const unseen = new Set<Action["kind"]>(["toServer", "toClient", "committed"]);

/** Letters of the messages in some bytes: "PBES". */
export function letters(bytes: Buffer): string {
  const scanner = new MessageScanner((_, totalBytes) => totalBytes);
  scanner.begin(bytes);
  let text = "";
  while (scanner.next()) text += String.fromCharCode(scanner.type);
  return text;
}

/** "Q(begin) E(40001) Z(I)": letters of the messages, with what matters of them. */
export function shown(bytes: Buffer, isFromClient: boolean): string {
  const scanner = new MessageScanner((_, totalBytes) => totalBytes);
  scanner.begin(bytes);
  const parts: string[] = [];
  while (scanner.next()) {
    const letter = String.fromCharCode(scanner.type);
    const body = scanner.buffer.subarray(scanner.start + 5, scanner.end);
    if (isFromClient) parts.push(letter === "Q" ? `Q(${queryTextOf(body)})` : letter);
    else if (letter === "E") parts.push(`E(${parseReport(body).get("C")})`);
    else if (letter === "C") parts.push(`C(${body.toString("utf8", 0, body.length - 1)})`);
    else if (letter === "Z") parts.push(`Z(${body.toString("utf8")})`);
    else parts.push(letter);
  }
  return parts.join(" ");
}

export function bytesTo(side: "toServer" | "toClient", actions: readonly Action[]): Buffer {
  return Buffer.concat(actions.flatMap((action) => (action.kind === side ? [action.bytes] : [])));
}

/** Of a conversation: messages by their letters. */
export class ConversationScript {
  readonly lines: string[] = [];
  readonly conversation: Conversation;

  constructor(conversation: Conversation) {
    this.conversation = conversation;
  }
  client(...messages: Buffer[]): this {
    return this.note("client", this.conversation.fromClient(Buffer.concat(messages)));
  }
  server(...messages: Buffer[]): this {
    return this.note("server", this.conversation.fromServer(Buffer.concat(messages)));
  }
  durable(): this {
    return this.note("durable", this.conversation.durable());
  }
  note(who: string, actions: readonly Action[]): this {
    const server = letters(bytesTo("toServer", actions));
    const client = letters(bytesTo("toClient", actions));
    const others = actions.flatMap((action) => {
      if (unseen.has(action.kind)) return [];
      if (action.kind === "awaitDurable") return [`await ${action.upTo}`];
      return action.kind === "fail" ? [`fail ${action.error.code}`] : [action.kind];
    });
    const parts = [server && `> ${server}`, client && `< ${client}`, ...others].filter(
      (part) => part !== "",
    );
    this.lines.push(`${who}: ${parts.join(" ")}`);
    return this;
  }
}

/** Of a survivor: messages by their letters, and what matters of them. */
export class SurvivorScript {
  lines: string[] = [];
  /** SQLSTATEs of errors that were told, and after which it goes on. */
  readonly told: string[] = [];
  readonly survivor: Survivor;
  private readonly exchange: ExchangeOptions;

  constructor(options: Partial<ExchangeOptions> = {}, memory: Memory = aBook()) {
    this.exchange = exchangeOptions({ memory, ...options });
    this.survivor = new Survivor(this.exchange);
  }
  client(...messages: Buffer[]): this {
    return this.note("client", this.survivor.fromClient(Buffer.concat(messages)));
  }
  server(...messages: Buffer[]): this {
    return this.note("server", this.survivor.fromServer(Buffer.concat(messages)));
  }
  lost(): this {
    return this.note("lost", [...this.survivor.drain(), ...this.survivor.lost()]);
  }
  /** An operator has ended its server, and that alone. */
  endedOnPurpose(): this {
    return this.note("ended", [...this.survivor.drain(), ...this.survivor.endedOnPurpose()]);
  }
  durable(): this {
    return this.note("durable", this.survivor.durable());
  }
  fate(fate: Fate): this {
    return this.note(fate, this.survivor.fateKnown(fate));
  }
  connected(parameters: Record<string, string> = {}): this {
    const all = new Map(Object.entries(parameters));
    return this.note("connected", this.survivor.connected(this.exchange, all));
  }
  inTransaction(): this {
    return this.client(encodeQuery("begin"))
      .server(...began)
      .forget();
  }
  /** A statement of the transaction, and its answer. */
  ran(text: string, ...answer: Buffer[]): this {
    return this.client(encodeQuery(text))
      .server(...answer, encodeReadyForQuery(open))
      .forget();
  }
  forget(): this {
    this.lines = [];
    return this;
  }
  private note(who: string, actions: readonly Action[]): this {
    const server = shown(bytesTo("toServer", actions), true);
    const client = shown(bytesTo("toClient", actions), false);
    const others = actions.flatMap((action) => {
      switch (action.kind) {
        case "toServer":
        case "toClient":
        case "resumeClient":
        case "committed":
        case "commitTimer":
          return [];
        case "fail":
          return [`fail ${action.error.code}`];
        case "outcome":
          return [action.outcome];
        case "told":
          this.told.push(action.code);
          return [];
        case "askFate":
          return [
            action.isEndedAlone === true ? `ask the living ${action.xid}` : `ask ${action.xid}`,
          ];
        default:
          return [action.kind];
      }
    });
    const parts = [server && `> ${server}`, client && `< ${client}`, ...others];
    this.lines.push(`${who}: ${parts.filter((part) => part !== "").join(" ")}`.trimEnd());
    return this;
  }
}
