/** What one batch says of several commits: no answer about one may be taken for that about another. */
import { beforeAll, describe, expect, it } from "vitest";
import {
  aConversation,
  asked,
  ConversationScript,
  extended,
  one,
  queryAnswer,
  SurvivorScript,
} from "../../test/helpers/session-script.ts";
import { loadParser } from "../route/index.ts";
import {
  backend,
  encodeBind,
  encodeCommandComplete,
  encodeDataRow,
  encodeExecute,
  encodeFlush,
  encodeParse,
  encodeReadyForQuery,
  encodeSync,
  transactionState,
} from "../wire/index.ts";

beforeAll(() => loadParser());

const { idle } = transactionState;
const parseComplete = one(backend.parseComplete);
/** To Parse, Bind and Execute. */
const ran = (tag: string): Buffer =>
  Buffer.concat([parseComplete, one(backend.bindComplete), encodeCommandComplete(tag)]);
const insert = extended("insert into t values (1)");
/** To what is asked ahead of COMMIT PREPARED, in a cycle of its own. */
const ahead = (xid: string | null, level?: string): Buffer[] => [
  ...queryAnswer(xid, level),
  encodeReadyForQuery(idle),
];

describe("a batch that begins with COMMIT PREPARED, and runs something else", () => {
  const parsed = encodeParse("s1", "commit prepared 'x'");
  const lostBehindSync = (xid: string | null): SurvivorScript =>
    new SurvivorScript()
      .client(parsed, insert, encodeFlush())
      .server(...ahead(xid), parseComplete, ran("INSERT 0 1"))
      .client(encodeSync())
      .forget()
      .lost();

  it.each([null, "77"])(
    "has not committed that while our question about it is not answered (prepared: %s)",
    (xid) => {
      const script = lostBehindSync(xid).connected();
      expect(script.told).toEqual(["40001"]);
      expect(script.lines[0]).toBe("lost: < E(40001) Z(I) reconnect");
    },
  );

  it("waits for what that has committed with synchronous_commit off", () => {
    const script = new ConversationScript(aConversation());
    script.client(parsed, insert, encodeSync());
    script.server(...ahead(null, "off"), parseComplete, ran("INSERT 0 1"));
    script.server(...queryAnswer("77", "off"), encodeReadyForQuery(idle)).durable();
    expect(script.lines.slice(1)).toEqual([
      "server: ",
      "server: await inserted",
      "durable: < 112CZ resumeServer",
    ]);
  });
});

describe("a transaction that begins behind a COMMIT in its batch", () => {
  it.each([
    ["committed", "77"],
    ["aborted", "77"],
  ] as const)("is lost with its server: %s", (fate, xid) => {
    const script = new SurvivorScript().inTransaction();
    script.ran("insert into t values (1)", encodeCommandComplete("INSERT 0 1"));
    script.client(extended("commit"), extended("begin"), insert, encodeFlush());
    script.server(...asked(xid), ran("COMMIT"), ran("BEGIN"), ran("INSERT 0 1"));
    script.client(encodeSync()).forget().lost().fate(fate);
    expect(script.lines[0]).toBe("lost: ask 77");
    expect(script.told).toEqual([fate === "committed" ? "08007" : "40001"]);
  });
});

describe("a batch of two commits", () => {
  it("waits for the first where only the second gave up on that", () => {
    const script = new ConversationScript(aConversation());
    const forced = (value: string): Buffer[] => [
      parseComplete,
      one(backend.bindComplete),
      encodeDataRow(["77", "0", "off", value, null]),
      encodeCommandComplete("SELECT 1"),
      one(backend.closeComplete),
      one(backend.closeComplete),
    ];
    script.client(extended("begin"), insert, extended("commit"));
    script.client(extended("set borealis.force_durable_commit = off"), insert, encodeSync());
    script.server(ran("BEGIN"), ran("INSERT 0 1"), parseComplete, one(backend.bindComplete));
    script.server(...forced("on"), encodeCommandComplete("COMMIT"), ran("SET"));
    script.server(ran("INSERT 0 1"), ...forced("off"), encodeReadyForQuery(idle));
    expect(script.lines.at(-1)).toBe("server: await inserted");
  });

  it.each([
    ["off", "off", "inserted"],
    ["on", "off", "inserted"],
    ["local", "off", "inserted"],
    ["local", "on", "flushed"],
  ])("waits for the one that needs it: %s, then %s", (first, second, upTo) => {
    const script = new ConversationScript(aConversation());
    script.client(extended("begin"), extended("select 1"), extended("commit"), insert);
    script.client(encodeSync());
    // It wrote nothing.
    script.server(ran("BEGIN"), ran("SELECT 1"), parseComplete, one(backend.bindComplete));
    script.server(...queryAnswer(null, first), encodeCommandComplete("COMMIT"), ran("INSERT 0 1"));
    script.server(...queryAnswer("77", second), encodeReadyForQuery(idle));
    expect(script.lines.at(-1)).toBe(`server: await ${upTo}`);
  });
});

describe("a COMMIT that was asked about too early", () => {
  it("has committed nothing where it was not run at all: the INSERT beside it is undone", () => {
    const script = new SurvivorScript().inTransaction();
    script.client(encodeParse("s1", "commit"), insert, encodeFlush());
    script.server(...asked(null), parseComplete, ran("INSERT 0 1"));
    script.client(encodeSync()).forget().lost().connected();
    expect(script.lines[0]).toBe("lost: < E(40001) Z(I) reconnect");
  });

  it("is in doubt as long as what it commits was not asked about", () => {
    const script = new SurvivorScript().inTransaction();
    script.client(encodeParse("s1", "commit"), insert, encodeFlush());
    script.server(...asked(null), parseComplete, ran("INSERT 0 1"));
    script.client(encodeBind("", "s1"), encodeExecute(""), encodeSync()).forget().lost();
    expect(script.told).toEqual(["08007"]);
  });
});
