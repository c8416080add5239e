import { beforeAll, describe, expect, it } from "vitest";
import {
  aConversation,
  bytesTo,
  aPlanner,
  ConversationScript,
  extended,
  functionResult,
  letters,
  one,
  queryAnswer,
} from "../../test/helpers/session-script.ts";
import { loadParser } from "../route/index.ts";
import {
  backend,
  encodeBind,
  encodeClose,
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
  encodeTerminate,
  transactionState,
} from "../wire/index.ts";
import { BorealisError } from "../base/errors.ts";

beforeAll(() => loadParser());

const { idle, open, failed } = transactionState;

const begin = (): ConversationScript => {
  const script = new ConversationScript(aConversation());
  script
    .client(encodeQuery("begin"))
    .server(encodeCommandComplete("BEGIN"), encodeReadyForQuery(open));
  script.lines.length = 0;
  return script;
};
/** To both of our FunctionCalls, without the last ReadyForQuery. */
const functionAnswer = (value: string, id = "77"): Buffer =>
  Buffer.concat([functionResult(id), encodeReadyForQuery(open), functionResult(value)]);
const interrupted = encodeMessage(backend.notice, (body) =>
  body
    .text("S")
    .cString("WARNING")
    .text("C")
    .cString("01000")
    .text("R")
    .cString("SyncRepWaitForLSN")
    .u8(0),
);

describe("what needs nothing passes untouched", () => {
  it("a read, as one piece both ways", () => {
    const conversation = aConversation();
    const query = encodeQuery("select 1");
    expect(conversation.fromClient(query)).toEqual([{ kind: "toServer", bytes: query }]);
    const answer = Buffer.concat([
      encodeRowDescription([{ name: "a" }]),
      encodeDataRow(["1"]),
      encodeCommandComplete("SELECT 1"),
      encodeReadyForQuery(idle),
    ]);
    expect(conversation.fromServer(answer)).toEqual([{ kind: "toClient", bytes: answer }]);
    expect(conversation.isIdle).toBe(true);
  });

  it("everything on a reader", () => {
    const script = new ConversationScript(aConversation({ isHonest: false }));
    script.client(encodeQuery("insert into t values (1)"), encodeQuery("commit"));
    script.server(
      encodeError(new BorealisError("25006", "read-only"), "ERROR"),
      encodeReadyForQuery(idle),
    );
    expect(script.lines).toEqual(["client: > QQ", "server: < EZ"]);
  });

  it("remembers parameters and the state", () => {
    const conversation = aConversation();
    conversation.fromServer(encodeParameterStatus("TimeZone", "UTC"));
    conversation.fromClient(encodeQuery("begin"));
    conversation.fromServer(
      Buffer.concat([encodeCommandComplete("BEGIN"), encodeReadyForQuery(open)]),
    );
    expect(conversation.exchange.parameters.get("TimeZone")).toBe("UTC");
    expect(conversation.exchange.state).toBe(open);
  });
});

describe("rows behind a completion that is held", () => {
  const large = encodeDataRow(["x".repeat(40_000)]);
  const description = encodeRowDescription([{ name: "a" }]);

  it("are told in pieces once what was completed is durable", () => {
    const script = new ConversationScript(aConversation());
    script.client(encodeQuery("insert into t values (1); select * from u"));
    script
      .server(encodeCommandComplete("INSERT 0 1"))
      .server(description, large, large)
      .server(large);
    script.durable().server(large);
    expect(script.lines.slice(1)).toEqual([
      "server: ",
      "server: await inserted",
      "server: ",
      "durable: < CTDDD resumeServer",
      "server: < D",
    ]);
  });

  it("in a batch, too", () => {
    const script = new ConversationScript(aConversation());
    script.client(extended("insert into t values (1)"), extended("select * from u"), encodeSync());
    const parsed = [one(backend.parseComplete), one(backend.bindComplete)];
    script.server(...parsed, encodeCommandComplete("INSERT 0 1"), ...parsed, large, large);
    expect(script.lines.at(-1)).toBe("server: await inserted");
  });
});

