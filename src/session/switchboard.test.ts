import { beforeAll, describe, expect, it } from "vitest";
import { sqlState, BorealisError } from "../base/errors.ts";
import { classify, loadParser } from "../route/index.ts";
import {
  backend,
  encodeBind,
  encodeClose,
  encodeCommandComplete,
  encodeDescribe,
  encodeError,
  encodeExecute,
  encodeFlush,
  encodeMessage,
  encodeParameterStatus,
  encodeParse,
  encodeQuery,
  encodeReadyForQuery,
  encodeSync,
  MessageScanner,
} from "../wire/index.ts";
import { Carrying } from "./carrying.ts";
import type { ConsistencyMode } from "./consistency.ts";
import { forwardTextOf, preparedTextOf } from "./forward-decision.ts";
import { type SideName, type SwitchAction, Switchboard } from "./switchboard.ts";

beforeAll(loadParser);

const ready = { idle: 0x49, open: 0x54, failed: 0x45 } as const;
const parsed = encodeMessage(backend.parseComplete);
const bound = encodeMessage(backend.bindComplete);
const noData = encodeMessage(backend.noData);

/** Messages as their first bytes, with the text of a Query: "Q(begin) PBES". */
function spell(bytes: Buffer): string {
  const scanner = new MessageScanner((_, total) => total);
  const words: string[] = [];
  scanner.begin(bytes);
  while (scanner.next()) {
    const letter = String.fromCharCode(scanner.type);
    const body = scanner.buffer.subarray(scanner.start + 5, scanner.end);
    words.push(letter === "Q" ? `Q(${body.toString("utf8", 0, body.length - 1)})` : letter);
  }
  return words.join(" ");
}

/** A switchboard with a record of what it does; servers are told by hand what to answer. */
class Desk {
  readonly carrying = new Carrying();
  readonly prepared = new Map<string, string>();
  readonly sent: Record<SideName, string[]> = { reader: [], writer: [] };
  readonly told: string[] = [];
  readonly prepares: Extract<SwitchAction, { kind: "prepare" }>[] = [];
  mode: ConsistencyMode = "session";
  isReader = true;
  isServed = true;
  isSettled = true;
  readonly board: Switchboard;

  constructor(state: number = ready.idle) {
    this.board = new Switchboard({
      textOf: (sql) => forwardTextOf(classify(sql)),
      findPrepared: (name) => {
        const sql = this.prepared.get(name);
        if (sql === undefined) return undefined;
        const isPrepare = sql.startsWith("prepare");
        return { text: (isPrepare ? preparedTextOf : forwardTextOf)(classify(sql)), sql };
      },
      mode: () => this.mode,
      isReader: () => this.isReader,
      isServed: () => this.isServed,
      carrying: this.carrying,
      isSettled: () => this.isSettled,
      state,
    });
  }

  run(actions: readonly SwitchAction[]): void {
    for (const action of actions) {
      if (action.kind === "toSide") this.sent[action.side].push(spell(action.bytes));
      else if (action.kind === "toClient") this.told.push(spell(action.bytes));
      else if (action.kind === "prepare") this.prepares.push(action);
    }
  }

  client(...messages: Buffer[]): void {
    this.run(this.board.fromClient(Buffer.concat(messages)));
  }

  says(side: SideName, ...messages: Buffer[]): void {
    this.run(this.board.fromSide(side, Buffer.concat(messages)));
  }

  /** The last question is answered: the side is ready. */
  makeReady(): void {
    this.run(this.board.prepared());
  }

  done(side: SideName, tag: string, state: number = ready.idle): void {
    this.says(side, encodeCommandComplete(tag), encodeReadyForQuery(state));
  }

  take(side: SideName): string {
    return this.sent[side].splice(0).join(" ");
  }

  hears(): string {
    return this.told.splice(0).join(" ");
  }
}

const insert = "insert into t values (1)";
const execution = [encodeBind("", ""), encodeExecute(""), encodeSync()];

