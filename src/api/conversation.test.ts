import { describe, expect, it } from "vitest";
import { aSession, aSight, bindValues, TalkingClient } from "../../test/helpers/admin-world.ts";
import { BorealisError, ProtocolViolation, sqlState } from "../base/errors.ts";
import {
  encodeBind,
  encodeClose,
  encodeDescribe,
  encodeExecute,
  encodeFunctionCall,
  encodeMessage,
  encodeParse,
  encodeQuery,
  encodeSync,
  encodeTerminate,
  frontend,
} from "../wire/index.ts";

function executeSome(portal: string, rowsMax: number): Buffer {
  return encodeMessage(frontend.execute, (body) => body.cString(portal).u32(rowsMax));
}

function parseTyped(sql: string, oids: readonly number[]): Buffer {
  return encodeMessage(frontend.parse, (body) => {
    body.cString("").cString(sql).u16(oids.length);
    for (const oid of oids) body.u32(oid);
  });
}

describe("a conversation with the admin database", () => {
  it("greets with what drivers look for", () => {
    const client = new TalkingClient(new Map([["application_name", "psql"]]));
    client.conversation.greet();
    const lines = client.send();
    expect(lines[0]).toBe("R");
    expect(lines).toContain("parameter server_version=18.4");
    expect(lines).toContain("parameter client_encoding=UTF8");
    expect(lines).toContain("parameter application_name=psql");
    expect(lines.at(-2)).toBe("K");
    expect(lines.at(-1)).toBe("ready I");
  });

  it("runs several statements of one text, up to the first that fails", () => {
    const client = new TalkingClient();
    expect(
      client.send(encodeQuery("select 1 as a, 'x'; show server_version;; select nobody; select 2")),
    ).toEqual([
      "columns a:23, ?column?:25",
      "row 1 | x",
      "SELECT 1",
      "columns server_version:25",
      "row 18.4",
      "SHOW",
      'ERROR 42703 column "nobody" does not exist at 50',
      "ready I",
    ]);
    expect(client.send(encodeQuery(" -- nothing\n"))).toEqual(["EmptyQuery", "ready I"]);
  });

  it("counts characters, not bytes or units, where an error is", () => {
    const client = new TalkingClient();
    expect(client.send(encodeQuery("select '😀é'; select nobody"))).toContain(
      'ERROR 42703 column "nobody" does not exist at 21',
    );
  });

  it("finds the place of an error in what was written, not in what the parser is given", () => {
    const client = new TalkingClient();
    const text = "select /* ä */ 2 -1, E'\\n', 1e3,\n s.user, nobody from sessions s";
    expect(client.send(encodeQuery(text))[0]).toBe(
      `ERROR 42703 column "nobody" does not exist at ${text.indexOf("nobody") + 1}`,
    );
    expect(client.send(encodeQuery("select 1, 12ab"))[0]).toBe(
      'ERROR 42601 trailing junk after numeric literal at or near "12ab" at 11',
    );
  });

  it("prepares, describes, binds and gives rows in portions", () => {
    const client = new TalkingClient();
    client.sight = aSight({ sessions: [1, 2, 3].map((pid) => aSession({ pid })) });
    expect(
      client.send(
        encodeParse("s", "select pid, is_pooled from sessions where pid >= $1"),
        encodeDescribe("statement", "s"),
        bindValues(["2"], { statement: "s", portal: "p" }),
        encodeDescribe("portal", "p"),
        executeSome("p", 1),
        executeSome("p", 5),
        encodeClose("portal", "p"),
        encodeExecute("p"),
        encodeExecute("p"),
        encodeSync(),
      ),
    ).toEqual([
      "ParseComplete",
      "parameters 23",
      "columns pid:23, is_pooled:16",
      "BindComplete",
      "columns pid:23, is_pooled:16",
      "row 2 | f",
      "PortalSuspended",
      "row 3 | f",
      "SELECT 1",
      "CloseComplete",
      'ERROR 34000 portal "p" does not exist',
      "ready I",
    ]);
  });

  it("takes and gives binary values, and refuses those that it does not know", () => {
    const client = new TalkingClient();
    const seven = Buffer.from([0, 7]);
    expect(
      client.send(
        parseTyped("select $1 + 1, $2, $3::text", [21, 16, 0]),
        bindValues([seven, Buffer.from([1]), null]),
        encodeExecute(""),
        encodeSync(),
      ),
    ).toEqual(["ParseComplete", "BindComplete", "row 8 | t | NULL", "SELECT 1", "ready I"]);
    expect(
      client.send(
        encodeParse("", "select true, 258, 'é'"),
        bindValues([], { binaryResults: true }),
        encodeExecute(""),
        encodeSync(),
      )[2],
    ).toBe("row \u0001 | \u0000\u0000\u0001\u0002 | é");
    expect(client.send(parseTyped("select $1", [600]), encodeSync())[0]).toMatch(/^ERROR 0A000/);
    expect(
      client.send(parseTyped("select $1", [1700]), bindValues([Buffer.alloc(8)]), encodeSync())[1],
    ).toBe("ERROR 0A000 numeric is not taken in binary form");
  });

  it("skips everything behind an error up to Sync", () => {
    const client = new TalkingClient();
    expect(
      client.send(
        encodeParse("", "select * from nowhere"),
        encodeBind("", ""),
        encodeExecute(""),
        encodeQuery("select 1"),
        encodeSync(),
        encodeQuery("select 1"),
      ),
    ).toEqual([
      'ERROR 42P01 relation "nowhere" does not exist at 15',
      "ready I",
      "columns ?column?:23",
      "row 1",
      "SELECT 1",
      "ready I",
    ]);
  });

  it("has transactions as far as they can be seen", () => {
    const client = new TalkingClient();
    expect(client.send(encodeQuery("begin"))).toEqual(["BEGIN", "ready T"]);
    expect(client.send(encodeQuery("savepoint a; select nobody"))).toEqual([
      "SAVEPOINT",
      'ERROR 42703 column "nobody" does not exist at 21',
      "ready E",
    ]);
    expect(client.send(encodeQuery("select 1"))[0]).toMatch(/^ERROR 25P02/);
    expect(client.send(encodeQuery("rollback to savepoint a"))).toEqual(["ROLLBACK", "ready T"]);
    expect(client.send(encodeQuery("selec 1"))).toEqual([
      'ERROR 42601 syntax error at or near "selec" at 1',
      "ready E",
    ]);
    expect(client.send(encodeQuery("commit"))).toEqual(["ROLLBACK", "ready I"]);
    expect(client.send(encodeQuery("commit"))[0]).toMatch(/^WARNING 25P01/);
  });

  it("accepts what drivers and pools set", () => {
    const client = new TalkingClient();
    const answers: [string, string[]][] = [
      ["SET extra_float_digits = 3", ["SET"]],
      ["SET SESSION application_name TO 'my app'", ["parameter application_name=my app", "SET"]],
      ["SHOW application_name", ["columns application_name:25", "row my app", "SHOW"]],
      ["RESET ALL", ["parameter application_name=", "RESET"]],
      ["SET TIME ZONE 'UTC'", ["SET"]],
      [
        "SET timezone = 'Europe/Berlin'",
        ['WARNING 01000 "TimeZone" stays "UTC" in the admin database', "SET"],
      ],
      ["SET client_encoding TO 'UTF8'", ["SET"]],
      [
        "SET client_encoding TO 'LATIN1'",
        ['ERROR 0A000 the admin database speaks UTF8, not "LATIN1"'],
      ],
      ["SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", ["SET"]],
      [
        "SHOW TRANSACTION ISOLATION LEVEL",
        ["columns transaction_isolation:25", "row read committed", "SHOW"],
      ],
      ["SET search_path = a, b", ["parameter search_path=a, b", "SET"]],
      ["DISCARD ALL", ["parameter search_path=borealis, public", "DISCARD ALL"]],
      // asyncpg's pool, at every return.
      [
        "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;",
        [
          "columns pg_advisory_unlock_all:25",
          "row ",
          "SELECT 1",
          "CLOSE CURSOR",
          "UNLISTEN",
          "RESET",
        ],
      ],
      ["SHOW nothing", ['ERROR 42704 unrecognized configuration parameter "nothing" at 6']],
      [
        "SET ROLE app",
        [
          "ERROR 0A000 the admin database is the master user's: nobody else can be put in their place",
        ],
      ],
      [
        "CREATE TABLE t (a int)",
        ["ERROR 0A000 CREATE is not supported in the admin database at 1"],
      ],
      ["COPY sessions TO STDOUT", ["ERROR 0A000 COPY is not supported in the admin database at 1"]],
    ];
    for (const [sql, said] of answers)
      expect([sql, client.send(encodeQuery(sql))]).toEqual([sql, [...said, "ready I"]]);
  });

  it("takes the parameters of catalog queries, and the wrong number of them for an error", () => {
    const client = new TalkingClient();
    expect(
      client.send(
        encodeParse("", "SELECT relname FROM pg_catalog.pg_class WHERE relname LIKE $2"),
        encodeDescribe("statement", ""),
        bindValues(["a", "b"]),
        encodeExecute(""),
        bindValues(["a"]),
        encodeSync(),
      ),
    ).toEqual([
      "ParseComplete",
      "parameters 25 25",
      "columns relname:25",
      "BindComplete",
      "SELECT 0",
      "ERROR 08P01 bind message supplies 1 parameters, but the prepared statement requires 2",
      "ready I",
    ]);
  });

  it("keeps few and short settings", () => {
    const long = "x".repeat(4_097);
    const client = new TalkingClient(new Map([["application_name", long]]));
    expect(client.send(encodeQuery("show application_name"))[1]).toBe("row ");
    expect(client.send(encodeQuery(`set application_name = '${long}'`))[0]).toMatch(/^ERROR 54000/);
    expect(client.send(encodeQuery(`set "${long}" = 1`))[0]).toMatch(/^ERROR 54000/);
    const all = Array.from({ length: 120 }, (_, index) => `set a.b${index} = 1`).join(";");
    expect(client.send(encodeQuery(all))).toContain(
      "ERROR 54000 a connection keeps 100 settings at most",
    );
    expect(client.send(encodeQuery("set application_name = 'x'"))).toContain("SET");
    const wishes = new Map(all.split(";").map((_, index): [string, string] => [`a.b${index}`, ""]));
    const settings = new TalkingClient(wishes).send(encodeQuery("show all"));
    expect(settings.filter((line) => line.startsWith("row a.b")).length).toBeLessThan(100);
  });

  it("keeps prepared statements unless all is discarded", () => {
    const client = new TalkingClient();
    client.send(encodeParse("s", "select 1"), encodeSync());
    for (const what of ["PLANS", "TEMP", "TEMPORARY", "SEQUENCES"]) {
      const tag = `DISCARD ${what === "TEMPORARY" ? "TEMP" : what}`;
      expect(client.send(encodeQuery(`discard ${what}`))).toEqual([tag, "ready I"]);
    }
    expect(client.send(encodeBind("", "s"), encodeSync())[0]).toBe("BindComplete");
    expect(client.send(encodeQuery("discard everything"))[0]).toMatch(/^ERROR 42601/);
    client.send(encodeQuery("discard all"));
    expect(client.send(encodeBind("", "s"), encodeSync())[0]).toMatch(/^ERROR 26000/);
  });

  it("skips to Sync for a binary parameter that is none, and for formats that do not fit", () => {
    const client = new TalkingClient();
    for (const bytes of [Buffer.alloc(3), Buffer.alloc(9), Buffer.from([1, 0, 0, 0, 0, 0, 0, 0])])
      expect(
        client.send(parseTyped("select $1 + 1", [23]), bindValues([bytes]), encodeSync()),
      ).toEqual(["ParseComplete", expect.stringMatching(/^ERROR 22(P03|003)/), "ready I"]);
    const twoFormats = encodeMessage(frontend.bind, (body) =>
      body.cString("").cString("").u16(0).u16(0).u16(2).u16(0).u16(0),
    );
    expect(client.send(encodeParse("", "select 1, 2, 3"), twoFormats, encodeSync())).toEqual([
      "ParseComplete",
      "ERROR 08P01 bind message has 2 formats for 3 result columns",
      "ready I",
    ]);
    const threeOfOne = encodeMessage(frontend.bind, (body) =>
      body.cString("").cString("").u16(3).u16(0).u16(0).u16(0).u16(1).u32(1).text("1").u16(0),
    );
    expect(client.send(encodeParse("", "select $1"), threeOfOne, encodeSync())[1]).toBe(
      "ERROR 08P01 bind message has 3 formats for 1 parameters",
    );
  });

  it("forgets the unnamed statement when the next one is none", () => {
    const client = new TalkingClient();
    client.send(encodeParse("", "select 1"), encodeSync());
    client.send(encodeParse("", "select nobody"), encodeSync());
    expect(client.send(encodeBind("", ""), encodeSync())[0]).toMatch(/^ERROR 26000/);
  });

  it("refuses zero bytes", () => {
    const client = new TalkingClient();
    expect(client.send(encodeQuery("select E'\\000'"))[0]).toMatch(/^ERROR 22021/);
    expect(client.send(encodeQuery("set application_name = E'\\x00'"))[0]).toMatch(/^ERROR 22021/);
    for (const value of ["a\0b", Buffer.from("a\0b")])
      expect(
        client.send(parseTyped("select $1", [25]), bindValues([value]), encodeSync())[1],
      ).toMatch(/^ERROR 22021/);
  });

  it("keeps little of what is not read, run or closed", () => {
    const client = new TalkingClient();
    const sessions = Array.from({ length: 3_000 }, (_, pid) =>
      aSession({ pid, applicationName: "x".repeat(1_000) }),
    );
    client.sight = aSight({ sessions });
    const suspend = (portal: string): string[] =>
      client.send(bindValues([], { statement: "s", portal }), executeSome(portal, 1));
    client.send(encodeQuery("begin"), encodeParse("s", "select application_name from sessions"));
    expect(suspend("a").at(-1)).toBe("PortalSuspended");
    expect(suspend("b").at(-1)).toBe("PortalSuspended");
    expect(suspend("c").at(-1)).toMatch(/^ERROR 54000 the results of a connection's portals/);
    const many = new TalkingClient();
    many.send(encodeQuery("begin"), encodeParse("", "select 1"));
    const names = Array.from({ length: 101 }, (_, index) => `p${index}`);
    const binds = many.send(...names.map((portal) => bindValues([], { portal })));
    expect(binds.at(-1)).toBe("ERROR 54000 a connection has 100 portals at most");
    const long = `select '${"x".repeat(60_000)}'`;
    const prepared = new TalkingClient().send(...names.map((name) => encodeParse(name, long)));
    expect(prepared.at(-1)).toMatch(/^ERROR 54000 a connection's prepared statements/);
  });

  it("refuses a result that is too large, and parameters that are too many", () => {
    const client = new TalkingClient();
    const sessions = Array.from({ length: 9_000 }, (_, pid) =>
      aSession({ pid, applicationName: "x".repeat(1_000) }),
    );
    client.sight = aSight({ sessions });
    expect(client.send(encodeQuery("show sessions"))[1]).toMatch(/^ERROR 54000 the result/);
    const wide = `select ${Array.from({ length: 1_600 }, () => "$1").join()}`;
    expect(
      client.send(
        encodeParse("", wide),
        bindValues(["x".repeat(60_000)]),
        encodeExecute(""),
        encodeSync(),
      )[2],
    ).toMatch(/^ERROR 54000 the result/);
    const oids = Array.from({ length: 1_001 }, () => 23);
    expect(client.send(parseTyped("select 1", oids), encodeSync())[0]).toMatch(/^ERROR 54000/);
  });

  it("gives back names, and refuses one that is taken", () => {
    const client = new TalkingClient();
    expect(
      client.send(encodeParse("s", "select 1"), encodeParse("s", "select 2"), encodeSync()),
    ).toEqual(["ParseComplete", 'ERROR 42P05 prepared statement "s" already exists', "ready I"]);
    expect(client.send(encodeQuery("DEALLOCATE s"))).toEqual(["DEALLOCATE", "ready I"]);
    expect(client.send(encodeQuery("DEALLOCATE s"))[0]).toBe(
      'ERROR 26000 prepared statement "s" does not exist',
    );
    expect(client.send(encodeBind("", "s"), encodeSync())[0]).toMatch(/^ERROR 26000/);
  });

  it("refuses what is too long at once, and what is no statement of one", () => {
    const client = new TalkingClient();
    const error = new BorealisError(sqlState.limitExceeded, "too long");
    client.conversation.refuse(frontend.query, error);
    expect(client.send()).toEqual(["ERROR 54000 too long", "ready I"]);
    client.conversation.refuse(frontend.parse, error);
    expect(client.send(encodeBind("", ""), encodeSync())).toEqual([
      "ERROR 54000 too long",
      "ready I",
    ]);
    expect(client.send(encodeParse("", "select 1; select 2"), encodeSync())[0]).toMatch(
      /^ERROR 42601/,
    );
    expect(client.send(encodeFunctionCall(1, []))).toEqual([
      "ERROR 0A000 function calls are not supported here",
      "ready I",
    ]);
  });

  it("tells that nobody could be asked, and goes on", () => {
    const client = new TalkingClient();
    client.trouble = new BorealisError(sqlState.connectionFailure, "cannot look at the cluster");
    expect(client.send(encodeQuery("show storage"))).toEqual([
      expect.stringMatching(/^columns id:25/),
      "ERROR 08006 cannot look at the cluster",
      "ready I",
    ]);
    expect(client.send(encodeQuery("show storage")).slice(1)).toEqual(["SHOW", "ready I"]);
  });

  it("has the cluster do what is asked of it, once, and gives what it says as rows", () => {
    const client = new TalkingClient();
    expect(client.send(encodeQuery("failover to instance-2;"))).toEqual([
      "columns result:25",
      "row done",
      "row FAILOVER TO 'instance-2'",
      "FAILOVER",
      "ready I",
    ]);
    expect(
      client.send(
        encodeParse("s", "ADD INSTANCE $1 TIER $2"),
        encodeDescribe("statement", "s"),
        bindValues(["x", "0"], { statement: "s", portal: "p" }),
        encodeDescribe("portal", "p"),
        executeSome("p", 1),
        executeSome("p", 0),
        encodeExecute("p"),
        encodeSync(),
      ),
    ).toEqual([
      "ParseComplete",
      "parameters 25 25",
      "columns result:25",
      "BindComplete",
      "columns result:25",
      "row done",
      "PortalSuspended",
      "row ADD INSTANCE 'x' TIER 0",
      "ADD INSTANCE",
      "ADD INSTANCE",
      "ready I",
    ]);
    // A number as some drivers send it.
    const three = Buffer.from([0, 0, 0, 3]);
    client.send(
      parseTyped("ALTER INSTANCE y TIER $1", [23]),
      bindValues([three]),
      encodeExecute(""),
      encodeSync(),
    );
    expect(client.orders).toEqual([
      { kind: "failover", target: "instance-2" },
      { kind: "add instance", id: "x", tier: 0, az: null },
      { kind: "alter instance", id: "y", tier: 3 },
    ]);
  });

  it("asks the cluster for nothing in a transaction, or among other statements", () => {
    const client = new TalkingClient();
    const among = expect.stringMatching(
      /^ERROR 25001 FAILOVER cannot run inside a transaction block/,
    );
    expect(client.send(encodeQuery("failover; select 1"))).toEqual([among, "ready I"]);
    expect(client.send(encodeQuery("select 1; failover"))).toEqual([
      "columns ?column?:23",
      "row 1",
      "SELECT 1",
      among,
      "ready I",
    ]);
    client.send(encodeQuery("begin"));
    expect(client.send(encodeQuery("failover"))).toEqual([among, "ready E"]);
    expect(client.send(encodeQuery("failover"))[0]).toMatch(/^ERROR 25P02/);
    client.send(encodeQuery("rollback"), encodeQuery("begin"));
    expect(
      client.send(encodeParse("", "failover"), encodeBind("", ""), encodeExecute(""), encodeSync()),
    ).toEqual(["ParseComplete", "BindComplete", among, "ready E"]);
    client.send(encodeQuery("rollback"));
    expect(client.send(encodeQuery("failover to $1"))).toEqual([
      "ERROR 42P02 there is no parameter $1",
      "ready I",
    ]);
    expect(client.send(encodeQuery("\n  drop snapshot a b"))[0]).toBe(
      'ERROR 42601 syntax error at or near "b" at 20',
    );
    expect(client.orders).toEqual([]);
    client.trouble = new BorealisError(sqlState.invalidParameter, "there is no snapshot");
    expect(client.send(encodeQuery("drop snapshot a")).slice(1)).toEqual([
      "ERROR 22023 there is no snapshot",
      "ready I",
    ]);
  });

  it("tells how a command gets on, unless its client wants no notices", () => {
    const client = new TalkingClient();
    client.conversation.tell("half of it");
    expect(client.send()).toEqual(["NOTICE 00000 half of it"]);
    client.send(encodeQuery("set client_min_messages = 'WARNING'"));
    client.conversation.tell("all of it");
    expect(client.send()).toEqual([]);
  });

  it("does not survive a message that cannot be read, and hears goodbye", () => {
    const client = new TalkingClient();
    const halves = [
      encodeMessage(frontend.query, (body) => body.text("no end")),
      encodeMessage(frontend.bind, (body) => body.cString("").cString("").u16(9)),
      encodeMessage(frontend.parse, (body) => body.cString("")),
      encodeMessage(frontend.describe, (body) => body.text("Xa").u8(0)),
      encodeMessage(frontend.execute, (body) => body.cString("")),
    ];
    for (const message of halves)
      expect(() => new TalkingClient().send(message)).toThrow(ProtocolViolation);
    client.send(encodeTerminate());
    expect(client.conversation.isOver).toBe(true);
  });
});
