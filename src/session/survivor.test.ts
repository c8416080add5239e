import { beforeAll, describe, expect, it } from "vitest";
import { BorealisError } from "../base/errors.ts";
import { ClassificationCache, loadParser } from "../route/index.ts";
import {
  backend,
  encodeBind,
  encodeCommandComplete,
  encodeDataRow,
  encodeDescribe,
  encodeError,
  encodeExecute,
  encodeFlush,
  encodeMessage,
  encodeParameterStatus,
  encodeParse,
  encodeQuery,
  encodeReadyForQuery,
  encodeRowDescription,
  encodeSync,
  MessageScanner,
  parseReport,
  queryTextOf,
  transactionState,
} from "../wire/index.ts";
import type { Action } from "./action.ts";
import type { ExchangeOptions } from "./exchange.ts";
import type { Fate } from "./fate.ts";
import type { Memory } from "./memory.ts";
import { TextPlanner } from "./plan.ts";
import type { RestoreCycle } from "./restore.ts";
import { SessionBook } from "./session-book.ts";
import { defaultWishes } from "./survival-wishes.ts";
import { Survivor } from "./survivor.ts";

beforeAll(() => loadParser());

const { idle, open, failed } = transactionState;
const one = (type: number): Buffer => encodeMessage(type);
const row = (value: string): Buffer =>
  Buffer.concat([
    encodeRowDescription([{ name: "a" }]),
    encodeDataRow([value]),
    encodeCommandComplete("SELECT 1"),
  ]);
const functionResult = (value: string | null): Buffer =>
  encodeMessage(backend.functionResult, (body) =>
    value === null ? body.i32(-1) : body.u32(value.length).text(value),
  );
const asked = (xid: string | null): Buffer[] => [
  functionResult(xid),
  encodeReadyForQuery(open),
  functionResult("on"),
  encodeReadyForQuery(open),
];
const queryAnswer = (xid: string | null): Buffer[] => [
  one(backend.parseComplete),
  one(backend.bindComplete),
  encodeDataRow([xid, "0", "on", null, null]),
  encodeCommandComplete("SELECT 1"),
  one(backend.closeComplete),
  one(backend.closeComplete),
];
const crash = encodeError(new BorealisError("57P01", "going away"), "FATAL");
const began = [encodeCommandComplete("BEGIN"), encodeReadyForQuery(open)];
const quietCode = { changesSession: "no", customNames: [] } as const;
/** A book that says what a test wants it to say. */
function aBook(says: Partial<Memory> = {}): Memory {
  return Object.assign(new SessionBook({ user: "postgres", hidden: () => quietCode }), says);
}
const cycleOf = (sql: string): RestoreCycle => ({ bytes: encodeQuery(sql), what: sql });