describe("simple queries", () => {
  it("go to the reader, and a write to the writer once that is ready", () => {
    const desk = new Desk();
    desk.client(encodeQuery("select 1"));
    expect(desk.take("reader")).toBe("Q(select 1)");
    desk.done("reader", "SELECT 1");
    expect(desk.hears()).toBe("C Z");
    desk.client(encodeQuery(insert));
    expect(desk.prepares).toEqual([
      { kind: "prepare", side: "writer", begin: undefined, needsUnnamed: false },
    ]);
    expect([desk.take("reader"), desk.take("writer")]).toEqual(["", ""]);
    desk.makeReady();
    expect(desk.take("writer")).toBe(`Q(${insert})`);
    expect(desk.board.activeSide).toBe("writer");
    desk.done("writer", "INSERT 0 1");
    expect(desk.hears()).toBe("C Z");
    expect(desk.board.hasUnseen).toBe(true);
    expect(desk.board.isQuiet).toBe(true);
  });

  it("are sent one after the other, whichever side each is for", () => {
    const desk = new Desk();
    desk.mode = "eventual";
    desk.client(encodeQuery("select 1"), encodeQuery(insert), encodeQuery("select 2"));
    expect(desk.take("reader")).toBe("Q(select 1)");
    desk.done("reader", "SELECT 1");
    desk.makeReady();
    expect(desk.take("writer")).toBe(`Q(${insert})`);
    expect(desk.take("reader")).toBe("");
    desk.done("writer", "INSERT 0 1");
    expect(desk.take("reader")).toBe("Q(select 2)");
    desk.done("reader", "SELECT 1");
    expect(desk.hears()).toBe("C Z C Z C Z");
  });

  it("may come byte by byte", () => {
    const desk = new Desk();
    for (const byte of encodeQuery(insert)) desk.client(Buffer.from([byte]));
    desk.makeReady();
    expect(desk.take("writer")).toBe(`Q(${insert})`);
  });

  it.each<[ConsistencyMode, number, boolean]>([
    ["eventual", 0, true],
    ["session", 1, true],
    ["global", 1, true],
    ["session", 0, false],
    ["global", 1, false],
  ])("%s: a read waits %i times after a write (%s)", (mode, waits, hasWritten) => {
    const desk = new Desk();
    desk.mode = mode;
    desk.board.hasUnseen = hasWritten;
    desk.client(encodeQuery("select 1"));
    expect(desk.prepares).toHaveLength(waits);
    expect(desk.prepares.every(({ side }) => side === "reader")).toBe(true);
    if (waits > 0) desk.makeReady();
    expect(desk.take("reader")).toBe("Q(select 1)");
  });

  it("a side that cannot be made ready is an error of this statement alone", () => {
    const desk = new Desk();
    desk.client(encodeQuery(insert), encodeQuery("select 1"));
    desk.run(desk.board.refuse(new BorealisError(sqlState.cannotConnectNow, "no writer")));
    expect(desk.take("reader")).toBe("Q(refused by the endpoint)");
    const syntax = encodeError(
      new BorealisError("42601", 'syntax error at or near "refused"'),
      "ERROR",
    );
    desk.run(
      desk.board.fromSide("reader", Buffer.concat([syntax, encodeReadyForQuery(ready.idle)])),
    );
    expect(desk.hears()).toBe("E Z");
    expect(desk.take("reader")).toBe("Q(select 1)");
  });

  it("run on the reader while the mode is off, and where the session's server is the writer", () => {
    const off = new Desk();
    off.mode = "off";
    const atWriter = new Desk();
    atWriter.isReader = false;
    for (const desk of [off, atWriter]) {
      desk.client(encodeQuery(insert));
      expect(desk.take("reader")).toBe(`Q(${insert})`);
    }
  });
});

