import { beforeAll, describe, expect, it } from "vitest";
import { BorealisError } from "../base/errors.ts";
import {
  aBook,
  aPlanner,
  asked,
  began,
  bytesTo,
  extended,
  failure,
  freshAnswer,
  functionResult,
  letters,
  one,
  queryAnswer,
  row,
  SurvivorScript,
} from "../../test/helpers/session-script.ts";
import { loadParser } from "../route/index.ts";
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
  frontend,
  transactionState,
} from "../wire/index.ts";
import type { Action } from "./action.ts";
import type { RestoreCycle } from "./restore.ts";
import { defaultWishes } from "./survival-wishes.ts";

beforeAll(() => loadParser());

const { idle, open, failed } = transactionState;
const crash = encodeError(new BorealisError("57P01", "going away"), "FATAL");
/** A server process's warning as it ends at once. */
const quickdie = (code: string): Buffer =>
  encodeMessage(backend.notice, (body) =>
    body.text("S").cString("WARNING").text("C").cString(code).text("R").cString("quickdie").u8(0),
  );
const cycleOf = (sql: string): RestoreCycle => ({ bytes: encodeQuery(sql), what: sql });

const update = encodeQuery("update t set a = 1");

describe("an idle session", () => {
  it("goes on with another server, and its next statement goes there", () => {
    const script = new SurvivorScript().lost().connected().client(encodeQuery("select 1"));
    expect(script.lines).toEqual([
      "lost: reconnect",
      "connected: continued",
      "client: > Q(select 1)",
    ]);
  });

  it("keeps what the client sends meanwhile", () => {
    const script = new SurvivorScript().lost().client(encodeQuery("select 1")).connected();
    expect(script.lines.slice(1)).toEqual(["client:", "connected: > Q(select 1) continued"]);
  });

  it("hears of parameters that differ, and of those only", () => {
    const script = new SurvivorScript();
    script.server(encodeParameterStatus("TimeZone", "UTC"), encodeParameterStatus("a", "1"));
    script.forget().lost().connected({ TimeZone: "CET", a: "1" });
    expect(script.lines[1]).toBe("connected: < S continued");
  });

  it("is made again first", () => {
    const cycles = [cycleOf("set a = 1"), cycleOf("listen x")];
    const script = new SurvivorScript({}, aBook({ restore: () => ({ cycles }) }));
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
    const never = new SurvivorScript({}, aBook({ obstacle: () => "it has temporary objects" }));
    expect(never.lost().lines).toEqual(["lost: ended fail 57P01"]);
    const broken = aBook({
      restore: () => ({ cycles: [cycleOf("set a = 1")] }),
      restored: (_, codes) => codes.get(0),
    });
    const script = new SurvivorScript({}, broken).lost().connected();
    script.server(
      encodeError(new BorealisError("42501", "no"), "ERROR"),
      encodeReadyForQuery(idle),
    );
    expect(script.lines[2]).toBe("server: ended fail 57P01");
  });

  it("is closed without a word where it wants Aurora's behaviour", () => {
    const wishes = { ...defaultWishes, onFailover: "disconnect" } as const;
    expect(new SurvivorScript({ wishes }).lost().lines).toEqual(["lost: disconnected close"]);
    const script = new SurvivorScript().client(
      encodeQuery("set borealis.on_failover = disconnect"),
    );
    script.server(encodeCommandComplete("SET"), encodeReadyForQuery(idle));
    expect(script.lost().lines.at(-1)).toBe("lost: disconnected close");
  });

  it("does not hear what the old server said as it went", () => {
    const script = new SurvivorScript().server(crash).lost();
    expect(script.lines).toEqual(["server:", "lost: reconnect"]);
  });

  it.each(["57P01", "57P02"])("does not hear a postmaster's kill announced by %s", (code) => {
    const script = new SurvivorScript().server(quickdie(code)).lost();
    expect(script.lines).toEqual(["server:", "lost: reconnect"]);
    const atWork = new SurvivorScript().client(update).server(quickdie(code)).lost();
    expect(atWork.lines.slice(1)).toEqual(["server:", "lost: reconnect"]);
    const wishes = { ...defaultWishes, onFailover: "disconnect" } as const;
    const leaving = new SurvivorScript({ wishes }).server(quickdie(code)).lost();
    expect(leaving.lines).toEqual(["server:", "lost: disconnected close"]);
  });

  it("is held no longer than hold_timeout by a server that is gone for the cluster, but lives", () => {
    const nobody = new BorealisError("57P03", "nobody");
    const atCommit = new SurvivorScript().client(encodeQuery("update t set a = 1"));
    for (const [script, outcome, code] of [
      [new SurvivorScript(), "expired", "57P03"],
      [atCommit, "unknown", "08007"],
    ] as const) {
      script.survivor.drain();
      expect(script.survivor.gaveUp(nobody)).toMatchObject([
        { kind: "outcome", outcome },
        { kind: "fail", error: { code } },
      ]);
    }
  });

  it("survives the loss of the next server while it is made again", () => {
    const cycles = [cycleOf("update t set a = 1")];
    const script = new SurvivorScript({}, aBook({ restore: () => ({ cycles }) }));
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
    const script = new SurvivorScript().client(encodeQuery("select 1")).lost().connected();
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
    const start = (): SurvivorScript =>
      new SurvivorScript()
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
    const script = new SurvivorScript().client(encodeQuery("select 1"));
    script.server(encodeRowDescription([{ name: "a" }]), encodeDataRow(["x".repeat(20_000)]));
    expect(script.lost().lines.at(-1)).toBe("lost: < E(40001) Z(I) reconnect");
  });

  it("that had not come to its commit is run again without asking anybody", () => {
    const script = new SurvivorScript().client(update).lost().connected();
    expect(script.lines).toEqual([
      "client: > P B D E C P B E C C H S",
      "lost: reconnect",
      "connected: > P B D E C P B E C C H S rerun",
    ]);
  });

  const atCommit = (...messages: Buffer[]): SurvivorScript =>
    new SurvivorScript()
      .client(...(messages.length > 0 ? messages : [update]))
      .server(
        one(backend.parseComplete),
        one(backend.bindComplete),
        one(backend.noData),
        encodeCommandComplete("UPDATE 1"),
        // That of the unnamed statement, which a simple Query does not leave.
        ...(messages.length > 0 ? [] : [one(backend.closeComplete)]),
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
      "connected: > P B D E C P B E C C H S rerun",
    ]);
  });

  it("that calls what users have made under a built-in's name is asked about, and not just run again", () => {
    const select = encodeQuery("select upper(5)");
    const planner = aPlanner({ codeNames: new Set(["upper"]) });
    const script = new SurvivorScript({ planner }).client(select);
    expect(script.lines).toEqual(["client: > P B D E C P B E C C H S"]);
    script.server(
      one(backend.parseComplete),
      one(backend.bindComplete),
      row("x"),
      one(backend.closeComplete),
      ...queryAnswer("77"),
    );
    script.lost().fate("committed");
    expect(script.lines.slice(1)).toEqual([
      "server:",
      "lost: ask 77",
      "committed: < T D C(SELECT 1) Z(I) reconnect",
    ]);
  });

  it("that notifies is told as done if it was committed, and run again only if it had not come to that", () => {
    const notify = (...answers: Buffer[]): SurvivorScript =>
      new SurvivorScript()
        .client(encodeQuery("notify x"))
        .server(...answers)
        .lost();
    expect(notify().lines.at(-1)).toBe("lost: reconnect");
    const ran = [
      one(backend.parseComplete),
      one(backend.bindComplete),
      one(backend.noData),
      encodeCommandComplete("NOTIFY"),
      one(backend.closeComplete),
    ];
    const asking = (): SurvivorScript => notify(...ran, ...freshAnswer("77"));
    expect(asking().lines.at(-1)).toBe("lost: ask 77");
    expect(asking().fate("committed").lines.at(-1)).toBe("committed: < C(NOTIFY) Z(I) reconnect");
    // Nothing waited for the quorum: who listens may have heard of it.
    expect(asking().fate("neverHappened").lines.at(-1)).toBe(
      "neverHappened: < E(08007) Z(I) reconnect",
    );
    expect(notify(...ran, ...queryAnswer(null)).lines.at(-1)).toBe(
      "lost: < E(08007) Z(I) reconnect",
    );
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

  const wroteNothing = (text: string): SurvivorScript =>
    new SurvivorScript()
      .client(encodeQuery(text))
      .server(
        one(backend.parseComplete),
        one(backend.bindComplete),
        row("1"),
        one(backend.closeComplete),
        ...queryAnswer(null),
      );

  it("that wrote nothing is run again, since its answer may be old", () => {
    const script = wroteNothing("select f()").lost().connected();
    expect(script.lines.slice(2)).toEqual([
      "lost: reconnect",
      "connected: > P B D E C P B E C C H S rerun",
    ]);
  });

  it("that wrote nothing, and is not to be run again, is answered with what it gave", () => {
    const script = wroteNothing("select dblink('x')");
    expect(script.lost().lines.at(-1)).toBe("lost: < T D C(SELECT 1) Z(I) reconnect");
  });

  it("that crashes its server is not run on the next", () => {
    const text = encodeQuery("select aurora_inject_crash('instance')");
    for (const options of [{}, { isHonest: false }]) {
      const script = new SurvivorScript(options).client(text).forget().lost().connected();
      expect(script.lines).toEqual(["lost: < E(40001) Z(I) reconnect", "connected: refused"]);
    }
  });

  it("that executes such a statement, of a name that it was prepared under, neither", () => {
    const crash = "select aurora_inject_crash('instance')";
    const script = new SurvivorScript({ isHonest: false });
    script.client(encodeParse("c", crash), encodeSync());
    script.server(one(backend.parseComplete), encodeReadyForQuery(idle));
    script.client(encodeQuery("execute c")).forget().lost().connected();
    expect(script.lines).toEqual(["lost: < E(40001) Z(I) reconnect", "connected: > P S"]);
  });

  it.each([
    ["at a reader", encodeQuery("insert into t values (1)"), { isHonest: false }],
    ["of a batch", Buffer.concat([extended("select 1/0"), encodeSync()]), {}],
    ["of several", encodeQuery("insert into t values (1); insert into t values (1)"), {}],
    ["that is sent as it is", encodeQuery("vacuum t"), {}],
  ])("that has failed, and was told so, hears of no second error: one %s", (_, sent, options) => {
    const script = new SurvivorScript(options).client(sent).forget();
    script.server(failure("23505")).lost().connected();
    expect(script.lines).toEqual([
      "server: < E(23505)",
      "lost: < Z(I) reconnect",
      "connected: answered",
    ]);
  });

  it.each(["before", "while"] as const)(
    "that has failed in the middle of a message of its COPY: the rest is no message, %s it is looked for a server",
    (when) => {
      const data = encodeMessage(frontend.copyData, (body) =>
        body.raw(encodeQuery("drop table t")),
      );
      const [begin, rest] = [data.subarray(0, 7), data.subarray(7)];
      const script = new SurvivorScript({ isHonest: false });
      script.client(encodeQuery("copy t from stdin"));
      script.server(encodeMessage(backend.copyIn, (body) => body.u8(0).u16(0)));
      script.client(begin).server(failure("22P02")).lost();
      if (when === "while") script.client(rest).connected();
      else script.connected().client(rest);
      script.client(one(frontend.copyDone), encodeQuery("select 1"));
      expect(script.lines.join("\n")).not.toContain("drop");
      expect(script.lines.at(-1)).toContain("Q(select 1)");
    },
  );

  it.each([
    ["set work_mem = 'x'", {}],
    ["listen x", { isHonest: false }],
    ["select set_config('work_mem', 'x', false)", { isHonest: false }],
    ["deallocate nope", {}],
  ])("that has failed, and was told so, has changed nothing: %s", (sql, options) => {
    const script = new SurvivorScript(options).client(encodeQuery(sql)).forget();
    script.server(failure("22023")).lost().connected();
    expect(script.lines).toEqual([
      "server: < E(22023)",
      "lost: < Z(I) reconnect",
      "connected: answered",
    ]);
  });

  it("that has failed, and may have changed the session all the same: it ends", () => {
    const sql = "prepare p as select 1; select 1/0";
    const script = new SurvivorScript({ isHonest: false }).client(encodeQuery(sql));
    script.server(encodeCommandComplete("PREPARE"), failure("22012")).lost();
    expect(script.lines.at(-1)).toBe("lost: < Z(I) ended fail 57P01");
  });

  it.each([
    ["behind messages without a Sync", encodeParse("", "select 1"), "begin; select 1/0"],
    ["that is not known", encodeExecute("p"), undefined],
  ])("that has failed %s may be in a transaction", (_, ahead, sql) => {
    const script = new SurvivorScript({ isHonest: false }).client(ahead);
    script.client(sql === undefined ? encodeSync() : encodeQuery(sql)).server(failure("22012"));
    expect(script.lost().lines.at(-1)).not.toContain("< Z(I)");
  });

  it("that has failed, and may have left a transaction open, is not told that there is none", () => {
    const script = new SurvivorScript().client(encodeQuery("begin; select 1/0; rollback"));
    script
      .forget()
      .server(began[0] as Buffer, failure("22012"))
      .lost();
    expect(script.lines.at(-1)).not.toContain("Z(I) reconnect");
  });

  it("that takes one server after the other with it is given up", () => {
    const script = new SurvivorScript().client(encodeQuery("select crash()"));
    script.lost().connected().lost().connected().lost().connected().forget().lost().connected();
    expect(script.lines).toEqual(["lost: < E(40001) Z(I) reconnect", "connected: refused"]);
  });

  it("in the middle of a message hears of nothing else before its end", () => {
    const script = new SurvivorScript().client(encodeQuery("select 1"));
    const answer = Buffer.concat([row("x".repeat(2_000)), encodeReadyForQuery(idle)]);
    const notification = encodeMessage(backend.notification, (body) =>
      body.u32(1).cString("a").cString(""),
    );
    const heard = (actions: readonly Action[]): Buffer => bytesTo("toClient", actions);
    const { survivor } = script;
    const parts = [heard(survivor.fromServer(answer.subarray(0, 1_000)))];
    script.lost().connected({ TimeZone: "CET" });
    parts.push(heard(survivor.fromServer(notification)));
    parts.push(heard(survivor.fromServer(answer.subarray(0, 1_500))));
    parts.push(heard(survivor.fromServer(answer.subarray(1_500))));
    expect(letters(Buffer.concat(parts))).toBe("TDCZAS");
  });

  it("in the middle of a message cannot be told of an end: the socket closes", () => {
    const script = new SurvivorScript({}, aBook({ obstacle: () => "it has temporary objects" }));
    script.client(encodeQuery("select 1")).server(row("x".repeat(2_000)).subarray(0, 1_000));
    expect(script.lost().lines.at(-1)).toBe("lost: ended close");
  });

  it.each(["do $$begin end$$", "call p()", "vacuum", "insert into t values (1); commit; select 1"])(
    "%s is never run twice",
    (text) => {
      const script = new SurvivorScript().client(encodeQuery(text)).lost().connected();
      expect(script.lines.slice(1)).toEqual([
        "lost: < E(08007) Z(I) reconnect",
        "connected: unknown",
      ]);
    },
  );

  it("that reaches beyond the database is not run again", () => {
    const text = encodeQuery("select pg_terminate_backend(7)");
    expect(new SurvivorScript().client(text).lost().lines[1]).toBe(
      "lost: < E(40001) Z(I) reconnect",
    );
  });

  it("that is longer than what is kept is not run again", () => {
    const script = new SurvivorScript({ journalBytesMax: 10 })
      .client(encodeQuery("select 1"))
      .lost();
    expect(script.lines[1]).toBe("lost: < E(40001) Z(I) reconnect");
  });

  it("goes on where its rest comes later only", () => {
    const text = encodeQuery(`select '${"x".repeat(300_000)}'`);
    const script = new SurvivorScript().client(text.subarray(0, 2000)).lost().connected();
    script.client(text.subarray(2000));
    const sent = Buffer.concat([text.subarray(0, 2000), text.subarray(2000)]);
    expect(sent.equals(text)).toBe(true);
    expect(script.lines).toHaveLength(4);
    const short = new SurvivorScript({ journalBytesMax: 10 }).client(text.subarray(0, 2000)).lost();
    short.connected().forget().client(text.subarray(2000), encodeQuery("select 2"));
    expect(short.lines).toEqual(["client: > Q(select 2)"]);
  });

  it("whose Bind came ahead of the answer to the one before is known all the same", () => {
    const first = Buffer.concat([extended("select 1"), encodeSync()]);
    const script = new SurvivorScript().client(first);
    script.client(encodeParse("", "select 2"), encodeBind("", "")).forget();
    script.server(one(backend.parseComplete), one(backend.bindComplete), row("1"));
    script.server(encodeReadyForQuery(idle)).forget();
    script.client(encodeExecute(""), encodeSync()).lost().connected();
    script.server(one(backend.parseComplete), encodeReadyForQuery(idle));
    expect(script.lines.slice(1)).toEqual([
      "lost: reconnect",
      "connected: > P S",
      "server: > P B E S rerun",
    ]);
  });

  it("in front of others lets them follow, each in its turn", () => {
    const script = new SurvivorScript().client(encodeQuery("select 1"), encodeQuery("select 2"));
    script.lost().connected();
    expect(script.lines[2]).toBe("connected: > Q(select 1) Q(select 2) rerun");
  });
});