describe("COMMIT in a transaction block", () => {
  it("is asked about in the same write, and passes when it is honest", () => {
    const script = begin();
    script.client(encodeQuery("commit"));
    script.server(functionAnswer("on"), encodeReadyForQuery(open));
    script.server(encodeCommandComplete("COMMIT"), encodeReadyForQuery(idle));
    expect(script.lines).toEqual(["client: > FFQ", "server: ", "server: < CZ"]);
  });

  it("is measured when it is told, if the transaction has written", () => {
    for (const [id, kinds] of [
      ["77", ["toClient", "committed"]],
      [null, ["toClient"]],
    ] as const) {
      const { conversation } = begin();
      conversation.fromClient(encodeQuery("commit"));
      const asked = [functionResult(id), encodeReadyForQuery(open), functionResult("on")];
      const told = [encodeCommandComplete("COMMIT"), encodeReadyForQuery(idle)];
      const bytes = Buffer.concat([...asked, encodeReadyForQuery(open), ...told]);
      expect(conversation.fromServer(bytes).map(({ kind }) => kind)).toEqual([
        "toClient",
        ...kinds,
      ]);
    }
  });

  it("is held when synchronous_commit is off, and told once it is durable", () => {
    const script = begin();
    script.client(encodeQuery("commit"));
    script.server(
      functionAnswer("off"),
      encodeReadyForQuery(open),
      encodeCommandComplete("COMMIT"),
      encodeReadyForQuery(idle),
    );
    script.durable();
    expect(script.lines).toEqual([
      "client: > FFQ",
      "server: await inserted",
      "durable: < CZ resumeServer",
    ]);
  });

  it("asks everything after a SET, and then waits for nothing if it only read", () => {
    const script = begin();
    script.client(encodeQuery("set local synchronous_commit = off"));
    script.server(encodeCommandComplete("SET"), encodeReadyForQuery(open));
    script.client(encodeQuery("commit"));
    script.server(
      ...queryAnswer(null, "off"),
      encodeReadyForQuery(open),
      encodeCommandComplete("COMMIT"),
      encodeReadyForQuery(idle),
    );
    expect(script.lines).toEqual([
      "client: > Q",
      "server: < CZ",
      "client: > PBECCSQ",
      "server: < CZ",
    ]);
  });

  it("where deferred triggers may lower it inside COMMIT, waits unless the transaction has no id", () => {
    for (const [id, told] of [
      ["77", "server: await inserted"],
      [null, "server: < CZ"],
    ] as const) {
      const planner = aPlanner({ hasDeferrableTriggers: true });
      const script = new ConversationScript(aConversation({ planner }));
      script.client(encodeQuery("begin"));
      script.server(encodeCommandComplete("BEGIN"), encodeReadyForQuery(open));
      script.client(encodeQuery("commit"));
      script.server(
        ...queryAnswer(id, "on"),
        encodeReadyForQuery(open),
        encodeCommandComplete("COMMIT"),
        encodeReadyForQuery(idle),
      );
      expect(script.lines.slice(2)).toEqual(["client: > PBECCSQ", told]);
    }
  });

  it("in extended messages is asked about before its first one", () => {
    const script = begin();
    script.client(
      encodeParse("", "commit"),
      encodeBind("", ""),
      encodeDescribe("portal", ""),
      encodeExecute(""),
      encodeSync(),
    );
    script.server(functionAnswer("off"), encodeReadyForQuery(open));
    script.server(
      one(backend.parseComplete),
      one(backend.bindComplete),
      one(backend.noData),
      encodeCommandComplete("COMMIT"),
      encodeReadyForQuery(idle),
    );
    script.durable();
    expect(script.lines).toEqual([
      "client: > FFPBDES",
      "server: ",
      "server: < 12n await inserted",
      "durable: < CZ resumeServer",
    ]);
  });

  it("behind other statements of its batch is asked about just before its Execute", () => {
    const script = begin();
    script.client(
      encodeParse("", "insert into t values (1)"),
      encodeBind("", ""),
      encodeExecute(""),
      encodeParse("", "commit"),
      encodeBind("", ""),
      encodeExecute(""),
      encodeSync(),
    );
    script.server(
      one(backend.parseComplete),
      one(backend.bindComplete),
      encodeCommandComplete("INSERT 0 1"),
    );
    script.server(one(backend.parseComplete), one(backend.bindComplete), ...queryAnswer("77"));
    script.server(encodeCommandComplete("COMMIT"), encodeReadyForQuery(idle));
    expect(script.lines).toEqual([
      "client: > PBEPBPBECCHES",
      "server: < 12C",
      "server: < 12",
      "server: < CZ",
    ]);
  });

  it("is decided at its completion when the client flushes instead of syncing", () => {
    const script = begin();
    script.client(encodeParse("", "commit"), encodeBind("", ""), encodeExecute(""), encodeFlush());
    script.server(functionAnswer("off"), encodeReadyForQuery(open));
    script.server(
      one(backend.parseComplete),
      one(backend.bindComplete),
      encodeCommandComplete("COMMIT"),
    );
    script.durable();
    expect(script.lines.slice(1)).toEqual([
      "server: ",
      "server: < 12 await inserted",
      "durable: < C resumeServer",
    ]);
  });

  it("fails as a whole when a cancel hits our question", () => {
    const script = begin();
    script.client(encodeQuery("commit"));
    script.server(
      encodeError(new BorealisError("57014", "canceling statement"), "ERROR"),
      encodeReadyForQuery(failed),
      encodeError(new BorealisError("25P02", "current transaction is aborted"), "ERROR"),
      encodeReadyForQuery(failed),
      encodeCommandComplete("ROLLBACK"),
      encodeReadyForQuery(idle),
    );
    expect(script.lines).toEqual(["client: > FFQ", "server: < EZ"]);
  });

  it("of a failed transaction, or outside one, is nobody's business", () => {
    const script = begin();
    script.client(encodeQuery("select 1/0"));
    script.server(
      encodeError(new BorealisError("22012", "division by zero"), "ERROR"),
      encodeReadyForQuery(failed),
    );
    script.client(encodeQuery("commit"));
    script.server(encodeCommandComplete("ROLLBACK"), encodeReadyForQuery(idle));
    script.client(encodeQuery("commit"));
    expect(script.lines).toEqual([
      "client: > Q",
      "server: < EZ",
      "client: > Q",
      "server: < CZ",
      "client: > Q",
    ]);
  });
});