describe("a session that has lost its server", () => {
  it("forwards what would open a transaction, and what goes on with one stays where that runs again", () => {
    for (const [opened, isForwarded] of [
      [[], true],
      [["begin"], true],
      [["begin", insert], false],
    ] as const) {
      const desk = new Desk();
      desk.isReader = false;
      for (const text of opened) {
        desk.client(encodeQuery(text));
        desk.done("reader", text === "begin" ? "BEGIN" : "INSERT 0 1", ready.open);
      }
      desk.take("reader");
      desk.isServed = false;
      desk.client(encodeQuery(insert));
      expect([desk.prepares.length, desk.take("reader")]).toEqual(
        isForwarded ? [1, ""] : [0, `Q(${insert})`],
      );
    }
  });
});

describe("transactions", () => {
  it("are the writer's if they begin with a write, until they end", () => {
    const desk = new Desk();
    desk.client(encodeQuery("begin isolation level repeatable read"));
    expect(desk.take("reader")).toBe("Q(begin isolation level repeatable read)");
    desk.done("reader", "BEGIN", ready.open);
    desk.client(encodeQuery(insert));
    expect(desk.prepares[0]?.begin).toBe("begin isolation level repeatable read");
    desk.makeReady();
    desk.done("writer", "INSERT 0 1", ready.open);
    desk.client(encodeQuery("select 1"));
    desk.done("writer", "SELECT 1", ready.open);
    desk.client(encodeQuery("commit"));
    expect(desk.take("writer")).toBe(`Q(${insert}) Q(select 1) Q(commit)`);
    desk.done("writer", "COMMIT");
    expect(desk.take("reader")).toBe("");
    desk.mode = "eventual";
    desk.client(encodeQuery("select 2"));
    expect(desk.take("reader")).toBe("Q(select 2)");
  });

  it("that have read refuse a write, and are failed then", () => {
    const desk = new Desk();
    desk.client(encodeQuery("begin"));
    desk.done("reader", "BEGIN", ready.open);
    desk.client(encodeQuery("select 1"));
    desk.done("reader", "SELECT 1", ready.open);
    desk.take("reader");
    desk.client(encodeQuery(insert));
    expect(desk.take("reader")).toBe("Q(refused by the endpoint)");
    desk.hears();
    const actions = desk.board.fromSide(
      "reader",
      encodeError(new BorealisError("42601", 'syntax error at or near "refused"'), "ERROR"),
    );
    const [told] = actions.flatMap((one) => (one.kind === "toClient" ? [one.bytes] : []));
    expect(told?.toString("latin1")).toContain("25006");
    desk.says("reader", encodeReadyForQuery(ready.failed));
    desk.client(encodeQuery(insert));
    expect(desk.take("reader")).toBe(`Q(${insert})`);
  });

  it("that were open when forwarding was switched on stay where they are", () => {
    const desk = new Desk(ready.open);
    desk.client(encodeQuery(insert));
    expect(desk.take("reader")).toBe("Q(refused by the endpoint)");
  });

  it("said to be READ ONLY hear PostgreSQL's own refusal", () => {
    const desk = new Desk();
    desk.client(encodeQuery("begin read only"));
    desk.done("reader", "BEGIN", ready.open);
    desk.client(encodeQuery(insert));
    expect(desk.take("reader")).toBe(`Q(begin read only) Q(${insert})`);
  });

  it("wait once, before their first statement and not at BEGIN", () => {
    const desk = new Desk();
    desk.mode = "global";
    desk.client(encodeQuery("begin"));
    desk.done("reader", "BEGIN", ready.open);
    expect(desk.prepares).toHaveLength(0);
    desk.client(encodeQuery("select 1"));
    expect(desk.prepares).toEqual([
      { kind: "prepare", side: "reader", begin: undefined, needsUnnamed: false },
    ]);
    desk.makeReady();
    desk.done("reader", "SELECT 1", ready.open);
    desk.client(encodeQuery("select 2"));
    expect(desk.prepares).toHaveLength(1);
  });
});

