/** A session is made again on another connection of a real PostgreSQL, and nothing in it differs. */
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { ClassificationCache, loadParser } from "../src/route/index.ts";
import {
  type Change,
  Changes,
  type HiddenState,
  hiddenStateQuery,
  parseBindTexts,
  parseHiddenState,
  type RestorePlan,
  SessionBook,
  TextPlanner,
} from "../src/session/index.ts";
import {
  backend,
  encodeBind,
  encodeClose,
  encodeExecute,
  encodeMessage,
  encodeQuery,
  encodeSync,
  frontend,
  parseDataRow,
  parseParameterStatus,
  parseReport,
  transactionState,
} from "../src/wire/index.ts";
import { type RawMessage, RawSession } from "./helpers/raw-session.ts";
import {
  enginesForFile,
  startStockPostgres,
  type StockPostgres,
} from "./helpers/stock-postgres.ts";

const engines = enginesForFile();
beforeAll(() => loadParser());

type Step =
  | { readonly kind: "query"; readonly sql: string }
  | {
      readonly kind: "parse";
      readonly name: string;
      readonly sql: string;
      readonly types?: readonly number[];
    }
  | { readonly kind: "close"; readonly name: string }
  /** Parse, Bind with text parameters, Execute, all unnamed. */
  | { readonly kind: "run"; readonly sql: string; readonly values: readonly string[] };

const runs = process.env["BOREALIS_TEST"] === "thorough" ? 1_000 : 40;
const planner = new TextPlanner(new ClassificationCache());

/** A client, and the book as an endpoint keeps it. */
class Client {
  readonly book: SessionBook;
  private readonly session: RawSession;
  private state: number = transactionState.idle;

  private constructor(session: RawSession, greeting: readonly RawMessage[], book: SessionBook) {
    this.session = session;
    this.book = book;
    this.hear(greeting);
  }

  static async login(postgres: StockPostgres, user: string, book: SessionBook): Promise<Client> {
    const { session, greeting } = await RawSession.open(postgres.address, {
      user,
      database: "postgres",
      application_name: "a test",
      options: "-c work_mem=8MB -c start.option=given",
    });
    return new Client(session, greeting, book);
  }

  async do(step: Step): Promise<void> {
    const changes = new Changes();
    const add = (change: Change | undefined): void => {
      if (change) changes.push(change);
    };
    const { book } = this;
    if (step.kind === "query") {
      add(book.querySent());
      const isAlone = this.isIdle;
      add(book.runSent(0, planner.plan(step.sql, true).touch, { isAlone }));
      this.session.send(encodeQuery(step.sql));
    } else if (step.kind === "close") {
      const close = encodeClose("statement", step.name);
      add(book.closeSent(0, close.subarray(5)));
      this.session.send(Buffer.concat([close, encodeSync()]));
    } else {
      const isRun = step.kind === "run";
      const parse = encodeTypedParse(isRun ? "" : step.name, step.sql, isRun ? [] : step.types);
      add(book.parseSent(0, parse.subarray(5), true));
      const messages = [parse];
      if (isRun) {
        const { touch } = planner.plan(step.sql, true);
        const bind = encodeTextBind(step.values);
        const names = parseBindTexts(bind.subarray(5), touch.nameParameters);
        add(book.runSent(2, touch, { names }));
        messages.push(bind, encodeExecute(""));
      }
      this.session.send(Buffer.concat([...messages, encodeSync()]));
    }
    let seen = 0;
    const answers = await this.session.cycle();
    for (const { type } of answers) {
      if (type === backend.error) book.failedStep(changes.take(seen));
      const ends = [backend.parseComplete, backend.closeComplete, backend.bindComplete];
      if ((ends as number[]).includes(type)) book.answeredStep(changes.take(seen++));
    }
    this.hear(answers);
    book.ready(changes.atEnd, this.isIdle);
    if (this.isIdle && book.needsReadback !== "no") await this.readBack();
  }

