import { describe, expect, it } from "vitest";
import { BorealisError } from "../base/errors.ts";
import { type ClusterOrder, findOrder, orderText } from "./command-orders.ts";
import type { SqlValue } from "./sql-types.ts";
import { tokensOf } from "./statement-text.ts";

function order(sql: string, values: readonly SqlValue[] = []): ClusterOrder | undefined {
  return findOrder(tokensOf(sql))?.orderOf(values);
}

/** "CODE message at place" of what it fails with. */
function failure(sql: string, values: readonly SqlValue[] = []): string {
  try {
    return `none: ${JSON.stringify(order(sql, values))}`;
  } catch (error) {
    if (!(error instanceof BorealisError)) throw error;
    const { code, message, position } = error;
    return `${code} ${message}${position === undefined ? "" : ` at ${position}`}`;
  }
}

describe("commands to the cluster", () => {
  it.each<[string, ClusterOrder]>([
    ["FAILOVER", { kind: "failover", target: null }],
    ["failover to 'instance-2'", { kind: "failover", target: "instance-2" }],
    ['FAILOVER TO "Instance-2"', { kind: "failover", target: "Instance-2" }],
    ["FAILOVER TO Instance-2 -- now", { kind: "failover", target: "instance-2" }],
    ["CREATE SNAPSHOT", { kind: "create snapshot", id: null }],
    ["CREATE SNAPSHOT s1", { kind: "create snapshot", id: "s1" }],
    ["create snapshot v1.2-2026-11", { kind: "create snapshot", id: "v1.2-2026-11" }],
    ["DROP SNAPSHOT 'it''s'", { kind: "drop snapshot", id: "it's" }],
    ["DROP SNAPSHOT E'a\\x62c'", { kind: "drop snapshot", id: "abc" }],
    ["BACKTRACK TO '-5m'", { kind: "backtrack", to: "-5m", isDryRun: false }],
    ["BACKTRACK TO $$0/16B3748$$ DRY RUN", { kind: "backtrack", to: "0/16B3748", isDryRun: true }],
    ["ADD INSTANCE", { kind: "add instance", id: null, tier: null, az: null }],
    ["ADD INSTANCE AZ az2 TIER 0", { kind: "add instance", id: null, tier: 0, az: "az2" }],
    [
      "ADD INSTANCE 'tier' TIER 15 AZ 'az1'",
      { kind: "add instance", id: "tier", tier: 15, az: "az1" },
    ],
    ["REMOVE INSTANCE instance-3", { kind: "remove instance", id: "instance-3" }],
    ["REBOOT INSTANCE 'instance-3'", { kind: "reboot instance", id: "instance-3" }],
    ["ALTER INSTANCE x TIER 3", { kind: "alter instance", id: "x", tier: 3 }],
    [
      "CREATE ENDPOINT reports TYPE reader STATIC ('a', b-2)",
      {
        kind: "create endpoint",
        id: "reports",
        type: "reader",
        list: { kind: "static", instances: ["a", "b-2"] },
      },
    ],
    [
      "CREATE ENDPOINT reports TYPE any",
      { kind: "create endpoint", id: "reports", type: "any", list: null },
    ],
    [
      "ALTER ENDPOINT reports EXCLUDE () TYPE 'any'",
      {
        kind: "alter endpoint",
        id: "reports",
        type: "any",
        list: { kind: "exclude", instances: [] },
      },
    ],
    ["DROP ENDPOINT reports", { kind: "drop endpoint", id: "reports" }],
    [
      "ALTER ACCESS writer ALLOW ('10.0.0.0/8', 'fd00::/8')",
      { kind: "alter access", id: "writer", allow: ["10.0.0.0/8", "fd00::/8"] },
    ],
    ["ALTER ACCESS 'instance-1' ALLOW ()", { kind: "alter access", id: "instance-1", allow: [] }],
    [
      "CREATE IAM KEY FOR ci AS ('app', 'test_*')",
      { kind: "create iam", id: "ci", dbUsers: ["app", "test_*"] },
    ],
    ["CREATE IAM KEY FOR 'ci'", { kind: "create iam", id: "ci", dbUsers: null }],
    ["DROP IAM KEY 'BKIAX'", { kind: "drop iam", id: "BKIAX" }],
    ["DROP ACCESS reader", { kind: "drop access", id: "reader" }],
    [
      "SET PARAMETER work_mem = '8MB'",
      { kind: "set parameter", id: "work_mem", value: "8MB", instance: null },
    ],
    [
      "set parameter auto_explain.log_min_duration to -1 for instance-2",
      {
        kind: "set parameter",
        id: "auto_explain.log_min_duration",
        value: "-1",
        instance: "instance-2",
      },
    ],
    [
      "SET PARAMETER jit = off FOR 'instance-2'",
      { kind: "set parameter", id: "jit", value: "off", instance: "instance-2" },
    ],
    ["SET PARAMETER jit = DEFAULT", { kind: "reset parameter", id: "jit", instance: null }],
    [
      "SET PARAMETER jit = 'default'",
      { kind: "set parameter", id: "jit", value: "default", instance: null },
    ],
    [
      "RESET PARAMETER jit FOR instance-2",
      { kind: "reset parameter", id: "jit", instance: "instance-2" },
    ],
    ["RESET PARAMETER ALL", { kind: "reset parameter", id: null, instance: null }],
    ["STOP STORAGE az1-full, 'az2-tail'", { kind: "stop storage", ids: ["az1-full", "az2-tail"] }],
    ["START STORAGE az1-full", { kind: "start storage", ids: ["az1-full"] }],
    ["REPLACE STORAGE az1-full", { kind: "replace storage", id: "az1-full" }],
    ["SCRUB STORAGE", { kind: "scrub storage", id: null }],
    ["SCRUB STORAGE az1-full", { kind: "scrub storage", id: "az1-full" }],
  ])("are read: %s", (sql, expected) => {
    expect(order(sql)).toEqual(expected);
    // And as they are logged, they are the same, but for what may be a secret.
    const isHidden = expected.kind === "set parameter" && expected.id.includes(".");
    const logged = isHidden ? { ...expected, value: "…" } : expected;
    expect(order(orderText(expected))).toEqual(logged);
  });

  it("are logged without values that may be secrets", () => {
    const logged = (sql: string): string => orderText(order(sql) ?? expect.fail(sql));
    const secret = "host=x password=hunter2";
    for (const name of ["primary_conninfo", "app.secret", "search_path", "ssl_passphrase_command"])
      for (const value of [secret, "hunter2", "12345 hunter2"])
        expect(logged(`SET PARAMETER ${name} = '${value}' FOR i`)).toBe(
          `SET PARAMETER '${name}' = '…' FOR 'i'`,
        );
    expect(logged("SET PARAMETER app.pin = 1234")).toBe("SET PARAMETER 'app.pin' = '…'");
    for (const value of ["8MB", "1.5", "-1", "off", "200 ms"])
      expect(logged(`SET PARAMETER x = '${value}'`)).toBe(`SET PARAMETER 'x' = '${value}'`);
  });

  it("are none of PostgreSQL's statements", () => {
    for (const sql of [
      "CREATE TABLE t ()",
      "START TRANSACTION",
      "DROP ROLE x",
      "ADD",
      "'failover'",
      '"failover"',
      "",
    ])
      expect([sql, order(sql)]).toEqual([sql, undefined]);
  });

  it.each([
    ["FAILOVER TO", "42601 syntax error at end of input"],
    ["FAILOVER instance-2", '42601 syntax error at or near "instance" at 10'],
    ["FAILOVER TO 'a' 'b'", "42601 syntax error at or near \"'b'\" at 17"],
    ["FAILOVER TO instance -2", '42601 syntax error at or near "-" at 22'],
    ["FAILOVER TO X'61'", "42601 syntax error at or near \"X'61'\" at 13"],
    ["FAILOVER TO 2-instance", '42601 syntax error at or near "2" at 13'],
    ["FAILOVER TO ('a')", '42601 syntax error at or near "(" at 13'],
    ["CREATE SNAPSHOT IF NOT EXISTS s1", '42601 syntax error at or near "not" at 20'],
    ["DROP SNAPSHOT", "42601 syntax error at end of input"],
    ["DROP SNAPSHOT a, b", '42601 syntax error at or near "," at 16'],
    ["DROP SNAPSHOT E'\\000'", '22021 invalid byte sequence for encoding "UTF8": 0x00'],
    ["BACKTRACK TO -5m", '42601 syntax error at or near "-" at 14'],
    ["BACKTRACK TO '-5m' DRY", "42601 syntax error at end of input"],
    ["BACKTRACK '-5m'", "42601 syntax error at or near \"'-5m'\" at 11"],
    ["ADD INSTANCE TIER 16", "22023 TIER takes a number from 0 to 15 at 19"],
    ["ADD INSTANCE TIER 1e1", "22023 TIER takes a number from 0 to 15 at 19"],
    ["ADD INSTANCE TIER -1", '42601 syntax error at or near "-" at 19'],
    ["ADD INSTANCE TIER 1 TIER 2", '42601 syntax error at or near "tier" at 21'],
    ["ALTER INSTANCE x", "42601 syntax error at end of input"],
    ["CREATE ENDPOINT e", "42601 syntax error at end of input"],
    ["CREATE ENDPOINT e TYPE writer", '22023 TYPE takes reader or any, not "writer"'],
    ["CREATE ENDPOINT e STATIC (a) TYPE any", '42601 syntax error at or near "static" at 19'],
    ["ALTER ENDPOINT e", "42601 syntax error at end of input"],
    ["ALTER ENDPOINT e STATIC (a) EXCLUDE (b)", "42601 STATIC and EXCLUDE cannot be combined"],
    ["ALTER ENDPOINT e STATIC a", '42601 syntax error at or near "a" at 25'],
    ["ALTER ENDPOINT e STATIC (a", "42601 syntax error at end of input"],
    ["ALTER ENDPOINT e STATIC (a,)", '42601 syntax error at or near ")" at 28'],
    ["CREATE IAM KEY", "42601 syntax error at end of input"],
    ["CREATE IAM USER x", '42601 syntax error at or near "user" at 12'],
    ["DROP IAM 'BKIAX'", "42601 syntax error at or near \"'BKIAX'\" at 10"],
    ["STOP STORAGE", "42601 syntax error at end of input"],
    ["STOP STORAGE a b", '42601 syntax error at or near "b" at 16'],
  ])("are refused: %s", (sql, expected) => {
    expect(failure(sql)).toBe(expected);
  });

  it("are bounded", () => {
    const long = "x".repeat(201);
    for (const name of [long, `'${long}'`, `"${long}"`, `a${"-1".repeat(100)}`])
      expect(failure(`DROP SNAPSHOT ${name}`)).toMatch(/^54000 a name/);
    const open = failure(`DROP SNAPSHOT '${"x".repeat(60_000)}`);
    expect(open).toMatch(/^42601/);
    expect(open.length).toBeLessThan(300);
    const many = Array.from({ length: 101 }, (_, n) => `n${n}`).join();
    expect(failure(`STOP STORAGE ${many}`)).toMatch(/^54000 a list/);
    expect(failure(`ALTER ENDPOINT e STATIC (${many})`)).toMatch(/^54000 a list/);
    for (const word of ["__proto__", "constructor", "toString"])
      expect(failure(`ADD INSTANCE x ${word} 1`)).toMatch(/^42601/);
  });

  it("take parameters for values, not for words", () => {
    const statement = findOrder(tokensOf("ADD INSTANCE $1 TIER $2 AZ $3"));
    expect(statement?.parameterCount).toBe(3);
    expect(statement?.orderOf(["x", 3n, "az1"])).toEqual({
      kind: "add instance",
      id: "x",
      tier: 3,
      az: "az1",
    });
    expect(order("CREATE ENDPOINT $1 TYPE $2 STATIC ($3, $3)", ["e", "any", "a"])).toEqual({
      kind: "create endpoint",
      id: "e",
      type: "any",
      list: { kind: "static", instances: ["a", "a"] },
    });
    expect(failure("FAILOVER TO $1", [null])).toBe("22023 parameter $1 is null");
    expect(failure("FAILOVER TO $1", [true])).toBe("22023 parameter $1 is no text");
    expect(failure("FAILOVER TO $1", ["x".repeat(201)])).toMatch(/^54000/);
    expect(failure("ADD INSTANCE TIER $1", ["16"])).toBe("22023 TIER takes a number from 0 to 15");
    expect(failure("CREATE ENDPOINT e TYPE $1", ["all"])).toMatch(/^22023 TYPE/);
    expect(failure("FAILOVER TO $1001")).toMatch(/^42P02/);
    expect(failure("FAILOVER $1", ["TO"])).toMatch(/^42601/);
    expect(failure("ALTER ENDPOINT e STATIC $1", ["a"])).toMatch(/^42601/);
  });
});
