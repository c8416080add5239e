import { beforeAll, describe, expect, it } from "vitest";
import { classify, classifyUnparsed, loadParser } from "../route/index.ts";
import {
  encodeBind,
  encodeClose,
  encodeExecute,
  encodeParse,
  encodeQuery,
  encodeSync,
} from "../wire/index.ts";
import { type AuditedText, StatementTap } from "./statement-tap.ts";

beforeAll(loadParser);

function aTap({ isAll = false, isPlain = true } = {}): {
  told: AuditedText[];
  see: (...messages: Buffer[]) => void;
  tap: StatementTap;
} {
  const told: AuditedText[] = [];
  const tap = new StatementTap({
    isAll,
    classify: (sql, plain) => (plain ? classify(sql) : classifyUnparsed(sql)),
    isPlain: () => isPlain,
    tell: (statement) => told.push(statement),
  });
  return { told, tap, see: (...messages) => tap.see(Buffer.concat(messages)) };
}

const said = ({ class: what, command, text }: AuditedText): string =>
  `${what} ${command}: ${text ?? "-"}`;

function executed(name: string): Buffer {
  return Buffer.concat([encodeBind("", name), encodeExecute(""), encodeSync()]);
}

describe("statements of definition", () => {
  it("are told as they come, and no others", () => {
    const { told, see } = aTap();
    see(encodeQuery("SELECT 1"), encodeQuery("CREATE TABLE t (a int)"), encodeQuery("BEGIN"));
    see(encodeQuery("GRANT SELECT ON t TO ann; INSERT INTO t VALUES (1)"));
    expect(told.map(said)).toEqual([
      "ddl CREATE TABLE: CREATE TABLE t (a int)",
      "role GRANT; INSERT: GRANT SELECT ON t TO ann; INSERT INTO t VALUES (0)",
    ]);
  });

  it("are told without numbers that may be rows' or arguments", () => {
    const { told, see } = aTap();
    see(encodeQuery("CREATE TABLE t2 AS SELECT a FROM t WHERE card = 4111"));
    see(encodeQuery("CALL pay(4111)"), encodeQuery("SELECT * INTO t3 FROM t WHERE card = 4111"));
    see(encodeQuery("ALTER TABLE t ADD b varchar(12)"));
    see(encodeQuery("CREATE VIEW v AS SELECT a FROM t WHERE card = 4111"));
    see(encodeQuery("CREATE POLICY p ON t USING (card = 4111)"));
    // Too long to be parsed, and no definition.
    see(encodeQuery(`SELECT a FROM t WHERE card IN (${"4111, ".repeat(6_000)}0)`));
    expect(told.map(({ text }) => text)).toEqual([
      "CREATE TABLE t2 AS SELECT a FROM t WHERE card = 0",
      "CALL pay(0)",
      "SELECT * INTO t3 FROM t WHERE card = 0",
      "ALTER TABLE t ADD b varchar(12)",
      "CREATE VIEW v AS SELECT a FROM t WHERE card = 0",
      "CREATE POLICY p ON t USING (card = 0)",
    ]);
  });

  it("are told as unknown where a name is too long to be found, and not as what was there before", () => {
    const { told, see } = aTap();
    const name = "d".repeat(2_000);
    see(encodeParse("", "SELECT 1"), executed(""), encodeParse(name, "DROP TABLE t"));
    told.length = 0;
    const bind = encodeBind("", name);
    see(bind.subarray(0, 1_500));
    see(bind.subarray(1_500), encodeExecute(""), encodeSync());
    expect(told.map(said)).toEqual(["unknown : -"]);
  });

  it("are told without their passwords, and without a word where they cannot be read", () => {
    const { told, see } = aTap();
    see(encodeQuery("ALTER ROLE ann PASSWORD 'geheim'"));
    see(encodeQuery("ALTER ROLE ann PASWORD 'geheim'"));
    const long = encodeQuery(`DROP TABLE t; ${"-".repeat(300_000)}`);
    see(long.subarray(0, 10_000));
    see(long.subarray(10_000));
    expect(told.map(said)).toEqual([
      "role ALTER ROLE: ALTER ROLE ann PASSWORD '…'",
      "unknown : -",
      "unknown : -",
    ]);
    expect(told[2]?.characters).toBeGreaterThan(300_000);
  });

  it("are told without a word where PostgreSQL reads them otherwise than the parser", () => {
    const { told, see } = aTap({ isPlain: false });
    see(encodeQuery("SELECT 'a\\'geheim, ' -- '"));
    expect(told.map(said)).toEqual(["unknown : -"]);
  });

  it("are told each time that they are executed, by whatever name", () => {
    const { told, see } = aTap();
    see(encodeParse("s", Buffer.from("TRUNCATE t")), executed("s"), executed("s"));
    see(encodeParse("", Buffer.from("DROP TABLE t")), executed(""));
    see(encodeParse("", Buffer.from("SELECT 1")), executed(""));
    expect(told.map(said)).toEqual([
      "ddl TRUNCATE TABLE: TRUNCATE t",
      "ddl TRUNCATE TABLE: TRUNCATE t",
      "ddl DROP: DROP TABLE t",
    ]);
  });

  it("cannot hide behind a name that is taken, or that is not known", () => {
    const { told, see } = aTap();
    see(encodeParse("s", Buffer.from("DROP TABLE t")));
    // The server refuses it, and s is what it was.
    see(encodeParse("s", Buffer.from("SELECT 1")), executed("s"));
    see(executed("other"));
    see(encodeClose("statement", "s"), encodeParse("s", Buffer.from("SELECT 1")), executed("s"));
    see(encodeQuery("DEALLOCATE ALL"), encodeParse("s", Buffer.from("SELECT 2")), executed("s"));
    expect(told.map(said)).toEqual(["ddl DROP: DROP TABLE t", "unknown : -", "unknown : -"]);
  });

  it("cannot hide behind messages that the server leaves out, since an error stands before them", () => {
    const { told, see } = aTap();
    see(encodeParse("", "DROP TABLE t"), encodeSync());
    see(encodeParse("x", "SELECT nonsense"), encodeParse("", "SELECT 1"), encodeSync());
    see(executed(""));
    see(encodeParse("s", "TRUNCATE t"), encodeSync());
    see(encodeParse("x", "SELECT nonsense"), encodeClose("statement", "s"), encodeSync());
    see(encodeParse("s", "SELECT 1"), encodeSync(), executed("s"));
    expect(told.map(said)).toEqual(["ddl DROP: DROP TABLE t", "ddl TRUNCATE TABLE: TRUNCATE t"]);
  });

  it("are told once however their bytes are cut", () => {
    const { told, tap } = aTap();
    const bytes = Buffer.concat([encodeQuery("DROP TABLE t"), encodeQuery("SELECT 1")]);
    for (const byte of bytes) tap.see(Buffer.from([byte]));
    expect(told.map(said)).toEqual(["ddl DROP: DROP TABLE t"]);
  });

  it("leave what is no protocol to the session", () => {
    const { told, see } = aTap();
    see(Buffer.from([0x51, 0xff, 0xff, 0xff, 0xff]), encodeQuery("DROP TABLE t"));
    expect(told).toEqual([]);
  });
});

describe("all statements", () => {
  it("are told, without the values in them", () => {
    const { told, see } = aTap({ isAll: true });
    see(encodeQuery("SELECT * FROM t WHERE a = 1234 AND b = 'geheim'"), encodeQuery("COMMIT"));
    see(encodeParse("s", Buffer.from("INSERT INTO t VALUES ($1)")), executed("s"), executed("s"));
    expect(told.map(said)).toEqual([
      "read SELECT: SELECT * FROM t WHERE a = 0 AND b = '…'",
      "misc COMMIT: COMMIT",
      "write INSERT: INSERT INTO t VALUES ($1)",
      "write INSERT: INSERT INTO t VALUES ($1)",
    ]);
  });

  it("are told without their text where that is long", () => {
    const { told, see } = aTap({ isAll: true });
    see(encodeQuery(`INSERT INTO t VALUES ${"(1),".repeat(20_000)}(1)`));
    expect(told.map(said)).toEqual(["write INSERT: -"]);
  });
});