describe("one statement that may write, outside a transaction block", () => {
  const answer = [
    one(backend.parseComplete),
    one(backend.bindComplete),
    one(backend.noData),
    encodeCommandComplete("INSERT 0 1"),
    // The unnamed statement's: a simple Query leaves none.
    one(backend.closeComplete),
  ];

  it("goes out as extended messages with our question, and is answered as a simple Query", () => {
    const script = new ConversationScript(aConversation());
    script.client(encodeQuery("insert into t values (1)"));
    script.server(...answer, ...queryAnswer("77"));
    script.server(encodeReadyForQuery(idle));
    expect(script.lines).toEqual(["client: > PBDECPBECCHS", "server: ", "server: < CZ"]);
  });

  it("shows its rows with its completion when it is durable, so that it can be run again until then", () => {
    const script = new ConversationScript(aConversation());
    script.client(encodeQuery("insert into t values (1) returning id"));
    script.server(
      one(backend.parseComplete),
      one(backend.bindComplete),
      encodeRowDescription([{ name: "id" }]),
      encodeDataRow(["1"]),
      encodeCommandComplete("INSERT 0 1"),
      one(backend.closeComplete),
      ...queryAnswer("77", "off"),
      encodeReadyForQuery(idle),
    );
    script.durable();
    expect(script.lines).toEqual([
      "client: > PBDECPBECCHS",
      "server: await inserted",
      "durable: < TDCZ resumeServer",
    ]);
  });

  it("never shows a completion whose commit failed", () => {
    const script = new ConversationScript(aConversation());
    script.client(encodeQuery("insert into t values (1)"));
    script.server(
      ...answer,
      ...queryAnswer("77", "off"),
      encodeError(new BorealisError("23505", "duplicate"), "ERROR"),
      encodeReadyForQuery(idle),
    );
    expect(script.lines[1]).toBe("server: < EZ");
  });

  it("of a client's own extended messages is asked about before the Sync", () => {
    const script = new ConversationScript(aConversation());
    script.client(
      encodeParse("", "insert into t values ($1)"),
      encodeBind("", ""),
      encodeExecute(""),
      encodeClose("portal", ""),
      encodeSync(),
    );
    script.server(
      one(backend.parseComplete),
      one(backend.bindComplete),
      encodeCommandComplete("INSERT 0 1"),
      one(backend.closeComplete),
    );
    script.server(...queryAnswer("77", "local"), encodeReadyForQuery(idle));
    script.durable();
    expect(script.lines).toEqual([
      "client: > PBECPBECCHS",
      "server: ",
      "server: await flushed",
      "durable: < 12C3Z resumeServer",
    ]);
  });

  it.each([
    "do $$begin end$$",
    "call p()",
    "vacuum",
    "insert into t values (1); insert into t values (2)",
    "copy t from stdin",
  ])("%s cannot be asked about: it waits afterwards, always", (text) => {
    const script = new ConversationScript(aConversation());
    Object.defineProperty(script.conversation.exchange.memory, "needsReadback", { value: "no" });
    script.client(encodeQuery(text));
    script.server(encodeCommandComplete("X"), encodeReadyForQuery(idle));
    script.durable();
    expect(script.lines).toEqual([
      "client: > Q",
      "server: await inserted",
      "durable: < CZ resumeServer",
    ]);
  });

  it("waits for its turn behind messages whose outcome decides the state", () => {
    const script = new ConversationScript(aConversation());
    script.client(
      encodeQuery("begin"),
      encodeQuery("insert into t values (1)"),
      encodeQuery("commit"),
    );
    script.server(encodeCommandComplete("BEGIN"), encodeReadyForQuery(open));
    script.server(encodeCommandComplete("INSERT 0 1"), encodeReadyForQuery(open));
    script.server(
      functionAnswer("on"),
      encodeReadyForQuery(open),
      encodeCommandComplete("COMMIT"),
      encodeReadyForQuery(idle),
    );
    expect(script.lines).toEqual([
      "client: > Q pauseClient",
      "server: > Q < CZ pauseClient",
      "server: > FFQ < CZ resumeClient",
      "server: < CZ",
    ]);
  });
});