describe("extended messages", () => {
  it("go to the writer as a whole if the first that is run is a write", () => {
    const desk = new Desk();
    desk.client(encodeParse("", insert), ...execution);
    expect(desk.prepares).toHaveLength(1);
    desk.makeReady();
    expect(desk.take("writer")).toBe("P B E S");
    desk.says("writer", parsed, bound);
    desk.done("writer", "INSERT 0 1");
    expect(desk.hears()).toBe("1 2 C Z");
    expect(desk.take("reader")).toBe("");
  });

  it("prepare on the reader, and run on the writer what was prepared there", () => {
    const desk = new Desk();
    desk.client(encodeParse("s", insert), encodeDescribe("statement", "s"), encodeSync());
    expect(desk.take("reader")).toBe("P D S");
    desk.says("reader", parsed, noData, encodeReadyForQuery(ready.idle));
    desk.prepared.set("s", insert);
    desk.client(encodeBind("", "s"), encodeExecute(""), encodeSync());
    desk.makeReady();
    expect(desk.take("writer")).toBe("B E S");
  });

  it("make on the reader what they have prepared on the writer", () => {
    const desk = new Desk();
    desk.client(encodeParse("s", insert), encodeBind("", "s"), encodeExecute(""), encodeSync());
    desk.makeReady();
    desk.says("writer", parsed, bound);
    desk.done("writer", "INSERT 0 1");
    expect(desk.hears()).toBe("1 2 C Z");
    expect(desk.take("reader")).toBe("P S");
    desk.client(encodeQuery("select 1"));
    expect(desk.take("reader")).toBe("");
    desk.mode = "eventual";
    desk.says("reader", parsed, encodeReadyForQuery(ready.idle));
    expect(desk.hears()).toBe("");
    expect(desk.take("reader")).toBe("Q(select 1)");
  });

  it("do not make on the reader what failed on the writer, and close there what was closed", () => {
    const desk = new Desk();
    desk.client(
      encodeClose("statement", "old"),
      encodeParse("s", insert),
      encodeBind("", "s"),
      encodeExecute(""),
      encodeSync(),
    );
    desk.makeReady();
    const error = encodeError(new BorealisError("42P05", "it exists"), "ERROR");
    const closed = encodeMessage(backend.closeComplete);
    desk.says("writer", closed, error, encodeReadyForQuery(ready.idle));
    expect(desk.take("reader")).toBe("C S");
  });

  it("whose answers the client awaits before it says what to run: Flush", () => {
    const desk = new Desk();
    desk.client(encodeParse("s", insert), encodeDescribe("statement", "s"), encodeFlush());
    expect(desk.take("reader")).toBe("P D H");
    desk.prepared.set("s", insert);
    desk.client(encodeBind("", "s"), encodeExecute(""), encodeSync());
    expect(desk.prepares).toHaveLength(0);
    desk.says(
      "reader",
      parsed,
      encodeMessage(backend.parameterDescription, (b) => b.u16(0)),
      noData,
    );
    expect(desk.hears()).toBe("1 t n");
    expect(desk.prepares).toHaveLength(1);
    desk.makeReady();
    expect(desk.take("writer")).toBe("B E S");
  });

  it("BEGIN and a write in one batch are a transaction of the writer's", () => {
    const desk = new Desk();
    desk.client(
      encodeParse("", "begin"),
      encodeBind("", ""),
      encodeExecute(""),
      encodeParse("", insert),
      encodeBind("", ""),
      encodeDescribe("portal", ""),
      encodeExecute(""),
      encodeSync(),
    );
    expect(desk.prepares).toEqual([
      { kind: "prepare", side: "writer", begin: undefined, needsUnnamed: false },
    ]);
    desk.makeReady();
    expect(desk.take("writer")).toBe("P B E P B D E S");
    desk.done("writer", "INSERT 0 1", ready.open);
    desk.client(encodeParse("", "commit"), ...execution);
    expect(desk.take("writer")).toBe("P B E S");
  });

  it("BEGIN alone runs on the reader, and moves with the first write", () => {
    const desk = new Desk();
    desk.client(encodeParse("", "begin"), ...execution);
    expect(desk.take("reader")).toBe("P B E S");
    desk.says("reader", parsed, bound);
    desk.done("reader", "BEGIN", ready.open);
    desk.client(encodeParse("", insert), ...execution);
    expect(desk.prepares[0]?.begin).toBe("begin");
  });

  it("run EXECUTE where the statement that it executes belongs", () => {
    const desk = new Desk();
    desk.prepared.set("p", `prepare p as ${insert}`);
    desk.prepared.set("q", "prepare q as select 1");
    desk.client(encodeQuery("execute q"));
    expect(desk.take("reader")).toBe("Q(execute q)");
    desk.done("reader", "SELECT 1");
    desk.client(encodeQuery("execute p"));
    desk.makeReady();
    expect(desk.take("writer")).toBe("Q(execute p)");
  });

  it("are refused in a batch with one error, and ReadyForQuery after its Sync", () => {
    const desk = new Desk(ready.open);
    desk.client(encodeParse("", insert), encodeBind("", ""), encodeExecute(""));
    expect(desk.take("reader")).toBe("P P");
    desk.client(encodeSync());
    expect(desk.take("reader")).toBe("S");
    const syntax = encodeError(
      new BorealisError("42601", 'syntax error at or near "refused"'),
      "ERROR",
    );
    desk.says("reader", syntax, encodeReadyForQuery(ready.failed));
    expect(desk.hears()).toBe("E Z");
  });
});

