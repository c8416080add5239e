import { beforeAll, describe, expect, it } from "vitest";
import {
  ClassificationCache,
  classify,
  classifyUnparsed,
  loadParser,
  type StatementClass,
} from "./index.ts";

beforeAll(loadParser);

/** The class of a text that holds exactly one statement. */
function classOf(sql: string): StatementClass {
  const { statements, parseFailed } = classify(sql);
  expect(parseFailed, sql).toBe(false);
  expect(statements, sql).toHaveLength(1);
  const [statement] = statements;
  if (!statement) throw new Error("no statement");
  return statement;
}

/** Statement, kind, and the marks that are set: W mayWrite, U mayRunUserCode. */
const kinds: [sql: string, kind: string, marks: string][] = [
  ["select 1", "read", ""],
  ["SELECT 1;", "read", ""],
  ["select $1::int + $2", "read", ""],
  ["values (1), (2)", "read", ""],
  ["table t", "read", "U"],
  ["select * from t", "read", "U"],
  ["select * from pg_catalog.pg_class", "read", ""],
  ["select server_id from pg_catalog.aurora_replica_status()", "read", ""],
  ["select pg_catalog.aurora_version(1)", "mayWrite", "WU"],
  ["select aurora_version()", "mayWrite", "WU"],
  ["select aurora_version(), ours.aurora_version()", "mayWrite", "WU"],
  ["select * from information_schema.tables", "read", ""],
  ["select * from pg_class", "read", "U"],
  [
    "select count(*), sum(a), avg(b) filter (where c > 1) from t group by d having max(e) < 3",
    "read",
    "U",
  ],
  ["select now(), random(), clock_timestamp(), gen_random_uuid()", "read", ""],
  [
    "select a, row_number() over (partition by b order by c rows between 1 preceding and current row) from t",
    "read",
    "U",
  ],
  [
    "select a between 1 and 2, b not between symmetric 3 and 4, c in (1, 2), d like 'x%', e ~ 'y' from t",
    "read",
    "U",
  ],
  ["select '{\"a\":1}'::jsonb @> '{}' and '[1]'::jsonb ? 'x'", "read", ""],
  [
    "select extract(year from now()), trim(' a '), position('a' in 'b'), overlay('a' placing 'b' from 1)",
    "read",
    "",
  ],
  ["select current_user, session_user, current_date, current_timestamp", "read", ""],
  ["select coalesce(1, 2), nullif(1, 2), greatest(1, 2), case when true then 1 end", "read", ""],
  [
    "select date '2020-01-01', interval '1 day', timestamptz 'now', b'101', 'a'::varchar(3)",
    "read",
    "",
  ],
  [
    "select (array[1, 2])[1], row(1, 2), (array[1])[1:2], 1 = any(array[1]), 1 < all (select 2)",
    "read",
    "",
  ],
  ["select * from generate_series(1, 3) g, unnest(array[1]) with ordinality", "read", ""],
  ["select json_object('a': 1), json_arrayagg(x) from generate_series(1, 2) x", "read", ""],
  ["select pg_catalog.lower('A')", "read", ""],
  ["select 1 operator(pg_catalog.+) 2", "read", ""],
  ["select pg_sleep(0.1)", "read", ""],
  ["select pg_is_in_recovery(), pg_last_wal_replay_lsn(), pg_current_wal_lsn()", "read", ""],
  ["select current_setting('server_version')", "read", ""],
  ["select pg_current_xact_id_if_assigned()", "read", ""],
  ["with a as (select 1) select * from a", "read", ""],
  [
    "with recursive a(n) as (select 1 union all select n + 1 from a where n < 9) select * from a",
    "read",
    "",
  ],
  ["with t as (select * from t) select * from t", "read", "U"],
  ["(select 1 union select 2) intersect select 2 order by 1 limit 1 offset 0", "read", ""],
  ["select * from t tablesample bernoulli (10)", "read", "U"],
  ["select distinct on (a) a from t order by a using <", "read", "U"],
  ["select exists (select from t), (select max(a) from t)", "read", "U"],
  ["show all", "read", ""],
  ["show synchronous_commit", "read", ""],
  ["show transaction isolation level", "read", ""],
  ["explain select f()", "read", "U"],
  ["explain (analyze off, verbose) insert into t values (1)", "read", "U"],
  ["explain (analyze false) select 1", "read", ""],
  ["explain (analyze 0) select 1", "read", ""],
  ["fetch all from c", "read", "U"],
  ["move 3 in c", "read", "U"],
  ["declare c cursor for select 1", "read", ""],
  ["explain analyze select 1", "read", ""],
  ["explain (analyze, buffers) select 1", "read", ""],
  ["explain (analyze true) insert into t values (1)", "mayWrite", "WU"],
  ["explain (analyze on) select nextval('s')", "mayWrite", "W"],
  ["explain analyze execute p", "mayWrite", "WU"],
  ["explain analyze create table x as select 1", "mayWrite", "WU"],
  ["insert into t values (1)", "mayWrite", "WU"],
  ["insert into t select 1 on conflict do nothing returning *", "mayWrite", "WU"],
  ["update t set a = 1", "mayWrite", "WU"],
  ["delete from t", "mayWrite", "WU"],
  ["merge into t using s on t.a = s.a when matched then delete", "mayWrite", "WU"],
  ["with x as (insert into t values (1) returning *) select * from x", "mayWrite", "WU"],
  ["with x as (delete from t returning *) select count(*) from x", "mayWrite", "WU"],
  [
    "select * from (with x as (update t set a = 1 returning *) select * from x) y",
    "mayWrite",
    "WU",
  ],
  ["select * into x from t", "mayWrite", "WU"],
  ["select 1 into temp x", "mayWrite", "WU"],
  ["select * from t for update", "mayWrite", "WU"],
  ["select * from t for key share skip locked", "mayWrite", "WU"],
  ["select * from (select * from t for share) x", "mayWrite", "WU"],
  ["select f()", "mayWrite", "WU"],
  ["select public.lower('A')", "mayWrite", "WU"],
  ["select db.pg_catalog.lower('A')", "mayWrite", "WU"],
  ["select * from f(1)", "mayWrite", "WU"],
  ["select 1 <~~> 2", "mayWrite", "WU"],
  ["select 1 operator(public.+) 2", "mayWrite", "WU"],
  ["select 'a'::mood", "mayWrite", "WU"],
  ["select cast('a' as public.citext)", "mayWrite", "WU"],
  ["select nextval('s')", "mayWrite", "W"],
  ["select setval('s', 1)", "mayWrite", "W"],
  ["select a, case when b then nextval('s') end from t", "mayWrite", "WU"],
  ["select pg_notify('a', 'b')", "mayWrite", "W"],
  ["select pg_current_xact_id()", "mayWrite", "WU"],
  ["select txid_current()", "mayWrite", "WU"],
  ["select lo_create(0)", "mayWrite", "WU"],
  ["select lo_get(1)", "mayWrite", "WU"],
  ["select dblink_exec('delete from t')", "mayWrite", "WU"],
  ["select query_to_xml('delete from t', true, true, '')", "mayWrite", "WU"],
  ["select cursor_to_xml('c', 1, true, true, '')", "mayWrite", "WU"],
  ["select ts_stat('select f()')", "mayWrite", "WU"],
  ["select pg_logical_emit_message(true, 'a', 'b')", "mayWrite", "WU"],
  ["select pg_switch_wal()", "mayWrite", "WU"],
  ["select pg_create_physical_replication_slot('a')", "mayWrite", "WU"],
  ["select pg_terminate_backend(1)", "mayWrite", "WU"],
  ["select pg_read_file('x')", "mayWrite", "WU"],
  ["select pg_export_snapshot()", "mayWrite", "WU"],
  ["execute p(1)", "mayWrite", "WU"],
  ["select set_config('a.b', 'c', false)", "sessionState", ""],
  ["select setseed(0.5)", "sessionState", ""],
  ["select pg_advisory_lock(1)", "sessionState", ""],
  ["select pg_try_advisory_xact_lock(1)", "sessionState", ""],
  ["select pg_advisory_unlock_all() from t", "sessionState", "U"],
  ["set a.b = 'c'", "sessionState", ""],
  ["set local search_path to x, y", "sessionState", ""],
  ["set session characteristics as transaction read only", "sessionState", ""],
  ["set time zone 'UTC'", "sessionState", ""],
  ["set role x", "sessionState", ""],
  ["set session authorization default", "sessionState", ""],
  ["reset all", "sessionState", ""],
  ["discard all", "sessionState", "W"],
  ["discard plans", "sessionState", ""],
  ["discard temp", "sessionState", "W"],
  ["prepare p as insert into t values (1)", "sessionState", ""],
  ["deallocate p", "sessionState", ""],
  ["listen a", "sessionState", ""],
  ["unlisten *", "sessionState", ""],
  ["declare c cursor with hold for select 1", "sessionState", ""],
  ["close c", "sessionState", ""],
  ["load 'x'", "sessionState", "WU"],
  ["begin", "transaction", ""],
  ["start transaction isolation level serializable, read only, deferrable", "transaction", ""],
  ["commit", "transaction", "U"],
  ["end", "transaction", "U"],
  ["rollback", "transaction", ""],
  ["abort and chain", "transaction", ""],
  ["savepoint a", "transaction", ""],
  ["release a", "transaction", ""],
  ["rollback to a", "transaction", ""],
  ["prepare transaction 'x'", "transaction", "WU"],
  ["commit prepared 'x'", "transaction", "W"],
  ["rollback prepared 'x'", "transaction", "W"],
  ["set transaction read only", "transaction", ""],
  ["set transaction snapshot 'x'", "transaction", ""],
  ["set constraints all immediate", "transaction", "WU"],
  ["copy t from stdin", "copy", "WU"],
  ["copy t to stdout", "copy", "U"],
  ["copy (select 1) to stdout", "copy", ""],
  ["copy (delete from t returning *) to stdout", "copy", "WU"],
  ["copy (select 1) to '/tmp/x'", "copy", ""],
  ["copy (select 1) to program 'x'", "copy", "W"],
  ["create table t (a int primary key)", "utility", "WU"],
  ["create temp table t (a int)", "utility", "WU"],
  ["create table t as select 1", "utility", "WU"],
  ["create or replace view v as select 1", "utility", "WU"],
  ["create function f() returns int language sql as 'select 1'", "utility", "WU"],
  ["alter table t add column b int", "utility", "WU"],
  ["drop table t, u cascade", "utility", "WU"],
  ["truncate t", "utility", "WU"],
  ["lock table t in share mode", "utility", "WU"],
  ["analyze t", "utility", "WU"],
  ["notify a, 'b'", "utility", "W"],
  ["call p(1)", "utility", "WU"],
  ["do 'begin end'", "utility", "WU"],
  ["grant select on t to r", "utility", "WU"],
  ["comment on table t is 'a'", "utility", "WU"],
  ["refresh materialized view concurrently m", "utility", "WU"],
  ["checkpoint", "utility", ""],
];

