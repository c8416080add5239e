import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { auditClassOf } from "./audit-class.ts";
import { classify } from "./classify.ts";
import { loadParser } from "./parser-shell.ts";
import { redacted } from "./redact.ts";

beforeAll(loadParser);

const shown = (sql: string): string | undefined => redacted(sql, { keepsNumbers: true });

describe("a text without secrets", () => {
  it.each([
    ["ALTER ROLE ann PASSWORD 'geheim'", "ALTER ROLE ann PASSWORD '…'"],
    [
      "CREATE SUBSCRIPTION s CONNECTION 'host=a password=geheim' PUBLICATION p",
      "CREATE SUBSCRIPTION s CONNECTION '…' PUBLICATION p",
    ],
    [
      "CREATE USER MAPPING FOR ann SERVER s OPTIONS (user 'ann', password E'ge\\'heim')",
      "CREATE USER MAPPING FOR ann SERVER s OPTIONS (user '…', password '…')",
    ],
    ["SELECT * FROM dblink('password=geheim', $$q$$)", "SELECT * FROM dblink('…', '…')"],
    ["SELECT U&'geheim' UESCAPE '!', b'01', x'1f'", "SELECT '…' UESCAPE '…', '…', '…'"],
    ["CREATE TABLE t (a varchar(10)) -- geheim", "CREATE TABLE t (a varchar(10))"],
    ["DROP/* geheim */TABLE t", "DROP TABLE t"],
    // Values of settings need no quotes.
    ["SET app.token = geheim, more", "SET app.token = '…'"],
    ["ALTER ROLE ann SET app.token TO geheim", "ALTER ROLE ann SET app.token TO '…'"],
    ["SET a.b = geheim; DROP TABLE t", "SET a.b = '…'; DROP TABLE t"],
    // What follows a value is told, or somebody would hide it there.
    [
      "ALTER TABLE t SET (fillfactor=90, a = geheim(3)), DISABLE ROW LEVEL SECURITY",
      "ALTER TABLE t SET (fillfactor= '…', a = '…'), DISABLE ROW LEVEL SECURITY",
    ],
    [
      "ALTER TABLE t ALTER a SET DEFAULT 1 = 1, DISABLE ROW LEVEL SECURITY",
      "ALTER TABLE t ALTER a SET DEFAULT 1 = '…', DISABLE ROW LEVEL SECURITY",
    ],
    ["ALTER TABLE t SET LOGGED, OWNER TO ann", "ALTER TABLE t SET LOGGED, OWNER TO ann"],
    [
      "ALTER FUNCTION f() SET a.b = geheim, -5 SECURITY DEFINER",
      "ALTER FUNCTION f() SET a.b = '…' SECURITY DEFINER",
    ],
    [
      "CREATE FUNCTION f() RETURNS int LANGUAGE sql SET a.b TO geheim RETURN 1",
      "CREATE FUNCTION f() RETURNS int LANGUAGE sql SET a.b TO '…' RETURN 1",
    ],
    ["ALTER FUNCTION f() SET a.b FROM CURRENT", "ALTER FUNCTION f() SET a.b FROM CURRENT"],
    ["SET ROLE ann", "SET ROLE ann"],
    ["UPDATE t SET a = b WHERE c = 'x'", "UPDATE t SET a = b WHERE c = '…'"],
    ['SELECT dblink_connect("password=geheim")', "SELECT dblink_connect('…')"],
    ['SELECT dblink_connect("pg://a:geheim@h")', "SELECT dblink_connect('…')"],
    ['SELECT "Straße", é FROM t WHERE a = $1', 'SELECT "Straße", é FROM t WHERE a = $1'],
  ])("%s", (sql, expected) => {
    expect(shown(sql)).toBe(expected);
  });

  it("has no numbers where none are asked for", () => {
    const sql = "INSERT INTO t VALUES (1234, 1.5e3, 0x1F, .5)";
    expect(redacted(sql, { keepsNumbers: false })).toBe("INSERT INTO t VALUES (0, 0, 0, 0)");
  });

  it("is none where the lexer gives up", () => {
    expect(shown("SELECT 'geheim")).toBeUndefined();
    expect(shown("SELECT $$geheim")).toBeUndefined();
  });

  it("has nothing of a string, however it is written", () => {
    const secret = "Xq7Zk9";
    const quotings: ((inner: string) => string)[] = [
      (inner) => `'${inner.replaceAll("'", "''")}'`,
      (inner) => `E'${inner.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`,
      (inner) => `$tag$${inner.replaceAll("$", "")}$tag$`,
      (inner) => `N'${inner.replaceAll("'", "''")}'`,
      (inner) => `U&'${inner.replaceAll("'", "''").replaceAll("\\", "\\\\")}'`,
      (inner) => `'a'\n  '${inner.replaceAll("'", "''")}'`,
      (inner) => `/* ${inner.replaceAll(/[*/]/g, "")} */'x'`,
    ];
    const frames: ((literal: string) => string)[] = [
      (literal) => `ALTER ROLE a PASSWORD ${literal}`,
      (literal) => `SELECT f(${literal}, 'b'), "q" -- '`,
      (literal) => `SET a.b = ${literal}`,
      (literal) => `DO ${literal}`,
      (literal) => `SELECT 1; CREATE SERVER s FOREIGN DATA WRAPPER w OPTIONS (p ${literal})`,
    ];
    const text = fc.string({ unit: "grapheme-composite", maxLength: 12 });
    const one = fc.tuple(text, text, fc.constantFrom(...quotings), fc.constantFrom(...frames));
    fc.assert(
      fc.property(one, ([before, after, quote, frame]) => {
        const inner = `${before}${secret}${after}`.replaceAll("\0", "");
        expect(shown(frame(quote(inner))) ?? "").not.toContain(secret);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("what an audit calls a statement", () => {
  it.each([
    ["SELECT 1", "read"],
    ["SELECT * INTO t2 FROM t", "ddl"],
    [`SELECT a FROM t WHERE a IN (${"4111, ".repeat(6_000)}0)`, "write"],
    ["INSERT INTO t VALUES (1)", "write"],
    ["WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d", "write"],
    ["COPY t FROM STDIN", "write"],
    ["COPY t TO STDOUT", "read"],
    ["COPY t TO PROGRAM 'cat'", "function"],
    ["DO $$BEGIN END$$", "function"],
    ["CALL p()", "function"],
    ["CREATE TABLE t (a int)", "ddl"],
    ["CREATE TABLE t2 AS SELECT 1 a", "ddl"],
    ["CREATE INDEX ON t (a)", "ddl"],
    ["DROP TABLE t", "ddl"],
    ["TRUNCATE t", "ddl"],
    ["COMMENT ON TABLE t IS 'x'", "ddl"],
    ["ALTER TABLE t OWNER TO ann", "ddl"],
    ["CREATE EXTENSION dblink", "ddl"],
    ["CREATE ROLE ann", "role"],
    ["ALTER USER ann PASSWORD 'x'", "role"],
    ["DROP ROLE ann", "role"],
    ["GRANT SELECT ON t TO ann", "role"],
    ["GRANT a TO b", "role"],
    ["REVOKE a FROM b", "role"],
    ["ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO ann", "role"],
    ["REASSIGN OWNED BY a TO b", "role"],
    ["SET ROLE ann", "role"],
    ["SET SESSION AUTHORIZATION ann", "role"],
    ["SET work_mem = '1MB'", "misc"],
    ["VACUUM t", "misc"],
    ["BEGIN", "misc"],
    ["SELECT 1; DROP TABLE t; INSERT INTO t VALUES (1)", "ddl"],
    ["SELEC 1", "unknown"],
    ["", "misc"],
  ] as const)("%s: %s", (sql, expected) => {
    expect(auditClassOf(classify(sql))).toBe(expected);
  });
});