describe("a batch", () => {
  const step = (sql: string): Buffer[] => [
    encodeParse("", sql),
    encodeBind("", ""),
    encodeExecute(""),
  ];
  const opened = (): Desk => {
    const desk = new Desk();
    desk.client(encodeQuery("begin"));
    desk.done("reader", "BEGIN", ready.open);
    desk.client(encodeQuery(insert));
    desk.makeReady();
    desk.done("writer", "INSERT 0 1", ready.open);
    desk.take("reader");
    desk.take("writer");
    desk.hears();
    return desk;
  };

  it("of a forwarded transaction is judged at each Bind", () => {
    const desk = opened();
    desk.client(...step(insert), ...step("set work_mem = '1MB'"), encodeSync());
    // The last P is what fails.
    expect(desk.take("writer")).toBe("P B E P P S");
  });

  it("that was forwarded may leave nothing in the writer's session", () => {
    const desk = new Desk();
    desk.client(...step(insert), ...step("listen c"), ...step(insert), encodeSync());
    desk.makeReady();
    expect(desk.take("writer")).toBe("P B E P P S");
    expect(desk.take("reader")).toBe("");
  });

  it("goes on with a portal of a forwarded transaction", () => {
    const desk = opened();
    desk.client(encodeExecute("c"), encodeSync());
    expect(desk.take("writer")).toBe("E S");
  });

  it("that has set something is the session's own, whatever follows", () => {
    const desk = new Desk();
    desk.client(...step("set work_mem = '1MB'"), ...step(insert), encodeSync());
    expect(desk.prepares).toHaveLength(0);
    expect(desk.take("reader")).toBe("P B E P B E S");
    expect(desk.take("writer")).toBe("");
  });

  it("waits before it reads, not before it sets", () => {
    const desk = new Desk();
    desk.board.hasUnseen = true;
    desk.client(...step("set work_mem = '1MB'"), encodeSync());
    expect(desk.take("reader")).toBe("P B E S");
    desk.done("reader", "SET");
    desk.client(...step("set work_mem = '1MB'"), ...step("select 1"), encodeSync());
    expect(desk.prepares).toHaveLength(1);
    desk.makeReady();
    expect(desk.take("reader")).toBe("P B E P B E S");
  });

  it("waits before it is parsed or described", () => {
    for (const end of [encodeSync(), encodeFlush()]) {
      const desk = new Desk();
      desk.board.hasUnseen = true;
      desk.client(encodeParse("s", "select * from t"), encodeDescribe("statement", "s"), end);
      expect(desk.take("reader")).toBe("");
      expect(desk.prepares).toEqual([
        { kind: "prepare", side: "reader", begin: undefined, needsUnnamed: false },
      ]);
      desk.makeReady();
      expect(desk.take("reader")).toMatch(/^P D [SH]$/);
    }
  });

  it("that cannot be forwarded is answered up to the error: BEGIN has run", () => {
    const desk = new Desk();
    desk.client(...step("begin"), ...step(insert), encodeSync());
    desk.run(desk.board.refuse(new BorealisError(sqlState.cannotConnectNow, "no writer")));
    expect(desk.take("reader")).toBe("P B E P P S");
    desk.says("reader", parsed, bound, encodeCommandComplete("BEGIN"), parsed);
    const syntax = encodeError(new BorealisError("42601", 'at or near "refused"'), "ERROR");
    desk.says("reader", syntax, encodeReadyForQuery(ready.failed));
    expect(desk.hears()).toBe("1 2 C 1 E Z");
    desk.client(encodeQuery(insert));
    expect(desk.take("reader")).toBe(`Q(${insert})`);
  });

  it("hears of its own syntax error, not of what it is refused for", () => {
    const desk = opened();
    desk.client(...step("not sql"), encodeSync());
    expect(desk.take("writer")).toBe("P P S");
    const actions = desk.board.fromSide(
      "writer",
      encodeError(new BorealisError("42601", 'syntax error at or near "not"'), "ERROR"),
    );
    const [told] = actions.flatMap((one) => (one.kind === "toClient" ? [one.bytes] : []));
    expect(told?.toString("latin1")).toContain("42601");
  });

  it("says which unnamed statement it runs", () => {
    const desk = new Desk();
    desk.client(encodeParse("", insert), encodeDescribe("statement", ""), encodeSync());
    desk.says("reader", parsed, noData, encodeReadyForQuery(ready.idle));
    desk.client(encodeBind("", ""), encodeExecute(""), encodeSync());
    expect(desk.prepares.at(-1)?.needsUnnamed).toBe(true);
    desk.makeReady();
    desk.done("writer", "INSERT 0 1");
    desk.client(...step(insert), encodeSync());
    expect(desk.prepares.at(-1)?.needsUnnamed).toBe(false);
    desk.makeReady();
    desk.done("writer", "INSERT 0 1");
    // The one that the writer has got: the session's own is an older one, whatever it is.
    desk.client(encodeBind("", ""), encodeExecute(""), encodeSync());
    expect(desk.prepares.at(-1)?.needsUnnamed).toBe(false);
  });
});