describe("classify", () => {
  it.each(kinds)("%s → %s %s", (sql, kind, marks) => {
    const found = classOf(sql);
    const set = `${found.mayWrite ? "W" : ""}${found.mayRunUserCode ? "U" : ""}`;
    expect([found.kind, set]).toEqual([kind, marks]);
  });

  it("has a table of at least 120 statements", () => {
    expect(new Set(kinds.map(([sql]) => sql)).size).toBeGreaterThanOrEqual(120);
  });

  it.each([
    ["begin", "begin", false, false],
    ["start transaction", "begin", false, false],
    ["commit and chain", "commit", true, true],
    ["rollback", "rollback", true, false],
    ["savepoint a", "savepoint", false, false],
    ["rollback to savepoint a", "rollbackTo", false, false],
    ["release savepoint a", "release", false, false],
    ["prepare transaction 'g'", "prepare", true, false],
    ["commit prepared 'g'", "commitPrepared", false, false],
    ["rollback prepared 'g'", "rollbackPrepared", false, false],
    ["set transaction read only", "setTransaction", false, false],
  ] as const)("%s is transaction control", (sql, transaction, endsTransaction, isChained) => {
    const found = classOf(sql);
    expect(found).toMatchObject({ kind: "transaction", transaction, endsTransaction, isChained });
    expect(found.gid).toBe(sql.includes("'g'") ? "g" : undefined);
  });

  it.each([
    ["vacuum", true],
    ["vacuum (analyze) t", true],
    ["analyze", false],
    ["cluster", true],
    ["create database d", true],
    ["drop database d", true],
    ["alter database d set tablespace x", true],
    ["alter database d set work_mem = '1MB'", false],
    ["create index concurrently on t (a)", true],
    ["create index on t (a)", false],
    ["drop index concurrently i", true],
    ["drop index i", false],
    ["reindex table concurrently t", true],
    ["reindex database d", true],
    ["alter table t detach partition p concurrently", true],
    ["alter table t detach partition p", false],
    ["create tablespace x location ''", true],
    ["drop tablespace x", true],
    ["commit prepared 'g'", true],
    ["create subscription s connection '' publication p", true],
    ["drop subscription s", true],
    ["discard all", true],
    ["discard temp", false],
    ["alter type t add value 'x'", false],
    ["insert into t values (1)", false],
    ["call p()", false],
  ])("%s forbids a transaction block: %s", (sql, expected) => {
    expect(classOf(sql).forbidsTransactionBlock).toBe(expected);
  });

  it.each([
    ["call p()", true],
    ["do $$ begin commit; end $$", true],
    ["select f()", false],
    ["begin", false],
  ])("%s may commit inside: %s", (sql, expected) => {
    expect(classOf(sql).mayCommitInside).toBe(expected);
  });

  it.each([
    ["set synchronous_commit = off", true],
    ['set "Synchronous_Commit" to local', true],
    ["set local synchronous_commit to on", true],
    ["reset synchronous_commit", true],
    ["reset all", true],
    ["discard all", true],
    ["select set_config('synchronous_commit', 'off', true)", true],
    ["select set_config('synchronous' || '_commit', 'off', true)", true],
    ["select set_config($1, $2, false)", true],
    ["update pg_settings set setting = 'off' where name like 'sync%'", true],
    ["alter role r set synchronous_commit = off", true],
    ["alter role r reset all", true],
    ["alter database d set synchronous_commit = off", true],
    [
      "create function f() returns int language sql set synchronous_commit = off as 'select 1'",
      true,
    ],
    ["alter function f() set synchronous_commit to off", true],
    [
      "create function f() returns void language plpgsql as 'begin set synchronous_commit = off; end'",
      true,
    ],
    ["do $$ begin set local synchronous_commit = off; end $$", true],
    ["select f('SYNCHRONOUS_COMMIT')", true],
    ["set work_mem = '1MB'", false],
    ["show synchronous_commit", false],
    ["select current_setting('synchronous_commit')", false],
    ["select set_config('work_mem', '1MB', false)", false],
    ["commit", false],
    ["insert into t values (1)", false],
  ])("%s touches synchronous_commit: %s", (sql, expected) => {
    expect(classOf(sql).touchesSynchronousCommit).toBe(expected);
  });

  it.each([
    ["set application_name = 'a b'", "a b"],
    ["set Application_Name to x", "x"],
    ["set local application_name to ''", ""],
    ["reset application_name", null],
    ["set application_name = default", null],
    ["select set_config('application_name', 'z', false)", "z"],
    ["select set_config('application_name', $1, false)", undefined],
    ["set work_mem = '1MB'", undefined],
    ["alter role r set application_name = 'x'", undefined],
  ])("%s sets application_name to %j", (sql, expected) => {
    expect(classOf(sql).setsApplicationName).toBe(expected);
  });

  it.each([
    ["create tablespace x location '/tmp/x'", "0A000"],
    ["create tablespace x location ''", undefined],
    ["alter system set work_mem = '1MB'", undefined],
    ["alter system reset all", undefined],
    ["alter system set FSYNC = on", "55P02"],
    ["alter system set max_connections to 400", "55P02"],
    ["alter system set borealis.on_failover = 'disconnect'", "55P02"],
    ["alter system set application_name = 'borealis_log'", "55P02"],
    ["alter system set fsync to default", undefined],
    ["alter system reset fsync", undefined],
    ["set application_name = 'borealis_log'", "22023"],
    ["set application_name = 'Borealis_Log'", "22023"],
    ["select set_config('application_name', 'borealis_log', false)", "22023"],
    ["alter role r set application_name = 'borealis_log'", "22023"],
    ["alter database d set application_name = 'borealis_log'", "22023"],
    [
      "create function f() returns int language sql set application_name = borealis_log as 'select 1'",
      "22023",
    ],
    ["set application_name = 'borealis_logs'", undefined],
    ["set borealis.on_failover = disconect", "22023"],
    ["set borealis.on_failover = Disconnect", undefined],
    ["set local borealis.replay = maybe", "22023"],
    ["set borealis.replay = f", undefined],
    ["set borealis.replay to default", undefined],
    ["alter role r set borealis.hold_timeout = 'soon'", "22023"],
    ["set borealis.hold_timeout = '1.5 min'", undefined],
    ["set borealis.hold_timeout = 200", undefined],
    ["set apg_write_forward.consistency_mode = always", "22023"],
    ["set borealis.commit_timeout = 'later'", "22023"],
    ["set borealis.commit_timeout = ''", undefined],
    ["set borealis.commit_timeout = '5s'", undefined],
    ["set borealis.commit_timeout = -1", "22023"],
    ["set borealis.force_durable_commit = perhaps", "22023"],
    ["alter database d set borealis.force_durable_commit = 2", "22023"],
    ["set borealis.force_durable_commit = no", undefined],
    ["set borealis.pool = session", "22023"],
    ["select set_config('borealis.pool', 'transaction', false)", "22023"],
    ["alter role r set borealis.pool = auto", undefined],
    ["alter role r set borealis.pool = off", undefined],
    ["reset borealis.pool", undefined],
    ["set constructor = x", undefined],
    ["select 'alter system'", undefined],
  ])("%s is refused with %s", (sql, code) => {
    const { refusal } = classOf(sql);
    expect(refusal?.code).toBe(code);
    if (refusal) expect(refusal.hint).not.toBe("");
  });

  it.each([
    ["set a.b = 'c'", ["settings"]],
    ["set local a.b = 'c'", []],
    ["select set_config('a.b', 'c', true)", []],
    ["select set_config('a.b', 'c', false)", ["settings"]],
    ["prepare p as select 1", ["preparedStatement"]],
    ["declare c cursor with hold for select 1", ["heldCursor"]],
    ["declare c cursor for select 1", []],
    ["create temp table t (a int)", ["temporaryObject"]],
    ["create table pg_temp.t (a int)", ["temporaryObject"]],
    ["select 1 into temp t", ["temporaryObject"]],
    ["create temp view v as select 1", ["temporaryObject"]],
    ["select pg_advisory_lock(1)", ["advisoryLock"]],
    ["listen a", ["listen"]],
    ["load 'x'", ["library"]],
    ["discard all", ["discard", "settings", "preparedStatement", "listen"]],
    ["insert into t values (1)", []],
  ])("%s leaves %j in the session", (sql, effects) => {
    expect(classOf(sql).sessionEffects).toEqual(effects);
  });

  it("names what a session has to keep", () => {
    expect(classOf('listen "My Channel"')).toMatchObject({ tag: "LISTEN", channel: "My Channel" });
    expect(classOf("unlisten *")).toMatchObject({ tag: "UNLISTEN", channel: "*" });
    expect(classOf("prepare p as select 1")).toMatchObject({
      prepares: { name: "p", mayWrite: false },
    });
    expect(classOf("prepare p as delete from t").prepares).toEqual({
      name: "p",
      mayWrite: true,
      isForwardable: true,
    });
    expect(classOf("execute p").executes).toBe("p");
    expect(classOf("deallocate p").deallocates).toBe("p");
    expect(classOf("deallocate all").deallocates).toBe("*");
    expect(classOf("copy t from stdin").copy).toBe("in");
    expect(classOf("copy t to stdout").copy).toBe("out");
    expect(classOf("copy t from '/x'").copy).toBe("file");
    expect(classOf("copy t from program 'x'").copy).toBe("program");
    expect(classOf("set borealis.on_failover = 'disconnect'").settings).toEqual([
      { name: "borealis.on_failover", value: "disconnect", isLocal: false },
    ]);
    expect(classOf("select a from t, s.u join t x on true").relations).toEqual([
      { schema: undefined, name: "t" },
      { schema: "s", name: "u" },
    ]);
  });

  it("says where a missing transaction id proves nothing", () => {
    for (const sql of [
      "notify a",
      "select pg_notify('a', '')",
      "declare c cursor with hold for select 1",
    ]) {
      expect(classOf(sql).writesAtCommit, sql).toBe(true);
    }
    expect(classOf("insert into t values (1)").writesAtCommit).toBe(false);
    expect(classOf("select nextval('s')").drawsSequence).toBe(true);
  });
});