  async readBack(): Promise<void> {
    this.session.send(this.book.askReadback());
    const answers = await this.session.cycle();
    const row = answers.find(({ type }) => type === backend.dataRow);
    const failure = answers.find(({ type }) => type === backend.error);
    expect(failure && Object.fromEntries(parseReport(failure.body))).toBeUndefined();
    this.hear(answers);
    this.book.readbackAnswered(row && parseDataRow(row.body), this.isIdle);
  }

  async run(plan: RestorePlan): Promise<Map<number, string>> {
    this.session.send(Buffer.concat(plan.cycles.map(({ bytes }) => bytes)));
    const failures = new Map<number, string>();
    for (const index of plan.cycles.keys()) {
      const answers = await this.session.cycle();
      const failure = answers.find(({ type }) => type === backend.error);
      if (failure) failures.set(index, parseReport(failure.body).get("C") ?? "");
      this.hear(answers);
      expect(this.isIdle).toBe(true);
    }
    return failures;
  }

  /** All that the server shows of a session, read without disturbing it. */
  async look(): Promise<unknown> {
    const questions = [
      // Those of a library are listed where it is loaded, which its functions do when they are first called.
      `select name, setting, current_setting(name) from pg_settings where source = 'session'
        and name !~ '[.]' order by 1`,
      `select n, current_setting(n, true) from unnest(array['app.uid','app.tenant','app.hidden',
        'start.option','Odd.Name','borealis.replay','role','session_authorization','work_mem','search_path']) n`,
      // Where the library is not loaded, nothing stands for its default.
      `select nullif(nullif(current_setting('plpgsql.extra_warnings', true), ''), 'none')`,
      `select encode(convert_to(name, 'UTF8'), 'hex'), encode(convert_to(statement, 'UTF8'), 'hex'),
        parameter_types::text, from_sql from pg_prepared_statements where name <> 'look' order by 1`,
      `select c from pg_listening_channels() c order by 1`,
    ];
    const seen: unknown[] = [];
    for (const question of questions) {
      this.session.send(
        Buffer.concat([
          encodeTypedParse("look", question),
          encodeBind("look", "look"),
          encodeExecute("look"),
          encodeClose("statement", "look"),
          encodeSync(),
        ]),
      );
      const answers = await this.session.cycle();
      expect(answers.filter(({ type }) => type === backend.error)).toEqual([]);
      seen.push(
        answers.flatMap(({ type, body }) => (type === backend.dataRow ? [parseDataRow(body)] : [])),
      );
    }
    // Whether there is an unnamed statement, and which.
    this.session.send(
      Buffer.concat([Buffer.from([frontend.describe, 0, 0, 0, 6, 0x53, 0]), encodeSync()]),
    );
    const answers = await this.session.cycle();
    seen.push(
      answers.map(({ type, body }) =>
        type === backend.error ? parseReport(body).get("C") : body.toString("hex"),
      ),
    );
    return seen;
  }

  /** The first value of what a prepared statement without parameters gives. */
  async execute(name: string): Promise<string | null | undefined> {
    this.session.send(Buffer.concat([encodeBind("", name), encodeExecute(""), encodeSync()]));
    const row = (await this.session.cycle()).find(({ type }) => type === backend.dataRow);
    return row && parseDataRow(row.body)[0];
  }

  get isIdle(): boolean {
    return this.state === transactionState.idle;
  }

  end(): void {
    this.session.end();
  }

  private hear(messages: readonly RawMessage[]): void {
    for (const { type, body } of messages) {
      if (type === backend.readyForQuery) this.state = body[0] ?? 0;
      if (type !== backend.parameterStatus) continue;
      const { name, value } = parseParameterStatus(body);
      this.book.parameter(name, value);
    }
  }
}