describe("a wait for the quorum that was broken off", () => {
  it("is waited for by us, and its warning not shown", () => {
    const script = begin();
    script.client(encodeQuery("commit"));
    script.server(
      functionAnswer("on"),
      encodeReadyForQuery(open),
      interrupted,
      encodeCommandComplete("COMMIT"),
      encodeReadyForQuery(idle),
    );
    script.durable();
    expect(script.lines).toEqual([
      "client: > FFQ",
      "server: await flushed",
      "durable: < CZ resumeServer",
    ]);
  });

  it("may be hidden: after a cancel the completion waits all the same", () => {
    const script = begin();
    script.client(encodeQuery("commit"));
    script.conversation.cancelled();
    script.server(
      functionAnswer("on"),
      encodeReadyForQuery(open),
      encodeCommandComplete("COMMIT"),
      encodeReadyForQuery(idle),
    );
    expect(script.lines[1]).toBe("server: await flushed");
  });

  it("ends in 08007 when the session is ended, and only where something was at stake", () => {
    const script = begin();
    script.client(encodeQuery("commit"));
    script.note("lost", script.conversation.terminate());
    const other = begin();
    other.client(encodeQuery("select 1"));
    other.note("lost", other.conversation.terminate());
    const third = begin();
    third.client(encodeTerminate());
    third.note("lost", third.conversation.terminate());
    expect(script.lines[1]).toBe("lost: fail 08007");
    expect(other.lines[1]).toBe("lost: fail 57P01");
    expect(third.lines[1]).toBe("lost: ");
  });
});