describe("the unnamed statement that was made on the writer", () => {
  const onWriter = (): Desk => {
    const desk = new Desk();
    desk.mode = "eventual";
    desk.client(encodeParse("", insert), encodeBind("", ""), encodeExecute(""), encodeSync());
    desk.makeReady();
    desk.take("writer");
    desk.done("writer", "INSERT 0 1");
    return desk;
  };

  it("is described there", () => {
    const desk = onWriter();
    desk.client(encodeDescribe("statement", ""), encodeSync());
    desk.makeReady();
    expect([desk.take("reader"), desk.take("writer")]).toEqual(["", "D S"]);
  });

  it("is not taken for an older one in a transaction of the reader's", () => {
    const desk = new Desk();
    desk.mode = "eventual";
    const run = (name: string): Buffer[] => [encodeBind("", name), encodeExecute(""), encodeSync()];
    desk.prepared.set("b", "begin");
    desk.prepared.set("w", insert);
    desk.prepared.set("c", "commit");
    desk.prepared.set("r", "select 1");
    desk.client(...run("b"));
    desk.done("reader", "BEGIN", ready.open);
    desk.client(...run("w"));
    desk.makeReady();
    desk.done("writer", "INSERT 0 1", ready.open);
    desk.client(encodeParse("", "select 2"), ...run(""));
    desk.done("writer", "SELECT 1", ready.open);
    desk.client(...run("c"));
    desk.done("writer", "COMMIT");
    desk.take("writer");
    desk.client(...run("b"));
    desk.done("reader", "BEGIN", ready.open);
    desk.client(...run("r"));
    desk.done("reader", "SELECT 1", ready.open);
    desk.take("reader");
    desk.client(...run(""));
    expect([desk.take("reader"), desk.take("writer")]).toEqual(["P S", ""]);
  });
});