function encodeTypedParse(name: string, sql: string, types: readonly number[] = []): Buffer {
  return encodeMessage(frontend.parse, (body) => {
    body.cString(name).cString(sql).u16(types.length);
    for (const type of types) body.u32(type);
  });
}

function encodeTextBind(values: readonly string[]): Buffer {
  return encodeMessage(frontend.bind, (body) => {
    body.cString("").cString("").u16(0).u16(values.length);
    for (const value of values) body.u32(Buffer.byteLength(value)).text(value);
    body.u16(0);
  });
}

const query = (sql: string): Step => ({ kind: "query", sql });
const names = ["p", "Odd \"Ñame'", "q"];
const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;
const settings = [
  "work_mem = '64MB'",
  'search_path = "$user", "Odd ""näme", public',
  "search_path = ''",
  "datestyle = 'SQL, DMY'",
  "datestyle to german",
  "intervalstyle = 'sql_standard'",
  "time zone interval '-08:30' hour to minute",
  "time zone 'Europe/Zurich'",
  "seq_page_cost = 1.23456789",
  "app.uid = 'O''Brien \\ ü'",
  "local app.tenant = 'x'",
  "local work_mem = '1MB'",
  "app.tenant = ''",
  '"Odd"."Name" = \'y\'',
  "session characteristics as transaction isolation level serializable, read write, deferrable",
  "statement_timeout = '90s'",
  "standard_conforming_strings = off",
  "standard_conforming_strings = on",
  "client_encoding = 'LATIN1'",
  "client_encoding = 'UTF8'",
  "role plain",
  "role none",
  "session authorization plain",
  "session authorization default",
  "log_min_duration_statement = 12345",
  "plpgsql.extra_warnings = 'all'",
  "wrong_name = 1",
  "plan_cache_mode = force_generic_plan",
  "application_name = 'renamed'",
  "borealis.replay = off",
];
const texts = [
  "select $1 + 1",
  "select 'ü \\n' || $1",
  "select '01/02/2020'::date, interval '1-2', $1::text",
  "select now() at time zone 'UTC'",
  "select * from things where id = $1",
  "select $1::int, $2::text, $3",
  "select from where",
];

const oneStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...settings).map((setting) => query(`set ${setting}`)) },
  {
    weight: 2,
    arbitrary: fc
      .constantFrom("work_mem", "search_path", "datestyle", "app.uid", "all", "timezone", "role")
      .map((name) => query(`reset ${name}`)),
  },
  {
    weight: 6,
    arbitrary: fc.constantFrom(
      ...["begin", "commit", "rollback", "savepoint s", "rollback to s", "commit and chain"].map(
        query,
      ),
      query("select 1/0"),
    ),
  },
  {
    weight: 6,
    arbitrary: fc
      .tuple(fc.constantFrom("", ...names), fc.constantFrom(...texts), fc.boolean())
      .map(([name, sql, isTyped]): Step => ({
        kind: "parse",
        name,
        sql,
        ...(isTyped && sql.includes("$1") && { types: [23] }),
      })),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom("", ...names).map((name): Step => ({ kind: "close", name })),
  },
  {
    weight: 4,
    arbitrary: fc
      .tuple(
        fc.constantFrom(...names),
        fc.constantFrom("(int) as select $1", " as select '01/02/2020'::date"),
      )
      .map(([name, rest]) => query(`prepare ${quoted(name)}${rest}`)),
  },
  {
    weight: 4,
    arbitrary: fc.constantFrom(
      ...names.map((name) => query(`deallocate ${quoted(name)}`)),
      query("deallocate all"),
      query("discard plans"),
      query("discard all"),
      query("discard sequences"),
      query("load 'auto_explain'"),
      query("execute p"),
    ),
  },
  {
    weight: 4,
    arbitrary: fc.constantFrom(
      ...["listen a", 'listen "B ""é"', "unlisten a", "unlisten *", "listen c"].map(query),
    ),
  },
  {
    weight: 5,
    arbitrary: fc.constantFrom<Step>(
      query("select set_config('app.uid', 'ü' || 1, false)"),
      query("select change_session('hidden')"),
      query("insert into things values (default)"),
      query("do $$ begin execute 'prepare q as select 7'; end $$"),
      query("select deallocate_it()"),
      query("update pg_settings set setting = '5MB' where name = 'work_mem'"),
      {
        kind: "run",
        sql: "select set_config($1, $2, false)",
        values: ["app.tenant", "by parameter"],
      },
      { kind: "run", sql: "select set_config($1, $2, true)", values: ["app.tenant", "local"] },
      { kind: "run", sql: "select $1::text", values: ["x"] },
    ),
  },
);

