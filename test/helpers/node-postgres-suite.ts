import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import pg from "pg";
import { serialize } from "pg-protocol";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Exchange } from "../../sql-tests/runner/exchange.ts";

/** Declares the tests of node-postgres. */
export function nodePostgresSuite(url: () => string): void {
  const schema = `driver_${randomBytes(4).toString("hex")}`;
  let client: pg.Client;
  let other: pg.Client;

  async function open(): Promise<pg.Client> {
    const opened = new pg.Client({ connectionString: url(), options: `-c search_path=${schema}` });
    await opened.connect();
    return opened;
  }

  beforeAll(async () => {
    client = await open();
    other = await open();
    await client.query(`CREATE SCHEMA ${schema}`);
    await client.query("CREATE TABLE item (id int PRIMARY KEY, name text)");
  });

  afterAll(async () => {
    await client.query(`DROP SCHEMA ${schema} CASCADE`);
    await client.end();
    await other.end();
  });

  it("round-trips values of many types as parameters", async () => {
    const at = new Date("2024-02-29T12:34:56.789Z");
    const { rows } = await client.query(
      `SELECT $1::int AS i, $2::bigint AS big, $3::float8 AS f, $4::bool AS b, $5::text AS t, $6::jsonb AS j,
              $7::bytea AS raw, $8::timestamptz AS at, $9::int[] AS list, $10::text AS nothing, $11::numeric AS n`,
      [
        1,
        "9007199254740993",
        0.1,
        true,
        "é€😀",
        { a: [1] },
        Buffer.from([0, 255]),
        at,
        [1, 2],
        null,
        "1.50",
      ],
    );
    expect(rows).toEqual([
      {
        i: 1,
        big: "9007199254740993",
        f: 0.1,
        b: true,
        t: "é€😀",
        j: { a: [1] },
        raw: Buffer.from([0, 255]),
        at,
        list: [1, 2],
        nothing: null,
        n: "1.50",
      },
    ]);
  });

  it("takes binary results", async () => {
    const config = { text: "SELECT $1::int4 AS i", values: [7], binary: true };
    expect((await client.query(config)).rows).toEqual([{ i: 7 }]);
  });

  it("reuses a named prepared statement, and gets its errors", async () => {
    const named = { name: "plus", text: "SELECT 10 / $1::int AS q" };
    expect((await client.query({ ...named, values: [2] })).rows).toEqual([{ q: 5 }]);
    await expect(client.query({ ...named, values: [0] })).rejects.toMatchObject({ code: "22012" });
    expect((await client.query({ ...named, values: [5] })).rows).toEqual([{ q: 2 }]);
  });

  it("reads a portal in pieces", async () => {
    const config = { text: "SELECT g FROM generate_series(1, 25) g", rows: 10 };
    const { rows } = await client.query(config);
    expect(rows).toHaveLength(25);
  });

  it("runs several statements of one message", async () => {
    const results: unknown = await client.query("SELECT 1 AS a; SELECT 2 AS b; SELECT 3 AS c");
    expect(results).toMatchObject([
      { rows: [{ a: 1 }] },
      { rows: [{ b: 2 }] },
      { rows: [{ c: 3 }] },
    ]);
  });

  it("answers many queries of a pool at once", async () => {
    const pool = new pg.Pool({ connectionString: url(), max: 5 });
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) => pool.query("SELECT $1::int AS i", [i])),
    );
    expect(answers.map(({ rows }) => rows[0].i)).toEqual(Array.from({ length: 50 }, (_, i) => i));
    await pool.end();
  });

  it("commits and rolls back", async () => {
    await client.query("BEGIN");
    await client.query("INSERT INTO item VALUES (1, 'kept')");
    expect((await other.query("SELECT * FROM item")).rows).toEqual([]);
    await client.query("COMMIT");
    await client.query("BEGIN");
    await client.query("INSERT INTO item VALUES (2, 'lost')");
    await client.query("ROLLBACK");
    expect((await other.query("SELECT * FROM item")).rows).toEqual([{ id: 1, name: "kept" }]);
  });

  it("reports errors with their fields, and goes on", async () => {
    await client.query("INSERT INTO item VALUES (5, 'five')");
    await expect(client.query("INSERT INTO item VALUES (5, 'again')")).rejects.toMatchObject({
      code: "23505",
      severity: "ERROR",
      schema,
      table: "item",
      constraint: "item_pkey",
      detail: "Key (id)=(5) already exists.",
    });
    await expect(client.query("SELEC 1")).rejects.toMatchObject({ code: "42601", position: "1" });
    await client.query("BEGIN");
    await expect(client.query("SELECT 1/0")).rejects.toMatchObject({ code: "22012" });
    await expect(client.query("SELECT 1")).rejects.toMatchObject({ code: "25P02" });
    await client.query("ROLLBACK");
    expect((await client.query("SELECT 1 AS one")).rows).toEqual([{ one: 1 }]);
  });

  it("copies in and out, and survives a COPY that fails", async () => {
    const copyIn = Array.from({ length: 2000 }, (_, i) => `${1000 + i}\tname ${i}`);
    const copy = async (sql: string, rows?: string[]): Promise<Awaited<Exchange["outcome"]>> => {
      const exchange = new Exchange({ sql, extended: undefined, copyIn: rows });
      client.query(exchange);
      return exchange.outcome;
    };
    expect(await copy("COPY item FROM STDIN", copyIn)).toMatchObject({
      affected: 2000,
      error: undefined,
    });
    const { copyOut } = await copy(
      "COPY (SELECT * FROM item WHERE id >= 1000 ORDER BY id) TO STDOUT",
    );
    expect(copyOut).toEqual(copyIn);
    expect((await copy("COPY item FROM STDIN", ["x\ty"])).error).toMatchObject({ code: "22P02" });
    expect(
      (await client.query("SELECT count(*)::int AS n FROM item WHERE id >= 1000")).rows,
    ).toEqual([{ n: 2000 }]);
  });

  it("hears notifications of another session", async () => {
    await client.query(`LISTEN ${schema}`);
    const heard = new Promise((resolve) => client.once("notification", resolve));
    await other.query("SELECT pg_notify($1, 'hello')", [schema]);
    expect(await heard).toMatchObject({ channel: schema, payload: "hello" });
    await client.query(`UNLISTEN ${schema}`);
  });

  it("hears notices", async () => {
    const heard = new Promise((resolve) => client.once("notice", resolve));
    await client.query("DO $$ BEGIN RAISE WARNING 'careful' USING ERRCODE = '01234'; END $$");
    expect(await heard).toMatchObject({ code: "01234", severity: "WARNING", message: "careful" });
  });

  it("keeps session settings", async () => {
    await client.query("SET my.setting = 'x'; SET work_mem = '3MB'");
    expect((await client.query("SELECT current_setting('my.setting') AS s")).rows).toEqual([
      { s: "x" },
    ]);
    expect((await client.query("SHOW work_mem")).rows).toEqual([{ work_mem: "3MB" }]);
    expect((await other.query("SHOW work_mem")).rows).not.toEqual([{ work_mem: "3MB" }]);
    await client.query("RESET ALL");
  });

  it("is cancelled by a cancel request", async () => {
    const sleeping = client.query("SELECT pg_sleep(60)");
    const failed = expect(sleeping).rejects.toMatchObject({ code: "57014" });
    const asleep = "SELECT count(*)::int AS n FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    await expect
      .poll(async () => (await other.query(asleep)).rows, { timeout: 20_000 })
      .not.toEqual([{ n: 0 }]);
    await cancel(client);
    await failed;
    expect((await client.query("SELECT 1 AS one")).rows).toEqual([{ one: 1 }]);
  });

  it("carries large values", async () => {
    const large = "x".repeat(5_000_000);
    const { rows } = await client.query("SELECT $1::text AS t, length($1) AS n", [large]);
    expect(rows[0].n).toBe(large.length);
    expect(rows[0].t === large).toBe(true);
  });
}

/** A CancelRequest on a connection of its own. node-postgres keeps the key to itself. */
async function cancel(client: pg.Client): Promise<void> {
  const request = serialize.cancel(
    Number(Reflect.get(client, "processID")),
    Number(Reflect.get(client, "secretKey")),
  );
  await new Promise<void>((resolve, reject) => {
    const socket = connect({ host: client.host, port: client.port });
    socket.once("error", reject);
    socket.once("close", () => resolve());
    socket.end(request);
  });
}