describe("COPY FROM STDIN in extended messages", () => {
  it("ends with the Sync after the data: the first one is ignored by the server", () => {
    const script = new ConversationScript(aConversation());
    script.client(
      encodeParse("", "copy t from stdin"),
      encodeBind("", ""),
      encodeExecute(""),
      encodeSync(),
    );
    script.server(one(backend.parseComplete), one(backend.bindComplete), one(backend.copyIn));
    script.client(encodeMessage(0x64), encodeMessage(0x63), encodeSync());
    script.server(encodeCommandComplete("COPY 1"), encodeReadyForQuery(idle));
    script.durable();
    expect(script.lines).toEqual([
      "client: > PBES",
      "server: < 12G",
      "client: > dcS",
      "server: await inserted",
      "durable: < CZ resumeServer",
    ]);
    expect(script.conversation.isIdle).toBe(true);
  });
});

describe("ALTER SYSTEM", () => {
  const sql = "alter system set work_mem = '8MB'";

  it.each([{ isHonest: true }, { isHonest: false }])(
    "is told once the cluster keeps it, on the writer and on readers: %o",
    (options) => {
      const script = new ConversationScript(aConversation(options));
      script.client(encodeQuery(sql));
      script.server(encodeCommandComplete("ALTER SYSTEM"), encodeReadyForQuery(idle));
      script.durable();
      expect(script.lines).toEqual([
        "client: > Q",
        "server: await parameters",
        "durable: < CZ resumeServer",
      ]);
      script.client(encodeQuery("select 1"));
      script.server(encodeCommandComplete("SELECT 1"), encodeReadyForQuery(idle));
      expect(script.lines.at(-1)).toBe("server: < CZ");
    },
  );

  it.each([{ isHonest: true }, { isHonest: false }])(
    "is held in extended messages, too: %o",
    (options) => {
      const script = new ConversationScript(aConversation(options));
      script.client(extended(sql), encodeSync());
      const parsed = [one(backend.parseComplete), one(backend.bindComplete)];
      script.server(...parsed, encodeCommandComplete("ALTER SYSTEM"), encodeReadyForQuery(idle));
      expect(script.lines.at(-1)).toBe("server: < 12 await parameters");
      script.durable();
      expect(script.lines.at(-1)).toBe("durable: < CZ resumeServer");
    },
  );

  it.each([{ isHonest: true }, { isHonest: false }])(
    "that the cluster does not take is told as an error: %o",
    (options) => {
      const refused = new BorealisError("54000", "500 parameters can be set, and no more");
      const simple = new ConversationScript(aConversation(options));
      simple.client(encodeQuery(sql));
      simple.server(encodeCommandComplete("ALTER SYSTEM"), encodeReadyForQuery(idle));
      const told = bytesTo("toClient", simple.conversation.durable(refused));
      expect(letters(told)).toBe("EZ");
      expect(told.toString()).toContain("and no more");
      const steps = new ConversationScript(aConversation(options));
      steps.client(extended(sql), encodeSync());
      const parsed = [one(backend.parseComplete), one(backend.bindComplete)];
      steps.server(...parsed, encodeCommandComplete("ALTER SYSTEM"), encodeReadyForQuery(idle));
      expect(letters(bytesTo("toClient", steps.conversation.durable(refused)))).toBe("EZ");
      // The session goes on.
      steps.client(encodeQuery("select 1"));
      steps.server(encodeCommandComplete("SELECT 1"), encodeReadyForQuery(idle));
      expect(steps.lines.at(-1)).toBe("server: < CZ");
    },
  );

  it("that fails is told at once", () => {
    const script = new ConversationScript(aConversation());
    script.client(encodeQuery(sql));
    script.server(
      encodeError(new BorealisError("42501", "permission denied"), "ERROR"),
      encodeReadyForQuery(idle),
    );
    expect(script.lines.at(-1)).toBe("server: < EZ");
  });
});