describe("what a read is shown", () => {
  it("waits in a transaction that was said to be READ ONLY", () => {
    const desk = new Desk();
    desk.board.hasUnseen = true;
    desk.client(encodeQuery("begin read only"));
    desk.done("reader", "BEGIN", ready.open);
    expect(desk.prepares).toHaveLength(0);
    desk.client(encodeQuery("select 1"));
    expect(desk.prepares).toHaveLength(1);
  });

  it("waits in a transaction that has set something first", () => {
    const desk = new Desk();
    desk.mode = "global";
    desk.client(encodeQuery("begin"));
    desk.done("reader", "BEGIN", ready.open);
    desk.client(encodeQuery("set local work_mem = '1MB'"));
    desk.done("reader", "SET", ready.open);
    expect(desk.prepares).toHaveLength(0);
    desk.client(encodeQuery("select 1"));
    expect(desk.prepares).toHaveLength(1);
  });

  it("does not keep a session from choosing a weaker mode", () => {
    const desk = new Desk();
    desk.board.hasUnseen = true;
    for (const sql of ["set apg_write_forward.consistency_mode = eventual", "discard all"]) {
      desk.client(encodeQuery(sql));
      expect(desk.take("reader")).toBe(`Q(${sql})`);
      desk.done("reader", "SET");
    }
  });

  it("is what the session wrote on the writer itself, and is told of while it has no server", () => {
    const desk = new Desk();
    desk.isReader = false;
    desk.client(encodeQuery(insert));
    desk.isServed = false;
    desk.done("reader", "INSERT 0 1");
    expect(desk.board.hasUnseen).toBe(true);
  });

  it("is what the session wrote when it was on the writer itself", () => {
    const desk = new Desk();
    desk.isReader = false;
    desk.client(encodeQuery(insert));
    desk.done("reader", "INSERT 0 1");
    desk.isReader = true;
    desk.client(encodeQuery("select 1"));
    expect(desk.prepares).toHaveLength(1);
  });

  it("is waited for by a function that is called by its number", () => {
    const desk = new Desk();
    desk.board.hasUnseen = true;
    const call = encodeMessage(0x46, (body) => body.u32(1));
    desk.client(encodeParse("", "select 1"), call);
    expect(desk.take("reader")).toBe("P F");
    desk.says("reader", parsed, encodeReadyForQuery(ready.idle));
    desk.client(call);
    expect(desk.take("reader")).toBe("");
    desk.makeReady();
    expect(desk.take("reader")).toBe("F");
  });

  it("includes the relations of a statement that the writer has prepared", () => {
    const desk = new Desk();
    desk.client(encodeParse("s", insert), encodeBind("", "s"), encodeExecute(""), encodeSync());
    desk.makeReady();
    desk.says("writer", parsed, bound);
    desk.done("writer", "INSERT 0 1");
    expect(desk.take("reader")).toBe("P S");
    const missing = encodeError(new BorealisError("42P01", "no such relation"), "ERROR");
    const actions = desk.board.fromSide(
      "reader",
      Buffer.concat([missing, encodeReadyForQuery(ready.idle)]),
    );
    expect(actions).toEqual([{ kind: "catchUp" }]);
    desk.run(desk.board.caughtUp());
    expect(desk.take("reader")).toBe("P S");
    desk.says("reader", missing, encodeReadyForQuery(ready.idle));
    expect(desk.board.isQuiet).toBe(true);
  });
});