describe("texts", () => {
  it("takes the empty text, spaces, comments and lone semicolons for no statement", () => {
    for (const sql of ["", "  \n", "-- x", "/* a /* b */ */", ";", " ; ; -- x\n"]) {
      expect(classify(sql), sql).toEqual({ statements: [], parseFailed: false });
    }
  });

  it("keeps the order of several statements", () => {
    const { statements } = classify("begin; insert into t values (1);; select 1; commit");
    expect(statements.map(({ tag }) => tag)).toEqual(["BEGIN", "INSERT", "SELECT", "COMMIT"]);
  });

  it("is not fooled by literals, comments and dollar quotes", () => {
    expect(
      classOf("select 'a; drop table t', $x$; commit $x$, \"b;c\" /* ; */ from t -- ; rollback")
        .kind,
    ).toBe("read");
  });

  it("takes what it cannot parse for one statement that may do anything", () => {
    for (const sql of [
      "selekt 1",
      "select (",
      "'",
      "select 1; boom",
      `select ${"case when true then ".repeat(1400)}`,
    ]) {
      const { statements, parseFailed } = classify(sql);
      expect(parseFailed, sql.slice(0, 80)).toBe(true);
      expect(statements).toEqual([
        expect.objectContaining({
          kind: "unknown",
          mayWrite: true,
          mayCommitInside: true,
          forbidsTransactionBlock: true,
        }),
      ]);
    }
    expect(classify("set synchronous_commit off off").statements[0]?.touchesSynchronousCommit).toBe(
      true,
    );
    expect(classifyUnparsed("select 1").parseFailed).toBe(true);
  });

  it("still answers after texts that exhaust the parser", () => {
    for (let i = 0; i < 20; i++) {
      expect(classify(`select 1${"+1".repeat(5000)}`).parseFailed).toBe(true);
      expect(classify(`select ${"array[".repeat(3000)}1${"]".repeat(3000)}`).parseFailed).toBe(
        true,
      );
    }
    expect(classOf("select a from t where b = 1").kind).toBe("read");
  });

  it("tells a bulk change by its outline", () => {
    const values = Array.from({ length: 20_000 }, (_, i) => `(${i}, 'it''s; --')`).join(", ");
    expect(classOf(`insert into t values ${values};`)).toMatchObject({
      kind: "mayWrite",
      tag: "INSERT",
    });
    const several = classify(`insert into t values ${values}; alter system set fsync = on`);
    expect(several.statements.map(({ refusal }) => refusal?.code)).toEqual([undefined, "55P02"]);
    expect(
      classOf(
        `select set_config('synchronous_commit', 'off', false), '${values.replaceAll("'", "")}'`,
      ),
    ).toMatchObject({
      touchesSynchronousCommit: true,
    });
  });
});