/** "Q(begin) E(40001) Z(I)": letters of the messages, with what matters of them. */
function shown(bytes: Buffer, isFromClient: boolean): string {
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

/** A script: what each side does, and what came out of it, one line per step. */
class Script {
  lines: string[] = [];
  readonly survivor: Survivor;
  private readonly exchange: ExchangeOptions;

  constructor(options: Partial<ExchangeOptions> = {}, memory: Memory = aBook()) {
    const planner = new TextPlanner(new ClassificationCache());
    planner.learnTraits({
      hasDeferrableTriggers: false,
      hasRules: false,
      relationsWithCode: new Set<string>(),
    });
    this.exchange = { isHonest: true, planner, memory, ...options };
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
    const bytesTo = (side: "toServer" | "toClient"): Buffer =>
      Buffer.concat(actions.flatMap((action) => (action.kind === side ? [action.bytes] : [])));
    const server = shown(bytesTo("toServer"), true);
    const client = shown(bytesTo("toClient"), false);
    const others = actions.flatMap((action) => {
      switch (action.kind) {
        case "toServer":
        case "toClient":
        case "resumeClient":
        case "commitTimer":
          return [];
        case "fail":
          return [`fail ${action.error.code}`];
        case "outcome":
          return [action.outcome];
        case "askFate":
          return [`ask ${action.xid}`];
        default:
          return [action.kind];
      }
    });
    const parts = [server && `> ${server}`, client && `< ${client}`, ...others];
    this.lines.push(`${who}: ${parts.filter((part) => part !== "").join(" ")}`.trimEnd());
    return this;
  }
}

const update = encodeQuery("update t set a = 1");

describe("an idle session", () => {
  it("goes on with another server, and its next statement goes there", () => {
    const script = new Script().lost().connected().client(encodeQuery("select 1"));
    expect(script.lines).toEqual([
      "lost: reconnect",
      "connected: continued",
      "client: > Q(select 1)",
    ]);
  });

  it("keeps what the client sends meanwhile", () => {
    const script = new Script().lost().client(encodeQuery("select 1")).connected();
    expect(script.lines.slice(1)).toEqual(["client:", "connected: > Q(select 1) continued"]);
  });

  it("hears of parameters that differ, and of those only", () => {
    const script = new Script();
    script.server(encodeParameterStatus("TimeZone", "UTC"), encodeParameterStatus("a", "1"));
    script.forget().lost().connected({ TimeZone: "CET", a: "1" });
    expect(script.lines[1]).toBe("connected: < S continued");
  });

  it("is made again first", () => {
    const cycles = [cycleOf("set a = 1"), cycleOf("listen x")];
    const script = new Script({}, aBook({ restore: () => ({ cycles }) }));
    script.lost().client(encodeQuery("select 1")).connected();
    script.server(encodeCommandComplete("SET"), encodeReadyForQuery(idle));
    script.server(encodeCommandComplete("LISTEN"), encodeReadyForQuery(idle));
    expect(script.lines.slice(2)).toEqual([
      "connected: > Q(set a = 1) Q(listen x)",
      "server:",
      "server: > Q(select 1) continued",
    ]);
  });

  it("ends where it cannot be made again, and where making it again fails", () => {
    const never = new Script({}, aBook({ obstacle: () => "it has temporary objects" }));
    expect(never.lost().lines).toEqual(["lost: ended fail 57P01"]);
    const broken = aBook({
      restore: () => ({ cycles: [cycleOf("set a = 1")] }),
      restored: (_, codes) => codes.get(0),
    });
    const script = new Script({}, broken).lost().connected();
    script.server(
      encodeError(new BorealisError("42501", "no"), "ERROR"),
      encodeReadyForQuery(idle),
    );
    expect(script.lines[2]).toBe("server: ended fail 57P01");
  });

  it("is closed without a word where it wants Aurora's behaviour", () => {
    const wishes = { ...defaultWishes, onFailover: "disconnect" } as const;
    expect(new Script({ wishes }).lost().lines).toEqual(["lost: disconnected close"]);
    const script = new Script().client(encodeQuery("set borealis.on_failover = disconnect"));
    script.server(encodeCommandComplete("SET"), encodeReadyForQuery(idle));
    expect(script.lost().lines.at(-1)).toBe("lost: disconnected close");
  });

  it("does not hear what the old server said as it went", () => {
    const script = new Script().server(crash).lost();
    expect(script.lines).toEqual(["server:", "lost: reconnect"]);
  });

  it("survives the loss of the next server while it is made again", () => {
    const cycles = [cycleOf("update t set a = 1")];
    const script = new Script({}, aBook({ restore: () => ({ cycles }) }));
    script.lost().connected().lost().connected();
    script.server(encodeCommandComplete("SET"), encodeReadyForQuery(idle));
    expect(script.lines.slice(2)).toEqual([
      "lost: reconnect",
      "connected: > Q(update t set a = 1)",
      "server: continued",
    ]);
  });
});

describe("a statement in flight outside a transaction", () => {
  it("that reads is run again, and answered once", () => {
    const script = new Script().client(encodeQuery("select 1")).lost().connected();
    script.server(row("1"), encodeReadyForQuery(idle));
    expect(script.lines).toEqual([
      "client: > Q(select 1)",
      "lost: reconnect",
      "connected: > Q(select 1) rerun",
      "server: < T D C(SELECT 1) Z(I)",
    ]);
  });

  it("that reads, with rows told, goes on where it was if it gives the same again", () => {
    const rows = [encodeRowDescription([{ name: "a" }]), encodeDataRow(["1"])];
    const start = (): Script =>
      new Script()
        .client(encodeQuery("select 1"))
        .server(...rows)
        .lost()
        .connected()
        .forget();
    const same = start();
    same.server(...rows, encodeDataRow(["2"]), encodeCommandComplete("SELECT 2"));
    same.server(encodeReadyForQuery(idle));
    expect(same.lines).toEqual(["server: < D C(SELECT 2) rerun", "server: < Z(I)"]);
    const other = start();
    other.server(encodeRowDescription([{ name: "a" }]), encodeDataRow(["3"]));
    other.connected();
    expect(other.lines).toEqual(["server: < E(40001) Z(I) reconnect", "connected: refused"]);
  });

  it("that reads, with much told, is 40001", () => {
    const script = new Script().client(encodeQuery("select 1"));
    script.server(encodeRowDescription([{ name: "a" }]), encodeDataRow(["x".repeat(20_000)]));
    expect(script.lost().lines.at(-1)).toBe("lost: < E(40001) Z(I) reconnect");
  });

  it("that had not come to its commit is run again without asking anybody", () => {
    const script = new Script().client(update).lost().connected();
    expect(script.lines).toEqual([
      "client: > P B D E P B E C C H S",
      "lost: reconnect",
      "connected: > P B D E P B E C C H S rerun",
    ]);
  });

  const atCommit = (...messages: Buffer[]): Script =>
    new Script()
      .client(...(messages.length > 0 ? messages : [update]))
      .server(
        one(backend.parseComplete),
        one(backend.bindComplete),
        one(backend.noData),
        encodeCommandComplete("UPDATE 1"),
        ...queryAnswer("77"),
      )
      .lost();

  it("that was committed is answered as done", () => {
    const script = atCommit().fate("committed").connected();
    expect(script.lines.slice(1)).toEqual([
      "server:",
      "lost: ask 77",
      "committed: < C(UPDATE 1) Z(I) reconnect",
      "connected: answered",
    ]);
  });

  it.each(["aborted", "neverHappened"] as const)("that %s is run again", (fate) => {
    const script = atCommit().fate(fate).connected();
    expect(script.lines.slice(3)).toEqual([
      `${fate}: reconnect`,
      "connected: > P B D E P B E C C H S rerun",
    ]);
  });

  it("whose fate nobody knows is 08007, and the session goes on", () => {
    const script = atCommit().fate("unknown").connected();
    expect(script.lines.slice(3)).toEqual([
      "unknown: < E(08007) Z(I) reconnect",
      "connected: unknown",
    ]);
  });

  it("in the client's own extended messages is answered just so", () => {
    const messages = [
      encodeParse("", "update t set a = 1"),
      encodeBind("", ""),
      encodeDescribe("portal", ""),
      encodeExecute(""),
      encodeSync(),
    ];
    const script = atCommit(...messages)
      .fate("committed")
      .connected();
    expect(script.lines[3]).toBe("committed: < 1 2 n C(UPDATE 1) Z(I) reconnect");
    const again = atCommit(...messages)
      .fate("neverHappened")
      .connected();
    expect(again.lines[4]).toBe("connected: > P B D E P B E C C H S rerun");
  });

  it("that wrote nothing is answered with what it gave", () => {
    const script = new Script()
      .client(encodeQuery("select f()"))
      .server(
        one(backend.parseComplete),
        one(backend.bindComplete),
        row("1"),
        ...queryAnswer(null),
      );
    expect(script.lost().lines.at(-1)).toBe("lost: < T D C(SELECT 1) Z(I) reconnect");
  });

  it.each(["do $$begin end$$", "call p()", "vacuum", "insert into t values (1); commit; select 1"])(
    "%s is never run twice",
    (text) => {
      const script = new Script().client(encodeQuery(text)).lost().connected();
      expect(script.lines.slice(1)).toEqual([
        "lost: < E(08007) Z(I) reconnect",
        "connected: unknown",
      ]);
    },
  );

  it("that reaches beyond the database is not run again", () => {
    const text = encodeQuery("select pg_terminate_backend(7)");
    expect(new Script().client(text).lost().lines[1]).toBe("lost: < E(40001) Z(I) reconnect");
  });

  it("that is longer than what is kept is not run again", () => {
    const script = new Script({ journalBytesMax: 10 }).client(encodeQuery("select 1")).lost();
    expect(script.lines[1]).toBe("lost: < E(40001) Z(I) reconnect");
  });

  it("goes on where its rest comes later only", () => {
    const text = encodeQuery(`select '${"x".repeat(300_000)}'`);
    const script = new Script().client(text.subarray(0, 2000)).lost().connected();
    script.client(text.subarray(2000));
    const sent = Buffer.concat([text.subarray(0, 2000), text.subarray(2000)]);
    expect(sent.equals(text)).toBe(true);
    expect(script.lines).toHaveLength(4);
    const short = new Script({ journalBytesMax: 10 }).client(text.subarray(0, 2000)).lost();
    short.connected().forget().client(text.subarray(2000), encodeQuery("select 2"));
    expect(short.lines).toEqual(["client: > Q(select 2)"]);
  });

  it("in front of others lets them follow, each in its turn", () => {
    const script = new Script().client(encodeQuery("select 1"), encodeQuery("select 2"));
    script.lost().connected();
    expect(script.lines[2]).toBe("connected: > Q(select 1) Q(select 2) rerun");
  });
});

describe("a transaction", () => {
  const inTransaction = (): Script => new Script().inTransaction().ran("select 1", row("1"));

  it("is run again unseen, and goes on", () => {
    const script = inTransaction().lost().connected();
    script.server(...began).server(row("1"), encodeReadyForQuery(open));
    script.client(encodeQuery("select 2"));
    expect(script.lines).toEqual([
      "lost: reconnect",
      "connected: > Q(begin) Q(select 1)",
      "server:",
      "server: replayed",
      "client: > Q(select 2)",
    ]);
  });

  it("with a statement in flight runs that at last", () => {
    const script = inTransaction().client(encodeQuery("update t set a = 1")).lost().connected();
    script.server(...began, row("1"), encodeReadyForQuery(open));
    script.server(encodeCommandComplete("UPDATE 1"), encodeReadyForQuery(open));
    expect(script.lines.slice(2)).toEqual([
      "connected: > Q(begin) Q(select 1)",
      "server: > Q(update t set a = 1) replayed",
      "server: < C(UPDATE 1) Z(T)",
    ]);
  });

  /** A new server that has been made to have a failed transaction. */
  const failedThere = (script: Script): Script =>
    script
      .connected()
      .server(...began)
      .server(
        encodeError(new BorealisError("42601", "syntax"), "ERROR"),
        encodeReadyForQuery(failed),
      );

  it("with another answer is lost: its next statement is told so, and it is failed then", () => {
    const script = inTransaction().lost().connected();
    script.server(...began, row("2"), encodeReadyForQuery(open));
    failedThere(script);
    script.client(encodeQuery("select 3"));
    script.server(
      encodeError(new BorealisError("42601", "x"), "ERROR"),
      encodeReadyForQuery(failed),
    );
    script.client(encodeQuery("select 4"));
    script.server(
      encodeError(new BorealisError("25P02", "x"), "ERROR"),
      encodeReadyForQuery(failed),
    );
    script.client(encodeQuery("rollback"));
    script.server(encodeCommandComplete("ROLLBACK"), encodeReadyForQuery(idle));
    expect(script.lines.slice(2)).toEqual([
      "server: reconnect",
      "connected: > Q(begin) Q(refused by the endpoint)",
      "server:",
      "server: refused",
      "client: > Q(select 'refused by the endpoint')",
      "server: < E(40001) Z(E)",
      "client: > Q(select 4)",
      "server: < E(25P02) Z(E)",
      "client: > Q(rollback)",
      "server: < C(ROLLBACK) Z(I)",
    ]);
  });

  const lostOne = (): Script =>
    failedThere(
      new Script({ wishes: { ...defaultWishes, isReplayed: false } }).inTransaction().lost(),
    );

  it("that is lost is not told of to a ROLLBACK, and a COMMIT does not succeed", () => {
    const rollback = lostOne().forget().client(encodeQuery("rollback"));
    rollback.server(encodeCommandComplete("ROLLBACK"), encodeReadyForQuery(idle));
    expect(rollback.lines[1]).toBe("server: < C(ROLLBACK) Z(I)");
    const commit = lostOne().forget().client(encodeQuery("commit"));
    commit.server(encodeCommandComplete("ROLLBACK"), encodeReadyForQuery(idle));
    expect(commit.lines[1]).toBe("server: < E(40001) Z(I)");
    const several = lostOne().forget().client(encodeQuery("commit; insert into t values (1)"));
    expect(several.lines).toEqual(["client: > Q(select 'refused by the endpoint')"]);
  });

  it("that is lost leaves out what follows on its COMMIT in one batch", () => {
    const script = lostOne().forget();
    const statement = (text: string): Buffer =>
      Buffer.concat([encodeParse("", text), encodeBind("", ""), encodeExecute("")]);
    script.client(statement("commit"), statement("insert into t values (1)"), encodeSync());
    script.server(one(backend.parseComplete), one(backend.bindComplete));
    script.server(encodeCommandComplete("ROLLBACK"), encodeReadyForQuery(idle));
    expect(script.lines).toEqual(["client: > P B E S", "server: < 1 2", "server: < E(40001) Z(I)"]);
  });

  it("with replay off is refused at the statement in flight", () => {
    const script = new Script({ wishes: { ...defaultWishes, isReplayed: false } }).inTransaction();
    script.client(encodeQuery("select 1")).lost();
    expect(script.lines[1]).toBe("lost: < E(40001) Z(E) reconnect");
  });

  it("is not run again where DO is in it, and may have left something that is not known: 57P01", () => {
    const script = new Script()
      .inTransaction()
      .ran("do $$begin end$$", encodeCommandComplete("DO"));
    script.client(encodeQuery("select 1")).lost();
    expect(script.lines.at(-1)).toBe("lost: < E(40001) Z(E) ended fail 57P01");
  });

  it.each(["copy t from '/x'", "select dblink('a')"])("with %s is not run again", (text) => {
    const script = new Script().inTransaction().ran(text, encodeCommandComplete("X"));
    script.client(encodeQuery("select 1")).lost();
    expect(script.lines.at(-1)).toBe("lost: < E(40001) Z(E) reconnect");
  });

  it("over the bound is not run again", () => {
    const script = new Script({ journalBytesMax: 40 }).inTransaction();
    script.ran(`select '${"x".repeat(40)}'`, row("x"));
    script.client(encodeQuery("select 1")).lost();
    expect(script.lines.at(-1)).toBe("lost: < E(40001) Z(E) reconnect");
  });

  it("that is shorter the second time differs", () => {
    const script = inTransaction()
      .lost()
      .connected()
      .server(...began);
    script.server(encodeCommandComplete("SELECT 0"), encodeReadyForQuery(open));
    expect(script.lines.at(-1)).toBe("server: reconnect");
  });

  it("is run again from its beginning when the next server is lost, too", () => {
    const script = inTransaction()
      .lost()
      .connected()
      .server(...began)
      .lost()
      .connected();
    script.server(...began, row("1"), encodeReadyForQuery(open));
    expect(script.lines.slice(3)).toEqual([
      "lost: reconnect",
      "connected: > Q(begin) Q(select 1)",
      "server: replayed",
    ]);
  });

  it("is compared over long answers too", () => {
    const long = Array.from({ length: 200 }, (_, n) => encodeDataRow(["x".repeat(500) + n]));
    const answer = (last: string): Buffer[] => [
      encodeRowDescription([{ name: "a" }]),
      ...long,
      encodeDataRow([last]),
      encodeCommandComplete("SELECT 201"),
    ];
    for (const [last, told] of [
      ["a", "server: replayed"],
      ["b", "server: reconnect"],
    ] as const) {
      const script = new Script()
        .inTransaction()
        .ran("select a from t", ...answer("a"))
        .lost();
      script.connected().server(...began, ...answer(last), encodeReadyForQuery(open));
      expect(script.lines.at(-1)).toBe(told);
    }
  });

  it("does not let the client pass before the comparison is over", () => {
    const script = inTransaction().lost().connected().client(encodeQuery("commit"));
    script.server(...began, row("2"), encodeReadyForQuery(open));
    expect(script.lines.slice(2)).toEqual(["client:", "server: reconnect"]);
  });
});

describe("a COMMIT in flight", () => {
  const commit = (...answers: Buffer[]): Script => {
    const script = new Script().inTransaction().ran("select 1", row("1"));
    return script
      .client(encodeQuery("commit"))
      .server(...answers)
      .lost();
  };

  it("that is committed is answered", () => {
    const script = commit(...asked("77"))
      .fate("committed")
      .connected();
    expect(script.lines.slice(2)).toEqual([
      "lost: ask 77",
      "committed: < C(COMMIT) Z(I) reconnect",
      "connected: answered",
    ]);
  });

  it("that was answered but for its end is answered once", () => {
    const script = commit(...asked("77"), encodeCommandComplete("COMMIT")).fate("committed");
    expect(script.lines[3]).toBe("committed: < C(COMMIT) Z(I) reconnect");
  });

  it("that never happened is run again with its transaction", () => {
    const script = commit(...asked("77"))
      .fate("neverHappened")
      .connected();
    script.server(...began, row("1"), encodeReadyForQuery(open));
    expect(script.lines.slice(4)).toEqual([
      "connected: > Q(begin) Q(select 1)",
      "server: > F F Q(commit) replayed",
    ]);
  });

  it("that never happened and cannot be run again is 40001, and its transaction is over", () => {
    const script = commit(...asked("77"))
      .fate("aborted")
      .connected();
    script.server(...began, row("2"), encodeReadyForQuery(open)).connected();
    expect(script.lines.slice(5)).toEqual([
      "server: < E(40001) Z(I) reconnect",
      "connected: refused",
    ]);
  });

  it("that has no id wrote nothing, and is answered without asking", () => {
    expect(commit(...asked(null)).lines[2]).toBe("lost: < C(COMMIT) Z(I) reconnect");
  });

  it("that the server had not come to is run again without asking", () => {
    expect(commit().lines[2]).toBe("lost: reconnect");
    expect(commit(functionResult("77"), encodeReadyForQuery(open)).lines[2]).toBe(
      "lost: reconnect",
    );
  });

  it("whose fate nobody knows within hold_timeout ends in 08007", () => {
    const script = commit(...asked("77"));
    const actions = script.survivor.gaveUp(new BorealisError("57P03", "nobody"));
    expect(actions.map(({ kind }) => kind)).toEqual(["outcome", "fail"]);
    expect(actions[1]).toMatchObject({ error: { code: "08007" } });
  });

  it("in a batch is answered with all that is missing", () => {
    const script = new Script().inTransaction();
    script.client(
      encodeParse("", "commit"),
      encodeBind("", ""),
      encodeDescribe("portal", ""),
      encodeExecute(""),
      encodeSync(),
    );
    script
      .server(...asked("77"), one(backend.parseComplete))
      .lost()
      .fate("committed");
    expect(script.lines.at(-1)).toBe("committed: < 2 n C(COMMIT) Z(I) reconnect");
  });

  it("behind an INSERT in a batch is asked about where it stands", () => {
    const script = new Script().inTransaction();
    const statement = (text: string): Buffer =>
      Buffer.concat([encodeParse("", text), encodeBind("", ""), encodeExecute("")]);
    script.client(statement("insert into t values (1)"), statement("commit"), encodeSync());
    const ran = [one(backend.parseComplete), one(backend.bindComplete)];
    script.server(...ran, encodeCommandComplete("INSERT 0 1"), ...ran, ...queryAnswer("77"));
    script.lost().fate("committed");
    expect(script.lines.slice(-2)).toEqual([
      "lost: ask 77",
      "committed: < C(COMMIT) Z(I) reconnect",
    ]);
  });

  it("that waits for the quorum is asked about when its writer goes", () => {
    const script = new Script({ synchronousCommit: "off" }).inTransaction();
    script.client(encodeQuery("commit"));
    const answer = queryAnswer("77").map((each, at) =>
      at === 2 ? encodeDataRow(["77", "0", "off", null, null]) : each,
    );
    script.server(...answer, encodeReadyForQuery(open), encodeCommandComplete("COMMIT"));
    script.server(encodeReadyForQuery(idle)).lost().fate("committed");
    expect(script.lines.slice(2)).toEqual([
      "server: awaitDurable",
      "lost: ask 77",
      "committed: < C(COMMIT) Z(I) reconnect",
    ]);
  });
});

describe("a batch without its Sync", () => {
  it("that is refused is skipped up to its Sync", () => {
    const script = new Script({ wishes: { ...defaultWishes, isReplayed: false } }).inTransaction();
    script.client(encodeParse("", "select 1"), encodeBind("", ""), encodeFlush()).lost();
    script.connected().server(...began);
    script.server(
      encodeError(new BorealisError("42601", "x"), "ERROR"),
      encodeReadyForQuery(failed),
    );
    script.forget().client(encodeExecute(""), encodeSync(), encodeQuery("rollback"));
    expect(script.lines).toEqual(["client: > Q(rollback) < Z(E)"]);
  });
});

describe("a batch that writes outside a transaction, without its Sync", () => {
  it("goes on behind what was told", () => {
    const script = new Script();
    script.client(
      encodeParse("", "insert into t values (1)"),
      encodeBind("", ""),
      encodeExecute(""),
    );
    script.client(encodeFlush());
    const answer = [
      one(backend.parseComplete),
      one(backend.bindComplete),
      encodeCommandComplete("INSERT 0 1"),
    ];
    script
      .server(...answer)
      .lost()
      .connected()
      .server(...answer)
      .forget();
    script.client(encodeSync());
    expect(script.lines).toEqual(["client: > P B E C C H S"]);
  });
});

describe("what a session has", () => {
  const readback = (settings: readonly (readonly [string, string])[]): Buffer[] => {
    const found = {
      settings,
      custom: [],
      user: "postgres",
      role: "none",
      prepared: [],
      channels: [],
      temporary: 0,
      held: 0,
    };
    return [
      one(backend.parseComplete),
      one(backend.bindComplete),
      encodeDataRow([Buffer.from(JSON.stringify(found)).toString("base64")]),
      encodeCommandComplete("SELECT 1"),
      one(backend.closeComplete),
      one(backend.closeComplete),
      encodeReadyForQuery(idle),
    ];
  };
  const set = encodeQuery("set work_mem = '1MB'");
  const answer = [encodeCommandComplete("SET"), encodeReadyForQuery(idle)];

  it("is read back after what may change it, unseen, and made again", () => {
    const script = new Script().client(set).server(...answer);
    script
      .server(...readback([["work_mem", "1024"]]))
      .lost()
      .connected();
    script.server(...readback([]).slice(0, 2), ...readback([]).slice(3));
    expect(script.lines.slice(1)).toEqual([
      "server: > P B E C C S < C(SET) Z(I)",
      "server:",
      "lost: reconnect",
      "connected: > P B E C C S",
      "server: continued",
    ]);
  });

  it("is unknown in the moment before: then the session ends", () => {
    const script = new Script()
      .client(set)
      .server(...answer)
      .lost();
    expect(script.lines.at(-1)).toBe("lost: ended fail 57P01");
  });

  it("that was not answered yet is done again with its statement", () => {
    const script = new Script().client(set).lost().connected();
    expect(script.lines.at(-1)).toBe("connected: > Q(set work_mem = '1MB') rerun");
  });

  it("has the statements of the protocol, with their types", () => {
    const types = Buffer.concat([
      encodeParse("s", "select $1").subarray(0, -2),
      Buffer.from([0, 1, 0, 0, 0, 23]),
    ]);
    types.writeUInt32BE(types.length - 1, 1);
    const script = new Script().client(types, encodeSync());
    script.server(one(backend.parseComplete), encodeReadyForQuery(idle)).lost();
    const sent = script.survivor.connected(
      script.survivor.conversation.exchange.options,
      new Map(),
    );
    expect(sent[0]).toMatchObject({ kind: "toServer" });
    const [action] = sent;
    expect(action?.kind === "toServer" && action.bytes.includes(types)).toBe(true);
  });
});
