import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  aSession,
  aSight,
  aStatus,
  compile,
  failure,
  select,
} from "../../test/helpers/admin-world.ts";
import type { SessionRow } from "../session/index.ts";

describe("a SELECT over the cluster's tables", () => {
  it("works out expressions", () => {
    const cases: [string, unknown][] = [
      ["1 + 2 * 3", 7n],
      ["7 / 2", 3n],
      ["7 % 2", 1n],
      ["7 / 2.0", 3.5],
      ["-(2)", -2n],
      ["2 -1", 1n],
      ["2-1", 1n],
      ["3 - -1", 4n],
      ["-2147483648", -2_147_483_648n],
      ["1e3", 1000],
      ["1.5e-1 * 2", 0.3],
      ["$$it's$$", "it's"],
      ["E'a\\n\\x41\\'\\u00e9'", "a\nA'é"],
      ["1 /* one /* nested */ */ + -- two\n 1", 2n],
      ["9007199254740993", 9_007_199_254_740_993n],
      ["'a' || 1 || null", null],
      ["'a' || 1", "a1"],
      ["'5' + 1", 6n],
      ["null = null", null],
      ["null is null", true],
      ["false and null", false],
      ["true and null", null],
      ["true or null", true],
      ["not null", null],
      ["1 in (2, null)", null],
      ["1 in (1, null)", true],
      ["1 not in (2)", true],
      ["2 between 1 and 3", true],
      ["2 not between 1 and 3", false],
      ["'instance-1' like 'inst%_1'", true],
      ["'50%' like '50\\%'", true],
      ["'INST' ilike 'i%'", true],
      ["'a' not like 'b%'", true],
      ["case when false then 1 else 2 end", 2n],
      ["case 3 when 3 then 'x' end", "x"],
      ["case when false then 1 end", null],
      ["coalesce(null, 2)", 2n],
      ["nullif(2, 2)", null],
      ["greatest(1, 3, null)", 3n],
      ["length('é€😀')", 3n],
      ["substring('abcdef' from 2 for 3)", "bcd"],
      ["cast('12' as int)", 12n],
      ["2.5::int", 2n],
      ["3.5::int", 4n],
      ["true::text", "true"],
      ["'0/10'::pg_lsn < '0/A0'", true],
      ["'0/20'::pg_lsn - '0/10'", 16n],
      ["extract(epoch from interval '1 day 00:00:01.5')", 86_401.5],
      ["now() - interval '5 min' = '2026-11-30'", true],
      ["('2026-11-30 01:00+01'::timestamptz)::text", "2026-11-30 00:00:00+00"],
      ["'b' = any(array['a', 'b'])", true],
      ["'b' <> all(array['a', 'b'])", false],
      ["'b' = any(array[null, 'a'])", null],
      ["'a' = any(array[null, 'a'])", true],
      ["'b' <> all(array[null, 'b'])", false],
      ["coalesce(1, 1 / 0)", 1n],
      ["pg_size_pretty(10240)", "10 kB"],
      ["pg_size_pretty(1000000000)", "954 MB"],
      ["current_user", "postgres"],
      ["current_database()", "borealis"],
      ["current_setting('server_version')", "18.4"],
      ["current_setting('nothing', true)", null],
      [`'{"a": {"b": 1}}'::jsonb -> 'a' ->> 'b'`, "1"],
    ];
    for (const [sql, value] of cases)
      expect([sql, select(`select ${sql}`)[0]]).toEqual([sql, [value]]);
  });

  it("says what is wrong, with its SQLSTATE and its place", () => {
    const cases: [string, string][] = [
      ["select * from nothing", '42P01 relation "nothing" does not exist at 15'],
      ["select * from other.sessions", '42P01 relation "other.sessions" does not exist at 15'],
      ["select nobody from sessions", '42703 column "nobody" does not exist at 8'],
      ["select s.nobody from sessions s", "42703 column s.nobody does not exist at 8"],
      [
        "select sessions.pid from sessions s",
        '42P01 missing FROM-clause entry for table "sessions" at 8',
      ],
      ["select id from instances a, storage b", '42702 column reference "id" is ambiguous at 8'],
      ["select 1 from storage, storage", '42712 table name "storage" specified more than once'],
      [
        "select pid, count(*) from sessions",
        '42803 column "pid" must appear in the GROUP BY clause or be used in an aggregate function at 8',
      ],
      [
        "select 1 from sessions where count(*) > 1",
        "42803 aggregate functions are not allowed in WHERE at 30",
      ],
      ["select pid = 'x' from sessions", '22P02 invalid input syntax for type integer: "x" at 8'],
      ["select pid = state from sessions", "42883 operator does not exist: integer = text at 8"],
      ["select 1 where 1", "42804 the condition must be type boolean, not type integer"],
      ["select 1 / 0", "22012 division by zero"],
      ["select 2147483647 + 1", "22003 integer out of range"],
      ["select -(-2147483647 - 1)", "22003 integer out of range"],
      ["select abs('-2147483648'::int4)", "22003 integer out of range"],
      ["select -(-9223372036854775807 - 1)", "22003 bigint out of range"],
      ["select 'FFFFFFFF/FFFFFFFF'::pg_lsn - '0/0'", "22003 bigint out of range"],
      ["select 1e308 * 10", "22003 value out of range: overflow"],
      ["select '1e999'::float8", '22003 "1e999" is out of range for type double precision'],
      ["select '9999-12-31'::timestamptz + interval '1 day'", "22008 timestamp out of range"],
      ["select '0100-01-01'::timestamptz - interval '1 us'", "22008 timestamp out of range"],
      ["select '9999-12-31 23:59-12'::timestamptz", "22008 timestamp out of range"],
      [`select interval '${"9000000000s ".repeat(1_100)}'`, "22008 interval out of range"],
      ["select 1 from storage a join instances b", "42601 INNER JOIN wants a condition at 25"],
      ["select 1 from storage a left join instances b", "42601 LEFT JOIN wants a condition at 25"],
      [
        `select '${"a".repeat(1_001)}' || replace('${"a".repeat(1_000)}', 'a', '${"b".repeat(1_000)}')`,
        "54000 a text of the admin database has 1000000 characters at most",
      ],
      [
        `select replace('${"a".repeat(1_001)}', 'a', '${"b".repeat(1_000)}')`,
        "54000 a text of the admin database has 1000000 characters at most",
      ],
      [
        `select concat(${Array.from({ length: 101 }, () => `replace('${"a".repeat(100)}', 'a', '${"b".repeat(100)}')`).join()})`,
        "54000 a text of the admin database has 1000000 characters at most",
      ],
      [
        `select array_to_string('{${"a,".repeat(1_001)}a}'::text[], '${"b".repeat(1_000)}')`,
        "54000 a text of the admin database has 1000000 characters at most",
      ],
      [
        `select ${"array[".repeat(30)}'"'${"]::text".repeat(29)}]`,
        "54000 a text of the admin database has 1000000 characters at most",
      ],
      [
        `select ${Array.from({ length: 1_665 }, () => "1").join()}`,
        "54011 target lists can have at most 1664 entries",
      ],
      ["select $1001", "42P02 there is no parameter $1001 at 8"],
      ["select E'a\\000'", '22021 invalid byte sequence for encoding "UTF8": 0x00'],
      [`select '"a\\u0000"'::jsonb`, "22021 \\u0000 cannot be converted to text at 8"],
      ["select 1 limit -1", "2201W LIMIT must not be negative"],
      ["select 1 order by 2", "42P10 ORDER BY position 2 is not in select list at 19"],
      [
        "select distinct pid from sessions order by state",
        "42P10 for SELECT DISTINCT, ORDER BY expressions must appear in select list at 44",
      ],
      ["select (select 1)", "0A000 subqueries are not supported here at 9"],
      ["select 1 from (select 1) x", "0A000 FROM takes tables only here at 15"],
      ["select 1 union select 2", "0A000 UNION is not supported here at 1"],
      ["insert into sessions values (1)", "0A000 INSERT is not supported here at 1"],
      [
        "select 1 from storage a right join instances b on true",
        "0A000 RIGHT JOIN is not supported here at 48",
      ],
      ["select * for update", "0A000 nothing can be locked here at 1"],
      ["select *", "42601 SELECT * with no tables specified is not valid at 8"],
      ["select true::pg_lsn", "42846 cannot cast type boolean to pg_lsn at 8"],
      ["select 1::money", '42704 type "money" does not exist at 11'],
      [
        `select ${"(".repeat(0)}${"not ".repeat(600)}true`,
        "54001 the statement is nested too deeply",
      ],
    ];
    for (const [sql, told] of cases) {
      const said = failure(sql);
      expect([sql, said.startsWith(told) ? told : said]).toEqual([sql, told]);
    }
    expect(failure("select lower(1)")).toMatch(/^42883 function lower\(integer\) does not exist/);
    expect(failure("select max(*) from sessions")).toMatch(/^42883/);
    expect(failure("select nothing()")).toMatch(/^42883/);
  });

  it("joins, and keeps what finds nobody in a left join", () => {
    const sessions = [aSession({ pid: 1 }), aSession({ pid: 2, instance: "gone" })];
    const sight = aSight({ sessions });
    const inner =
      "select s.pid, i.role from borealis.sessions s join instances i on i.id = s.instance";
    expect(select(inner, sight)).toEqual([[1n, "writer"]]);
    const left =
      "select s.pid, i.role from public.sessions s left join instances i on i.id = s.instance order by 1";
    expect(select(left, sight)).toEqual([
      [1n, "writer"],
      [2n, null],
    ]);
    expect(select("select count(*) from sessions, instances", sight)).toEqual([[4n]]);
    expect(
      select("select e.id from endpoints e where 'instance-1' = any(e.members)", sight),
    ).toEqual([["writer"]]);
  });

  it("groups, also nothing at all", () => {
    const sessions = [
      aSession({ pid: 1 }),
      aSession({ pid: 2 }),
      aSession({ pid: 5, endpoint: "reader" }),
    ];
    const sight = aSight({ sessions });
    const by =
      "select s.endpoint, count(*) n, sum(pid), avg(pid), max(state), count(distinct state), count(*) filter (where pid > 1)" +
      " from sessions s group by endpoint having count(*) > 0 order by n desc, 1";
    expect(select(by, sight)).toEqual([
      ["writer", 2n, 3n, 1.5, "idle", 1n, 1n],
      ["reader", 1n, 5n, 5, "idle", 1n, 1n],
    ]);
    const none = "select count(*), max(pid), sum(pid) from sessions";
    expect(select(none, aSight())).toEqual([[0n, null, null]]);
    expect(select("select upper(state) from sessions group by upper(state)", sight)).toEqual([
      ["IDLE"],
    ]);
    expect(
      select("select endpoint e, count(*) from sessions group by e order by 2", sight),
    ).toHaveLength(2);
    expect(select("select distinct endpoint from sessions order by endpoint", sight)).toEqual([
      ["reader"],
      ["writer"],
    ]);
  });

  it("takes all columns of a join, also those of one name", () => {
    const query = compile("select * from instances i join endpoints e on e.id = i.id");
    expect(query.columns.filter(({ name }) => name === "id")).toHaveLength(2);
    const [row] = select(
      "select * from endpoints e join instances i on i.id = any(e.members) order by i.id",
    );
    expect([row?.[0], row?.[10]]).toEqual(["writer", "instance-1"]);
    expect(select("select distinct i.* from instances i, storage s order by i.id")).toEqual([]);
    expect(failure("select i.*, count(*) from instances i group by i.id")).toMatch(/^42803/);
  });

  it("groups by a column of a table rather than by an alias of the same name", () => {
    const sessions = [aSession({ pid: 1 }), aSession({ pid: 2 })];
    const sql = "select upper(state) as pid, count(*) from sessions group by pid";
    expect(failure(sql, aSight({ sessions }))).toMatch(/^42803 column "state" must appear/);
    const other = "select pid % 1 as state, count(*) from sessions group by pid";
    expect(select(other, aSight({ sessions }))).toHaveLength(2);
  });

  it("shows no epoch and no timeline where there is no writer", () => {
    const { cluster } = aStatus();
    const status = aStatus({ cluster: { ...cluster, writer: null, epoch: 0, timeline: 0 } });
    const sql = "select epoch, timeline from cluster";
    expect(select(sql, aSight({ status }))).toEqual([[null, null]]);
    expect(select(sql)).toEqual([[3n, 2n]]);
  });

  it("shows events, the newest last", () => {
    const facts = { sourceType: "instance", source: "instance-1", category: "failover" } as const;
    const events = [1, 2].map((day) => ({
      ...facts,
      time: `2026-11-0${day}T00:00:00.000Z`,
      message: `day ${day}`,
    }));
    expect(
      select("select time::text, source_type, category, message from events", aSight({ events })),
    ).toEqual([
      ["2026-11-01 00:00:00+00", "instance", "failover", "day 1"],
      ["2026-11-02 00:00:00+00", "instance", "failover", "day 2"],
    ]);
  });

  it("takes the user of a session for the column, where PostgreSQL would take the login", () => {
    const sight = aSight({ sessions: [aSession({ user: "app" })] });
    expect(select(`select user, s."user", s.user, current_user from sessions s`, sight)).toEqual([
      ["app", "app", "app", "postgres"],
    ]);
    expect(select("select user")).toEqual([["postgres"]]);
  });

  it("gives parameters the type of what they stand beside", () => {
    const query = compile("select $3 from sessions where pid = $1 and state like $2 limit $4");
    expect(query.parameters).toEqual(["int4", "text", "text", "int8"]);
    const sight = aSight({ sessions: [aSession({ pid: 3 })] });
    expect(query.run(sight, [3n, "id%", "yes", 1n])).toEqual([["yes"]]);
    expect(query.run(sight, [4n, "id%", "yes", 1n])).toEqual([]);
  });

  it("refuses to look at more rows than the process can spare", () => {
    const sessions = Array.from({ length: 1_000 }, (_, pid) => aSession({ pid }));
    expect(failure("select 1 from sessions a, sessions b", aSight({ sessions }))).toMatch(/^54000/);
  });

  it("answers as plain code over the same rows does", () => {
    const states = ["idle", "active", "parked"] as const;
    const row = fc.record({
      pid: fc.integer({ min: 0, max: 9 }),
      state: fc.constantFrom(...states),
      backendPid: fc.option(fc.integer({ min: 0, max: 4 })),
      keptBecause: fc.option(fc.constantFrom("", "it listens", "ä")),
    });
    const shape = fc.record({
      rows: fc.array(row, { maxLength: 12 }),
      least: fc.integer({ min: 0, max: 9 }),
      head: fc.constantFrom("", "i", "a", "p"),
      isDescending: fc.boolean(),
      limit: fc.integer({ min: 0, max: 6 }),
      offset: fc.integer({ min: 0, max: 3 }),
    });
    fc.assert(
      fc.property(shape, ({ rows, least, head, isDescending, limit, offset }) => {
        const sessions = rows.map((one) => aSession(one));
        const order = isDescending ? "desc" : "asc";
        const sql =
          `select pid, kept_because from sessions where (pid >= ${least} or backend_pid is null)` +
          ` and not state like '${head === "" ? "x" : head}%'` +
          ` order by kept_because ${order}, pid limit ${limit} offset ${offset}`;
        expect(select(sql, aSight({ sessions }))).toEqual(
          expected(sessions, { least, head: head === "" ? "x" : head, isDescending })
            .slice(offset, offset + limit)
            .map(({ pid, keptBecause }) => [BigInt(pid), keptBecause]),
        );
        const grouped =
          "select state, count(backend_pid), sum(backend_pid) from sessions group by state order by state";
        expect(select(grouped, aSight({ sessions }))).toEqual(
          states
            .toSorted()
            .map((state) => sessions.filter((one) => one.state === state))
            .filter((group) => group.length > 0)
            .map((group) => {
              const pids = group.flatMap(({ backendPid }) => backendPid ?? []);
              const sum = pids.length === 0 ? null : BigInt(pids.reduce((a, b) => a + b, 0));
              return [group[0]?.state, BigInt(pids.length), sum];
            }),
        );
      }),
    );
  });
});

function expected(
  sessions: readonly SessionRow[],
  { least, head, isDescending }: { least: number; head: string; isDescending: boolean },
): SessionRow[] {
  const kept = sessions.filter(
    (one) => (one.pid >= least || one.backendPid === null) && !one.state.startsWith(head),
  );
  return kept.toSorted((a, b) => {
    const first = a.keptBecause;
    const second = b.keptBecause;
    if (first !== second) {
      const isAbove = first === null || (second !== null && first > second);
      return isAbove === isDescending ? -1 : 1;
    }
    return a.pid - b.pid;
  });
}