/** The server reads both names otherwise than their bytes say, and finds the statement. */
const closedUnderLatin: Step[] = [
  query("set client_encoding = 'LATIN1'"),
  query('prepare "Odd ""Ñame\'"(int) as select $1'),
  { kind: "close", name: "Odd \"Ñame'" },
];

describe.each(engines)("PostgreSQL $version at $bin", (engine) => {
  let postgres: StockPostgres;
  let hidden: HiddenState;
  const clients: Client[] = [];

  beforeAll(async () => {
    postgres = await startStockPostgres(engine);
    await postgres.query(`create role plain; create role master superuser login;
      grant plain to master;
      alter role master set intervalstyle = 'iso_8601';
      create table things (id serial);
      grant all on things to public; grant all on all sequences in schema public to public;
      create function change_session(v text) returns void language plpgsql as $$
        begin perform set_config('app.hidden', v, false); set lock_timeout = '77s'; end $$;
      create function deallocate_it() returns void language plpgsql as $$
        begin execute 'deallocate all'; end $$;
      create function lock_it() returns void language sql as $$
        select pg_advisory_lock(9) $$;
      create function on_insert() returns trigger language plpgsql as $$
        begin perform set_config('enable_sort', 'off', false); return new; end $$;
      create trigger t before insert on things for each row execute function on_insert()`);
    const find = async (database: string): Promise<HiddenState> =>
      parseHiddenState((await postgres.query(hiddenStateQuery, database)).rows[0]);
    hidden = await find("postgres");
    expect(hidden).toEqual({
      changesSession: "likely",
      customNames: ["app.hidden"],
      keepsOwnState: false,
      readsDrawn: false,
      hasNative: false,
      leavesUnseen: "no",
    });
    const make = (name: string): Promise<unknown> => {
      const sql = `create function pg_catalog.${name}() returns text language sql as`;
      return postgres.query(`${sql} $$select set_config('a.b', 'c', false)$$`, "template1");
    };
    await make("borealis_own");
    expect(await find("template1")).toEqual({
      changesSession: "no",
      customNames: [],
      keepsOwnState: false,
      readsDrawn: false,
      hasNative: false,
      leavesUnseen: "no",
    });
    // As those of a trusted extension are that somebody has put there.
    await make("theirs");
    expect(await find("template1")).toMatchObject({
      changesSession: "likely",
      customNames: ["a.b"],
    });
    await postgres.query("drop function pg_catalog.theirs()", "template1");
  });
  afterEach(() => {
    for (const client of clients.splice(0)) client.end();
  });
  afterAll(() => postgres.stop());

  async function login(book?: SessionBook): Promise<Client> {
    const fresh = (): SessionBook => new SessionBook({ user: "master", hidden: () => hidden });
    const client = await Client.login(postgres, "master", book ?? fresh());
    clients.push(client);
    return client;
  }

  async function expectSame(client: Client): Promise<void> {
    expect(client.book.obstacle()).toBeUndefined();
    const plan = client.book.restore();
    const before = await client.look();
    const again = await login(client.book);
    const failures = await again.run(plan);
    expect([...failures].map(([index, code]) => `${plan.cycles[index]?.what}: ${code}`)).toEqual(
      [],
    );
    expect(client.book.restored(plan, failures)).toBeUndefined();
    expect(await again.look()).toEqual(before);
    again.end();
  }

  it("makes any session again exactly", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(oneStep, { minLength: 1, maxLength: 25 }), async (steps) => {
        const client = await login();
        try {
          for (const step of steps) await client.do(step);
          if (!client.isIdle) await client.do(query("rollback"));
          // Such a name is another one to the server than its bytes say; the book then owns up.
          const hasLatin = steps.some((step) => "sql" in step && step.sql.includes("LATIN1"));
          const reason = client.book.obstacle() ?? "";
          if (hasLatin && /Odd.* comes from is not known/.test(reason)) return;
          await expectSame(client);
        } finally {
          client.end();
        }
      }),
      { numRuns: runs, examples: [[closedUnderLatin]] },
    );
  });

  it("says what cannot be made again, for as long as it is there", async () => {
    const client = await login();
    const { book } = client;
    const cases = [
      ["create temp table t (i int)", "drop table t", "temporary objects"],
      ["create function pg_temp.f() returns int return 1", "drop function pg_temp.f", "temporary"],
      ["begin; declare c cursor with hold for select 1; commit", "close c", "WITH HOLD"],
      ["select pg_advisory_lock(7)", "select pg_advisory_unlock(7)", "advisory lock"],
      [
        "do $$ begin perform pg_advisory_lock(8); end $$",
        "select pg_advisory_unlock_all()",
        "advisory",
      ],
      ["select lock_it()", "discard all", "advisory lock"],
    ];
    for (const [take = "", free = "", reason] of cases) {
      await client.do(query(take));
      expect(book.obstacle(), take).toContain(reason);
      await client.do(query("select 1"));
      expect(book.obstacle(), take).toContain(reason);
      await client.do(query(free));
      expect(book.obstacle(), free).toBeUndefined();
    }
    for (const sql of ["begin", "create temp table t () on commit drop", "commit"]) {
      await client.do(query(sql));
    }
    expect(book.obstacle()).toBeUndefined();
    await client.do(query("begin"));
    await client.do(query("select pg_advisory_lock(7)"));
    expect(book.obstacle("start")).toBeUndefined();
    expect(book.obstacle("now")).toContain("not known");
    await client.do(query("rollback"));
    expect(book.obstacle()).toContain("advisory lock");
  });

  it("knows the session as it was before an open transaction", async () => {
    const client = await login();
    await client.do({ kind: "parse", name: "old", sql: "select 1" });
    await client.do({ kind: "parse", name: "kept", sql: "select 2" });
    await client.do(query("set app.uid = 'before'"));
    await client.do(query("listen a"));
    await client.do({ kind: "parse", name: "", sql: "select 'unnamed'" });
    const before = await client.look();
    await client.do({ kind: "run", sql: "begin", values: [] });
    await client.do({ kind: "close", name: "old" });
    await client.do({ kind: "parse", name: "new", sql: "select 3" });
    await client.do(query("set app.uid = 'within'"));
    await client.do(query("listen b"));
    await client.do(query("unlisten a"));

    const again = await login(client.book);
    const start = client.book.restore("start");
    expect(client.book.obstacle("start")).toBeUndefined();
    expect(await again.run(start)).toEqual(new Map());
    // "begin" came as the unnamed statement.
    expect((await again.look()) as unknown[]).toEqual(
      (before as unknown[]).with(-1, expect.anything()),
    );
    again.end();
    // As after 40001: the transaction is gone, its prepared statements are not.
    expect(client.book.obstacle("now")).toBeUndefined();
    const now = client.book.restore("now");
    const after = await login(client.book);
    expect(await after.run(now)).toEqual(new Map());
    const lookAfter = (await after.look()) as unknown[][];
    expect(lookAfter.slice(0, 3)).toEqual((before as unknown[]).slice(0, 3));
    expect(
      lookAfter[3]?.map((row) => Buffer.from((row as string[])[0] ?? "", "hex").toString()),
    ).toEqual(["kept", "new"]);
  });

  it("makes a statement again under the settings that its text was read with", async () => {
    const client = await login();
    await client.do(query("set datestyle = 'ISO, DMY'"));
    await client.do({ kind: "parse", name: "d", sql: "select '01/02/2020'::date::text" });
    await client.do(query("set standard_conforming_strings = off"));
    await client.do({ kind: "parse", name: "s", sql: "select 'a\\\\b'" });
    await client.do(query("reset standard_conforming_strings"));
    await client.do(query("set datestyle = 'ISO, MDY'"));
    await client.do({ kind: "parse", name: "latin", sql: "select 'ü'" });
    await client.do(query("set client_encoding = 'LATIN1'"));
    const again = await login(client.book);
    const before = await client.look();
    expect(await again.run(client.book.restore())).toEqual(new Map());
    expect(await again.look()).toEqual(before);
    expect(await again.execute("d")).toBe("2020-02-01");
    expect(await again.execute("s")).toBe("a\\b");
    expect(await again.execute("latin")).toBe("\ufffd");
  });

  it("makes a statement again that the search path of now does not find", async () => {
    const client = await login();
    await client.do({ kind: "parse", name: "path", sql: "select 7 from (select from things) t" });
    await client.do(query("insert into things values (default)"));
    await client.do(query("set search_path = 'nowhere'"));
    const again = await login(client.book);
    expect(await again.run(client.book.restore())).toEqual(new Map());
    expect(await again.look()).toEqual(await client.look());
    expect(await again.execute("path")).toBeUndefined();
    await again.do(query("reset search_path"));
    expect(await again.execute("path")).toBe("7");
  });

  it("goes on without a statement that cannot be made again, and only without that", async () => {
    const client = await login();
    const { book } = client;
    await postgres.query("create table if not exists gone (i int)");
    await client.do({ kind: "parse", name: "g", sql: "select * from gone" });
    await client.do({ kind: "parse", name: "h", sql: "select 1" });
    await postgres.query("drop table gone");
    const plan = book.restore();
    const failures = await (await login(book)).run(plan);
    expect([...failures.values()]).toEqual(["42P01"]);
    expect(book.restored(plan, failures)).toBeUndefined();
    // On the next connection what it names may be back.
    await postgres.query("create table gone (i int)");
    expect(await (await login(book)).run(book.restore())).toEqual(new Map());
    // Whatever is wrong with it: its use says so, if there is one.
    expect(book.restored(book.restore(), new Map([[0, "42501"]]))).toBeUndefined();
    await client.do(query("set work_mem = '9MB'"));
    const last = book.restore();
    const settings = last.cycles.findIndex(({ what }) => what === "the settings");
    expect(book.restored(last, new Map([[settings, "42501"]]))).toContain("the settings");
    await postgres.query("drop table gone");
  });

  it("knows a name beyond ASCII for another one under another encoding", async () => {
    const client = await login();
    const parse = { kind: "parse", name: "Odd Ñame", sql: "select 1" } as const;
    await client.do(parse);
    await client.do(query("set client_encoding = 'LATIN1'"));
    expect(client.book.obstacle()).toBeUndefined();
    await client.do(parse);
    expect(client.book.obstacle()).toMatch(/Odd .*comes from is not known/);
  });

  it("finds a PREPARE among several statements", async () => {
    const client = await login();
    await client.do(query("set app.uid = 'x'; prepare several as select 'a;b'; select 2"));
    await client.do(query("select 1; prepare last(int) as select $1"));
    const again = await login(client.book);
    expect(await again.run(client.book.restore())).toEqual(new Map());
    expect(await again.execute("several")).toBe("a;b");
  });
});
