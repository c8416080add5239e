import { expect, test } from "vitest";
import { parseRecord, recordFirstSql, recordQueryOf } from "./role-record.ts";
import { ownSettingNames, settingRefusal } from "../route/index.ts";
import {
  foreignText,
  planRoles,
  rolesMark,
  type RolesPlan,
  sessionSettings,
} from "./surface-roles.ts";

const names = ["rds_superuser", "rds_replication", "rds_password", "rds_iam"];
const oids = new Map(names.map((name, k) => [name, String(16_384 + k)]));

function record(of: readonly string[], mark = rolesMark): string {
  return `borealis roles ${mark} ${of.map((name) => `${name}=${oids.get(name)}`).join(" ")}`;
}

/** As PostgreSQL answers. */
function found(text: string | null, there: readonly string[]): (string | null)[][] {
  return [[null, text], ...there.map((name) => [name, oids.get(name) ?? ""])];
}

function plan(rows: (string | null)[][], major = 18): RolesPlan {
  return planRoles(rows, major);
}

/** To everybody, whoever has the names of our roles. */
const toAll = `GRANT SET ON PARAMETER ${sessionSettings.join(", ")} TO PUBLIC`;

function grantsIn(sql: string | undefined): string[] {
  return [...(sql ?? "").matchAll(/(?:GRANT|CREATE) [^;]*?(?=;| WITH|$)/g)].map(([text]) => text);
}

test("where there is nothing all roles are made and recorded, in one transaction, and none may log in", () => {
  const { sql, lastQuery, foreign } = plan(found(null, []));
  expect(sql).toMatch(/^BEGIN; (?!.*COMMIT)/s);
  expect(sql).not.toMatch(/\bLOGIN\b/);
  expect(grantsIn(sql)).toEqual([
    ...names.map((name) => `CREATE ROLE ${name}`),
    ...["pg_monitor", "pg_signal_backend", "pg_checkpoint", "rds_replication", "rds_password"].map(
      (role) => `GRANT ${role} TO rds_superuser`,
    ),
    "GRANT SET ON PARAMETER session_replication_role TO rds_superuser",
    toAll,
    "GRANT rds_iam TO rds_superuser",
  ]);
  expect(lastQuery).toBe(recordQueryOf(rolesMark, names));
  expect(foreign).toEqual([]);
});

test("before PostgreSQL 16 nobody is given rds_iam, as that would be membership", () => {
  const grants = grantsIn(plan(found(null, []), 15).sql);
  expect(grants).toContain("CREATE ROLE rds_iam");
  expect(grants.filter((sql) => sql.startsWith("GRANT"))).toHaveLength(7);
  expect(grants).not.toContain("GRANT rds_iam TO rds_superuser");
});

test("where all is as this version made it nothing is done, whatever was taken away meanwhile", () => {
  expect(plan(found(record(names), names))).toMatchObject({ sql: undefined, foreign: [] });
});

test("another version's grants are given again, and nothing is made twice", () => {
  const { sql } = plan(found(record(names, "0000000a"), names));
  expect(grantsIn(sql)).toHaveLength(8);
  expect(sql).not.toContain("CREATE ROLE");
});

test("what is missing is made again with the grants that it is in, and no other", () => {
  const { sql, lastQuery } = plan(
    found(record(names), ["rds_superuser", "rds_replication", "rds_iam"]),
  );
  expect(grantsIn(sql)).toEqual([
    "CREATE ROLE rds_password",
    "GRANT rds_password TO rds_superuser",
  ]);
  expect(lastQuery).toBe(recordQueryOf(rolesMark, names));
});

test("a role of before is given nothing, and to nobody; the others are made", () => {
  const { sql, foreign } = plan(found(null, ["rds_iam", "rds_replication"]));
  expect(foreign).toEqual(["rds_replication", "rds_iam"]);
  expect(grantsIn(sql)).toHaveLength(8);
  expect(sql).not.toMatch(/GRANT rds_iam|rds_replication/);
  const others = plan(found(null, ["rds_superuser"]));
  expect(grantsIn(others.sql)).toEqual([
    ...names.slice(1).map((name) => `CREATE ROLE ${name}`),
    toAll,
  ]);
  expect(foreignText(foreign)).toContain("ALTER ROLE rds_iam RENAME TO another_name");
});

test("one that was made in the place of ours is not ours; nor is any where somebody has overwritten the record", () => {
  const rows = found(record(names).replace(/rds_iam=\d+/, "rds_iam=1"), names);
  expect(plan(rows)).toMatchObject({ sql: undefined, foreign: ["rds_iam"] });
  expect(plan(found("mine", names)).foreign).toEqual(names);
  expect(grantsIn(plan(found("mine", names)).sql)).toEqual([toAll]);
});

test("what a volume was born with is ours, and its first record is never written over", () => {
  const rows = found(record(["rds_superuser"], "none"), ["rds_superuser"]);
  expect(plan(rows).foreign).toEqual([]);
  expect(grantsIn(plan(rows).sql)).toHaveLength(3 + 8);
  expect(recordFirstSql(["rds_superuser"])).toMatch(
    /IF \(SELECT .*\) IS NULL THEN EXECUTE \(SELECT/,
  );
  expect(parseRecord("borealis roles none a=1 b=2")).toEqual({
    mark: "none",
    oids: new Map([
      ["a", "1"],
      ["b", "2"],
    ]),
  });
});

test("every setting that sessions have of ours can be granted, and no other", () => {
  expect(sessionSettings.toSorted()).toEqual(ownSettingNames.toSorted());
  // Such a value is refused wherever the name is one of ours.
  const isOurs = (name: string): boolean => settingRefusal(name, "no value") !== undefined;
  expect(sessionSettings.filter((name) => !isOurs(name))).toEqual([]);
});