describe("refusals", () => {
  it("the server fails in its own way, the client hears ours", () => {
    const script = new ConversationScript(aConversation());
    script.client(encodeQuery("alter system set fsync = on"));
    const actions = script.conversation.fromServer(
      Buffer.concat([
        encodeError(new BorealisError("42601", "syntax error"), "ERROR"),
        encodeReadyForQuery(idle),
      ]),
    );
    expect(bytesTo("toClient", actions).toString()).toContain(
      'parameter "fsync" cannot be changed',
    );
    expect(letters(bytesTo("toClient", actions))).toBe("EZ");
  });
});

describe("bytes may be cut anywhere", () => {
  const fromClient = Buffer.concat([
    encodeParse("s", "insert into t values ($1)"),
    encodeBind("", "s"),
    encodeExecute(""),
    encodeSync(),
  ]);
  const fromServer = Buffer.concat([
    one(backend.parseComplete),
    one(backend.bindComplete),
    encodeCommandComplete("INSERT 0 1"),
    encodeReadyForQuery(open),
  ]);

  it("and the same comes out", () => {
    const play = (clientAt: number, serverAt: number): [string, string] => {
      const { conversation } = begin();
      const client = [fromClient.subarray(0, clientAt), fromClient.subarray(clientAt)];
      const server = [fromServer.subarray(0, serverAt), fromServer.subarray(serverAt)];
      const actions = [
        ...client.flatMap((part) => conversation.fromClient(part)),
        ...server.flatMap((part) => conversation.fromServer(part)),
      ];
      return [
        bytesTo("toServer", actions).toString("hex"),
        bytesTo("toClient", actions).toString("hex"),
      ];
    };
    const whole = play(0, 0);
    expect(whole).toEqual([fromClient.toString("hex"), fromServer.toString("hex")]);
    for (let at = 0; at <= fromClient.length; at++) expect(play(at, 0)).toEqual(whole);
    for (let at = 0; at <= fromServer.length; at++) expect(play(0, at)).toEqual(whole);
  });
});

describe("what is not the protocol", () => {
  it.each([
    ["an unknown type", Buffer.from([0x7a, 0, 0, 0, 4])],
    ["a length below four", Buffer.from([0x51, 0, 0, 0, 3])],
    ["a body of two gigabytes", Buffer.from([0x51, 0x7f, 0xff, 0xff, 0xff])],
    ["a large Sync", Buffer.from([0x53, 0, 1, 0, 0])],
    ["a text without its end", Buffer.from([0x51, 0, 0, 0, 5, 0x41])],
  ])("%s ends the session", (_, bytes) => {
    const [action] = aConversation().fromClient(bytes);
    expect(action).toMatchObject({ kind: "fail", error: { code: "08P01" } });
  });
});

describe("what has waited for a commit to be durable", () => {
  it("and is no protocol ends the session, and nothing else", () => {
    const script = new ConversationScript(aConversation());
    const garbage = Buffer.from([0x01, 0, 0, 0, 4]);
    const [first, next] = ["alter system set work_mem = '1MB'", "insert into t values (1)"];
    script.client(encodeQuery(first), encodeQuery(next), garbage);
    script.server(encodeCommandComplete("ALTER SYSTEM"), encodeReadyForQuery(idle));
    expect(script.lines.at(-1)).toContain("await parameters");
    const last = script.conversation.durable().at(-1);
    expect(last).toMatchObject({ kind: "fail" });
  });
});