describe("ClassificationCache", () => {
  it("answers the same object for the same text", () => {
    const cache = new ClassificationCache();
    expect(cache.classify("select 1")).toBe(cache.classify("select 1"));
    expect(cache.classify("select 1")).toEqual(classify("select 1"));
  });

  it("keeps one entry for texts that differ in their values only", () => {
    const cache = new ClassificationCache();
    const first = cache.classify("select a from t where b = 1 and c = 'x'");
    for (let i = 0; i < 200; i++) {
      expect(cache.classify(`select a from t where b = ${i} and c = 'it''s ${i}'`)).toBe(first);
    }
    expect(cache.entries).toBe(1);
    expect(cache.classify("select a from u where b = 1 and c = 'x'")).not.toBe(first);
  });

  it("tells a text that starts with NUL from a mask", () => {
    const cache = new ClassificationCache();
    cache.classify("select 1");
    expect(cache.classify("\0select 0")).toEqual(classify("\0select 0"));
  });

  it("stays within its bytes, and keeps no long text", () => {
    const cache = new ClassificationCache({ bytesMax: 20_000 });
    for (let i = 0; i < 200; i++) cache.classify(`select a${i}`);
    expect(cache.sizeBytes).toBeLessThanOrEqual(20_000);
    expect(cache.entries).toBeLessThan(20);
    const before = cache.entries;
    cache.classify(`select '${"x".repeat(20_000)}'`);
    expect(cache.entries).toBe(before);
  });
});