describe("a transaction", () => {
  const inTransaction = (): SurvivorScript =>
    new SurvivorScript().inTransaction().ran("select 1", row("1"));

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
  const failedThere = (script: SurvivorScript): SurvivorScript =>
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

  const lostOne = (): SurvivorScript =>
    failedThere(
      new SurvivorScript({ wishes: { ...defaultWishes, isReplayed: false } })
        .inTransaction()
        .lost(),
    );

  it("that called a function with an effect outside is not run again", () => {
    const planner = aPlanner({ outsideNames: new Set(["side"]) });
    const script = new SurvivorScript({ planner }).inTransaction();
    script.ran("select f()", row("1")).lost().connected();
    expect(script.lines.at(-1)).toBe("connected: > Q(begin) pauseClient");
    const other = new SurvivorScript({ planner }).inTransaction();
    other.ran("select side()", row("1")).lost().connected();
    expect(other.lines.at(-1)).toBe("connected: > Q(begin) Q(refused by the endpoint)");
    expect(other.told).toEqual(["40001"]);
  });

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
    script.client(extended("commit"), extended("insert into t values (1)"), encodeSync());
    script.server(one(backend.parseComplete), one(backend.bindComplete));
    script.server(encodeCommandComplete("ROLLBACK"), encodeReadyForQuery(idle));
    expect(script.lines).toEqual(["client: > P B E S", "server: < 1 2", "server: < E(40001) Z(I)"]);
  });

  it("with replay off is refused at the statement in flight", () => {
    const script = new SurvivorScript({
      wishes: { ...defaultWishes, isReplayed: false },
    }).inTransaction();
    script.client(encodeQuery("select 1")).lost();
    expect(script.lines[1]).toBe("lost: < E(40001) Z(E) reconnect");
  });

  it("is not run again where DO is in it, and may have left something that is not known: 57P01", () => {
    const script = new SurvivorScript()
      .inTransaction()
      .ran("do $$begin end$$", encodeCommandComplete("DO"));
    script.client(encodeQuery("select 1")).lost();
    expect(script.lines.at(-1)).toBe("lost: < E(40001) Z(E) ended fail 57P01");
  });

  it.each([
    "copy t from '/x'",
    "select dblink('a')",
    "select pg_catalog.aurora_inject_disk_failure(100, 0, false, 9)",
  ])("with %s is not run again", (text) => {
    const script = new SurvivorScript().inTransaction().ran(text, encodeCommandComplete("X"));
    script.client(encodeQuery("select 1")).lost();
    expect(script.lines.at(-1)).toBe("lost: < E(40001) Z(E) reconnect");
  });

  it("over the bound is not run again", () => {
    const script = new SurvivorScript({ journalBytesMax: 40 }).inTransaction();
    script.ran(`select '${"x".repeat(40)}'`, row("x"));
    script.client(encodeQuery("select 1")).lost();
    expect(script.lines.at(-1)).toBe("lost: < E(40001) Z(E) reconnect");
  });

  it.each([
    [encodeQuery("commit and chain"), asked("77")],
    [encodeQuery("commit; begin; select 1"), []],
  ])(
    "that follows on another's COMMIT is not run again: that would commit twice",
    (end, answers) => {
      const script = new SurvivorScript().inTransaction().ran("update t set a = 1", row("1"));
      script
        .client(end)
        .server(...answers, encodeCommandComplete("COMMIT"), encodeReadyForQuery(open));
      script.durable().client(encodeQuery("select 1")).lost();
      expect(script.lines.at(-1)).toBe("lost: < E(40001) Z(E) reconnect");
    },
  );

  it("that COMMIT AND CHAIN began is lost; the one that was committed is told", () => {
    const script = new SurvivorScript().inTransaction().ran("update t set a = 1", row("1"));
    script
      .client(encodeQuery("commit and chain"))
      .server(...asked("77"))
      .lost();
    script.forget().fate("committed");
    expect(script.lines).toEqual(["committed: < C(COMMIT) Z(T) reconnect"]);
    script
      .connected()
      .server(...began)
      .server(failure("42601"), encodeReadyForQuery(failed));
    script
      .client(encodeQuery("select 1"))
      .forget()
      .server(failure("25P02"), encodeReadyForQuery(failed));
    expect(script.lines.join("; ")).toContain("< E(40001) Z(E)");
  });

  it("whose BEGIN fails the second time runs nothing more: it would commit by itself", () => {
    const script = new SurvivorScript().inTransaction().ran("update t set a = 1", row("1"));
    script.lost().connected().server(failure("57014"), encodeReadyForQuery(idle));
    expect(script.lines.slice(1)).toEqual([
      "connected: > Q(begin) pauseClient",
      "server: reconnect",
    ]);
  });

  it("that takes one server after the other with it is given up", () => {
    const script = inTransaction().lost();
    for (let time = 0; time < 2; time++) script.connected().lost();
    script.forget().connected().lost();
    expect(script.lines).toEqual(["connected: > Q(begin) Q(select 1)", "lost: reconnect"]);
    script
      .connected()
      .server(...began)
      .server(failure("42601"), encodeReadyForQuery(failed));
    expect(script.lines.at(-1)).toBe("server: refused");
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
      const script = new SurvivorScript()
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
  const commit = (...answers: Buffer[]): SurvivorScript => {
    const script = new SurvivorScript().inTransaction().ran("select 1", row("1"));
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

  /** It takes an id inside COMMIT, so it takes it before: `answer` says whether it had one. */
  const takingId = (text: string, answer: Buffer[], commitText = "commit"): SurvivorScript => {
    const script = new SurvivorScript().inTransaction().ran(text, row("1"));
    script.client(encodeQuery(commitText)).server(...answer, encodeReadyForQuery(open));
    expect(script.lines).toEqual([`client: > P B E C C S Q(${commitText})`, "server:"]);
    return script.lost();
  };
  const held = "declare c cursor with hold for select 1";

  it.each([
    ["notify x", "reconnect"],
    ["select pg_notify('x', '')", "reconnect"],
    // The cursor is lost with its server.
    [held, "ended fail 57P01"],
  ])("with %s alone is answered if it is committed", (text, then) => {
    const script = takingId(text, freshAnswer("77")).fate("committed");
    expect(script.lines[3]).toBe(`committed: < C(COMMIT) Z(I) ${then}`);
  });

  it.each([
    ["notify x", freshAnswer("77"), "< E(08007) Z(I) reconnect"],
    ["select pg_notify('x', '')", freshAnswer("77"), "< E(08007) Z(I) reconnect"],
    [
      "declare c cursor with hold for select pg_notify('x', '')",
      freshAnswer("77"),
      "< E(08007) Z(I) reconnect",
    ],
    // With a write beside it PostgreSQL waits for the quorum before anybody hears.
    ["notify x", queryAnswer("77"), "reconnect"],
    [held, freshAnswer("77"), "reconnect"],
  ])(
    "with %s that never happened is in doubt only if somebody may have heard",
    (text, answer, then) => {
      const script = takingId(text, answer).fate("neverHappened");
      expect(script.lines[3]).toBe(`neverHappened: ${then}`);
    },
  );

  it.each([
    ["prepared", "< C(PREPARE TRANSACTION) Z(I) reconnect"],
    ["aborted", "< E(40001) Z(I) reconnect"],
    ["neverHappened", "< E(40001) Z(I) reconnect"],
  ] as const)("of two phases, that wrote nothing and is %s, is known", (fate, then) => {
    const script = takingId("select 1", freshAnswer("77"), "prepare transaction 'x'").fate(fate);
    expect(script.lines[3]).toBe(`${fate}: ${then}`);
  });

  it("that was sent before the one in front of it had ended keeps what takes an id", () => {
    const script = new SurvivorScript().inTransaction();
    script.client(extended("commit"), encodeSync(), extended("begin"), encodeSync());
    script.client(extended("notify x"), encodeSync());
    const ran = [one(backend.parseComplete), one(backend.bindComplete)];
    script.server(
      ...asked("77"),
      ...ran,
      encodeCommandComplete("COMMIT"),
      encodeReadyForQuery(idle),
    );
    script.server(...ran, encodeCommandComplete("BEGIN"), encodeReadyForQuery(open));
    script.server(...ran, encodeCommandComplete("NOTIFY"), encodeReadyForQuery(open)).forget();
    expect(script.client(encodeQuery("commit")).lines).toEqual(["client: > P B E C C S Q(commit)"]);
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
    const script = new SurvivorScript().inTransaction();
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
    const script = new SurvivorScript().inTransaction();
    script.client(extended("insert into t values (1)"), extended("commit"), encodeSync());
    const ran = [one(backend.parseComplete), one(backend.bindComplete)];
    script.server(...ran, encodeCommandComplete("INSERT 0 1"), ...ran, ...queryAnswer("77"));
    script.lost().fate("committed");
    expect(script.lines.slice(-2)).toEqual([
      "lost: ask 77",
      "committed: < C(COMMIT) Z(I) reconnect",
    ]);
  });

  it("that waits for the quorum is asked about when its writer goes", () => {
    const script = new SurvivorScript({ synchronousCommit: "off" }).inTransaction();
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

describe("COMMIT PREPARED in flight", () => {
  const commit = (text: string, ...answers: Buffer[]): SurvivorScript =>
    new SurvivorScript()
      .client(encodeQuery(text))
      .server(...answers)
      .lost();
  const known = [...queryAnswer("77"), encodeReadyForQuery(idle)];

  it.each([
    ["commit prepared 'x'", "committed", "< C(COMMIT PREPARED) Z(I) reconnect"],
    ["commit prepared 'x'", "prepared", "reconnect"],
    ["commit prepared 'x'", "aborted", "< E(08007) Z(I) reconnect"],
    ["rollback prepared 'x'", "aborted", "< C(ROLLBACK PREPARED) Z(I) reconnect"],
    ["rollback prepared 'x'", "committed", "< E(08007) Z(I) reconnect"],
  ] as const)("%s of one that is %s", (text, fate, told) => {
    const script = commit(text, ...known).fate(fate);
    expect(script.lines).toEqual([
      `client: > P B E C C S Q(${text})`,
      "server:",
      "lost: ask 77",
      `${fate}: ${told}`,
    ]);
  });

  it("that the server had not come to is sent again", () => {
    expect(commit("commit prepared 'x'").connected().lines.slice(2)).toEqual([
      "lost: reconnect",
      "connected: > P B E C C S Q(commit prepared 'x') rerun",
    ]);
  });

  const executed = (...texts: string[]): Buffer =>
    Buffer.concat([...texts.map((text) => extended(text)), encodeSync()]);
  const ran = [one(backend.parseComplete), one(backend.bindComplete)];

  it.each([
    ["committed", ran, "< C(COMMIT PREPARED) Z(I) reconnect"],
    ["committed", [], "< 1 2 C(COMMIT PREPARED) Z(I) reconnect"],
    ["prepared", [], "reconnect"],
    ["prepared", ran, "< E(40001) Z(I) reconnect"],
    ["aborted", ran, "< E(08007) Z(I) reconnect"],
  ] as const)("in extended messages, of one that is %s", (fate, answers, told) => {
    const script = new SurvivorScript().client(executed("commit prepared 'x'"));
    script
      .server(...known, ...answers)
      .lost()
      .fate(fate);
    expect(script.lines[0]).toBe("client: > P B E C C S P B E S");
    expect(script.lines.slice(2)).toEqual(["lost: ask 77", `${fate}: ${told}`]);
  });

  it("in extended messages behind others waits until they are answered, and is asked about then", () => {
    const script = new SurvivorScript().client(
      encodeQuery("select 1"),
      executed("commit prepared 'x'"),
    );
    script
      .server(row("1"), encodeReadyForQuery(idle))
      .server(...known)
      .lost();
    expect(script.lines).toEqual([
      "client: > Q(select 1) pauseClient",
      "server: > P B E C C S P B E S < T D C(SELECT 1) Z(I)",
      "server:",
      "lost: ask 77",
    ]);
  });

  it("in extended messages, of a statement that was prepared before, is asked about at its Bind", () => {
    const script = new SurvivorScript();
    script.client(encodeParse("s", "commit prepared 'x'"), encodeSync());
    script.server(...known, one(backend.parseComplete), encodeReadyForQuery(idle)).forget();
    script.client(encodeBind("", "s"), encodeExecute(""), encodeSync());
    script.server(...known).lost();
    expect(script.lines).toEqual(["client: > P B E C C S B E S", "server:", "lost: ask 77"]);
  });

  it.each([
    [
      "with another statement behind it",
      executed("commit prepared 'x'", "insert into t values (1)"),
    ],
    ["with another one behind it", executed("commit prepared 'x'", "commit prepared 'y'")],
    [
      "with another one in its place",
      Buffer.concat([encodeParse("", "commit prepared 'x'"), executed("commit prepared 'y'")]),
    ],
  ])("in one batch %s is in doubt", (_, batch) => {
    const script = new SurvivorScript()
      .client(batch)
      .server(...known)
      .lost();
    expect(script.lines.at(-1)).toBe("lost: < E(08007) Z(I) reconnect");
  });

  it("of one that is not there is in doubt", () => {
    const script = commit("commit prepared 'x'", ...queryAnswer(null), encodeReadyForQuery(idle));
    expect(script.lines.at(-1)).toBe("lost: < E(08007) Z(I) reconnect");
  });
});

describe("what a lost server says as it goes", () => {
  const answered = [row("1"), encodeReadyForQuery(idle)];
  const draining = (): SurvivorScript => {
    const script = new SurvivorScript().client(encodeQuery("select 1"));
    script.survivor.drain();
    return script;
  };

  it("behind an answer, of its end or besides, does not mean that it went on", () => {
    const notice = encodeMessage(backend.notification, (body) =>
      body.u32(1).cString("a").cString(""),
    );
    const script = draining()
      .server(...answered, notice, crash)
      .lost()
      .connected();
    expect(script.lines.slice(2)).toEqual(["lost: reconnect", "connected: > Q(select 1) rerun"]);
  });

  it("to what came behind means just that", () => {
    const script = draining()
      .client(encodeQuery("select 2"))
      .server(...answered, row("2"));
    expect(script.lost().lines.at(-1)).toBe("lost: ended fail 57P01");
  });

  it("is kept up to a bound, and what it was the answer to is told without", () => {
    const script = new SurvivorScript().client(encodeQuery("select f()"));
    script.survivor.drain();
    script.server(one(backend.parseComplete), one(backend.bindComplete));
    for (let count = 0; count < 20; count++) script.server(encodeDataRow(["x".repeat(100_000)]));
    script.server(encodeCommandComplete("SELECT 20"), one(backend.closeComplete));
    script.server(...queryAnswer("77"));
    script.lost().fate("committed");
    expect(script.lines.at(-1)).toBe("committed: < E(08007) Z(I) reconnect");
  });
});

describe("a batch without its Sync", () => {
  it("that is refused is skipped up to its Sync", () => {
    const script = new SurvivorScript({
      wishes: { ...defaultWishes, isReplayed: false },
    }).inTransaction();
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
    const script = new SurvivorScript();
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
      one(backend.closeComplete),
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
    const script = new SurvivorScript().client(set).server(...answer);
    script
      .server(...readback([["work_mem", "1024"]]))
      .lost()
      .connected();
    script.server(...readback([]).slice(0, 3), ...readback([]).slice(4));
    expect(script.lines.slice(1)).toEqual([
      "server: > C P B E C C S < C(SET) Z(I)",
      "server:",
      "lost: reconnect",
      "connected: > C P B E C C S",
      "server: continued",
    ]);
  });

  it("is unknown in the moment before: then the session ends", () => {
    const script = new SurvivorScript().client(encodeQuery("deallocate all"));
    script.server(encodeCommandComplete("DEALLOCATE ALL"), encodeReadyForQuery(idle)).lost();
    expect(script.lines.at(-1)).toBe("lost: ended fail 57P01");
  });

  it("is set once more in the moment before, if that is all that was done", () => {
    const script = new SurvivorScript().client(set).server(...answer);
    script.lost().connected();
    script.server(...answer);
    expect(script.lines.slice(2)).toEqual([
      "lost: reconnect",
      "connected: > Q(set work_mem = '1MB')",
      "server: continued",
    ]);
    // What it came to is asked when the session is idle again.
    script.client(encodeQuery("select 1")).server(row("1"), encodeReadyForQuery(idle));
    expect(script.lines.at(-1)).toBe("server: > C P B E C C S < T D C(SELECT 1) Z(I)");
  });

  it("that was set behind a BEGIN in one batch may be undone, too", () => {
    const script = new SurvivorScript({ isHonest: false }).client(extended("begin"), set);
    const batch = [one(backend.parseComplete), one(backend.bindComplete)];
    script.server(...batch, encodeCommandComplete("BEGIN"), encodeCommandComplete("SET"));
    script.server(encodeReadyForQuery(open)).client(encodeQuery("rollback"));
    script.server(encodeCommandComplete("ROLLBACK"), encodeReadyForQuery(idle)).lost();
    expect(script.lines.at(-1)).toBe("lost: ended fail 57P01");
  });

  it("that was set in a transaction is unknown in that moment: a part of it may be undone", () => {
    const script = new SurvivorScript().client(encodeQuery("begin")).server(...began);
    script.client(set).server(encodeCommandComplete("SET"), encodeReadyForQuery(open));
    script.client(encodeQuery("rollback"));
    script.server(encodeCommandComplete("ROLLBACK"), encodeReadyForQuery(idle)).lost();
    expect(script.lines.at(-1)).toBe("lost: ended fail 57P01");
  });

  it("that was not answered yet is done again with its statement", () => {
    const script = new SurvivorScript().client(set).lost().connected();
    expect(script.lines.at(-1)).toBe("connected: > Q(set work_mem = '1MB') rerun");
  });

  it("has the statements of the protocol, with their types", () => {
    const types = Buffer.concat([
      encodeParse("s", "select $1").subarray(0, -2),
      Buffer.from([0, 1, 0, 0, 0, 23]),
    ]);
    types.writeUInt32BE(types.length - 1, 1);
    const script = new SurvivorScript().client(types, encodeSync());
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

describe("an error that goes to a client", () => {
  it("is counted when it is told, also if the session ends then", () => {
    const script = new SurvivorScript({}, aBook({ obstacle: () => "it has temporary objects" }))
      .inTransaction()
      .client(encodeQuery("vacuum"))
      .lost();
    expect(script.lines.at(-1)).toMatch(/< E\(40001\).* ended fail 57P01$/);
    expect(script.told).toEqual(["40001"]);
  });

  it("is counted once, though it waits for the next statement", () => {
    const script = new SurvivorScript({ wishes: { ...defaultWishes, isReplayed: false } })
      .inTransaction()
      .lost()
      .connected();
    expect(script.told).toEqual(["40001"]);
    script.client(encodeQuery("select 1"));
    expect(script.told).toEqual(["40001"]);
  });

  it("is none where all goes on", () => {
    const script = new SurvivorScript().lost().connected().inTransaction().lost().connected();
    expect(script.told).toEqual([]);
  });
});