describe("COPY in a forwarded transaction", () => {
  it("ends with its data: what is sent behind that is looked at in its turn", () => {
    const desk = new Desk();
    desk.client(encodeQuery("begin"));
    desk.done("reader", "BEGIN", ready.open);
    desk.client(encodeQuery(insert));
    desk.makeReady();
    desk.done("writer", "INSERT 0 1", ready.open);
    desk.client(encodeQuery("copy t from stdin"));
    desk.says(
      "writer",
      encodeMessage(backend.copyIn, (body) => body.u8(0).u16(0)),
    );
    desk.take("writer");
    desk.client(encodeMessage(0x64), encodeMessage(0x63), encodeQuery("set work_mem = '1MB'"));
    expect(desk.take("writer")).toBe("d c");
    desk.done("writer", "COPY 1", ready.open);
    expect(desk.take("writer")).toBe("Q(refused by the endpoint)");
  });
});

describe("what is not an answer", () => {
  it("of the writer is told in a transaction, for what SET LOCAL does to the client", () => {
    const desk = new Desk();
    desk.client(encodeQuery("begin"));
    desk.done("reader", "BEGIN", ready.open);
    desk.client(encodeQuery(insert));
    desk.makeReady();
    desk.done("writer", "INSERT 0 1", ready.open);
    desk.hears();
    desk.client(encodeQuery("set local timezone = 'CET'"));
    desk.says("writer", encodeParameterStatus("TimeZone", "CET"));
    desk.says("writer", encodeParameterStatus("in_hot_standby", "off"));
    expect(desk.hears()).toBe("S");
  });

  it("of the writer is not told, and of the reader after the unit that is under way", () => {
    const desk = new Desk();
    desk.client(encodeQuery(insert));
    desk.makeReady();
    desk.says("writer", encodeParameterStatus("TimeZone", "UTC"));
    desk.says("reader", encodeParameterStatus("TimeZone", "CET"));
    expect(desk.hears()).toBe("");
    desk.done("writer", "INSERT 0 1");
    expect(desk.hears()).toBe("C Z S");
  });

  it("of a writer's session that ends while it is not used is nothing to the client", () => {
    const desk = new Desk();
    desk.client(encodeQuery(insert));
    desk.makeReady();
    desk.done("writer", "INSERT 0 1");
    desk.hears();
    desk.says("writer", encodeError(new BorealisError("57P01", "it ends"), "FATAL"));
    expect(desk.hears()).toBe("");
    desk.client(encodeQuery("begin"));
    desk.done("reader", "BEGIN", ready.open);
    desk.client(encodeQuery(insert));
    desk.makeReady();
    desk.done("writer", "INSERT 0 1", ready.open);
    desk.hears();
    desk.says("writer", encodeError(new BorealisError("57P01", "it ends"), "FATAL"));
    expect(desk.hears()).toBe("E");
  });

  it("waits for what the reader is asked about its session before the next statement is looked at", () => {
    const desk = new Desk();
    desk.client(encodeQuery(`prepare p as ${insert}`));
    desk.isSettled = false;
    desk.take("reader");
    desk.done("reader", "PREPARE");
    expect(desk.hears()).toBe("C Z");
    expect(desk.take("reader")).toBe("S");
    desk.client(encodeQuery("execute p"));
    expect(desk.prepares).toHaveLength(0);
    desk.prepared.set("p", `prepare p as ${insert}`);
    desk.says("reader", encodeReadyForQuery(ready.idle));
    expect(desk.hears()).toBe("");
    expect(desk.prepares).toHaveLength(1);
  });
});

describe("a batch without end", () => {
  it("costs no more with each message that the writer has still to answer", () => {
    const desk = new Desk();
    const parses = (message: Buffer): Buffer =>
      Buffer.concat(Array.from({ length: 200_000 }, () => message));
    desk.client(encodeParse("", insert), encodeBind("", ""), encodeExecute(""));
    desk.makeReady();
    // Minutes, if what is owed were moved up at each answer.
    desk.board.fromClient(parses(encodeParse("", "")));
    desk.says("writer", parsed, bound, encodeCommandComplete("INSERT 0 1"));
    desk.board.fromSide("writer", parses(parsed));
    expect(desk.board.isQuiet).toBe(false);
    desk.client(encodeSync());
    desk.says("writer", encodeReadyForQuery(ready.idle));
    expect(desk.board.isQuiet).toBe(true);
  });
});
