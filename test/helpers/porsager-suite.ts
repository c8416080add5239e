import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import postgres from "postgres";
import { afterAll, beforeAll, expect, it } from "vitest";

/** Declares the tests of porsager's postgres, which pipelines and prepares by itself. */
export function porsagerSuite(url: () => string): void {
  const schema = `driver_${randomBytes(4).toString("hex")}`;
  let sql: postgres.Sql;

  beforeAll(async () => {
    sql = postgres(url(), {
      max: 3,
      onnotice: () => undefined,
      connection: { search_path: schema },
    });
    await sql.unsafe(`CREATE SCHEMA ${schema}`);
    await sql`CREATE TABLE item (id int PRIMARY KEY, name text, body jsonb)`;
  });

  afterAll(async () => {
    await sql.unsafe(`DROP SCHEMA ${schema} CASCADE`);
    await sql.end({ timeout: 5 });
  });

  it("round-trips values of many types", async () => {
    const at = new Date("2024-02-29T12:34:56.789Z");
    const rows = await sql`
      SELECT ${1}::int AS i, ${"9007199254740993"}::bigint AS big, ${0.1}::float8 AS f, ${true}::bool AS b,
             ${"é€😀"}::text AS t, ${sql.json({ a: [1] })}::jsonb AS j, ${Buffer.from([0, 255])}::bytea AS raw,
             ${at}::timestamptz AS at, ${sql.array([1, 2])}::int[] AS list, ${null}::text AS nothing`;
    expect([...rows]).toEqual([
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
      },
    ]);
  });

  it("pipelines what is sent at once, with an error in the middle", async () => {
    const settled = await Promise.allSettled(
      Array.from({ length: 30 }, (_, i) => sql`SELECT 100 / (${i}::int - 7) AS q`),
    );
    const failed = settled.flatMap(({ status }, i) => (status === "rejected" ? [i] : []));
    expect(failed).toEqual([7]);
    expect(settled[7]).toMatchObject({ reason: { code: "22012" } });
    expect(settled[8]).toMatchObject({ value: [{ q: 100 }] });
  });

  it("pipelines inside a transaction", async () => {
    const ids = await sql.begin(async (tx) => {
      const inserted = Array.from(
        { length: 20 },
        (_, i) =>
          tx<{ id: number }[]>`INSERT INTO item (id, name) VALUES (${i}, ${`n${i}`}) RETURNING id`,
      );
      return (await Promise.all(inserted)).map(([row]) => row?.id);
    });
    expect(ids).toEqual(Array.from({ length: 20 }, (_, i) => i));
    expect([...(await sql`SELECT count(*)::int AS n FROM item`)]).toEqual([{ n: 20 }]);
  });

  it("rolls a transaction back on an error, and a savepoint alone", async () => {
    await expect(
      sql.begin(async (tx) => {
        await tx`INSERT INTO item (id) VALUES (500)`;
        await tx`INSERT INTO item (id) VALUES (1)`;
      }),
    ).rejects.toMatchObject({ code: "23505", constraint_name: "item_pkey" });
    await sql.begin(async (tx) => {
      await tx`INSERT INTO item (id) VALUES (501)`;
      await expect(
        tx.savepoint((sp) => sp`INSERT INTO item (id) VALUES (501)`),
      ).rejects.toMatchObject({ code: "23505" });
      await tx`INSERT INTO item (id) VALUES (502)`;
    });
    const rows = await sql`SELECT id FROM item WHERE id >= 500 ORDER BY id`;
    expect([...rows]).toEqual([{ id: 501 }, { id: 502 }]);
  });

  it("prepares by itself, and follows a changed table", async () => {
    const count = (): Promise<unknown> =>
      sql`SELECT count(*)::int AS n FROM item WHERE id < ${10}`.execute();
    expect(await count()).toMatchObject([{ n: 10 }]);
    await sql`ALTER TABLE item ADD COLUMN extra int`;
    expect(await count()).toMatchObject([{ n: 10 }]);
  });

  it("reads by cursor, and may stop early", async () => {
    const sizes: number[] = [];
    await sql`SELECT g FROM generate_series(1, 25) g`.cursor(10, (rows) => {
      sizes.push(rows.length);
    });
    expect(sizes).toEqual([10, 10, 5]);
    let seen = 0;
    for await (const rows of sql`SELECT g FROM generate_series(1, 1000000) g`.cursor(100)) {
      seen += rows.length;
      if (seen >= 300) break;
    }
    expect(seen).toBe(300);
  });

  it("streams COPY both ways", async () => {
    // A client of its own, ended at once: after a COPY to a stream the driver (3.4.9) may leave its connection paused,
    // on stock PostgreSQL as well.
    const own = postgres(url(), { max: 1, connection: { search_path: schema } });
    const lines = Array.from({ length: 5000 }, (_, i) => `${10_000 + i}\tname ${i}\t{"i": ${i}}\n`);
    await pipeline(
      Readable.from(lines),
      await own`COPY item (id, name, body) FROM STDIN`.writable(),
    );
    const copied =
      await own`COPY (SELECT id, name, body FROM item WHERE id >= 10000 ORDER BY id) TO STDOUT`.readable();
    let text = "";
    for await (const chunk of copied) text += String(chunk);
    expect(text === lines.join("")).toBe(true);
    await own.end({ timeout: 1 });
  });

  it("hears notifications", async () => {
    let take: (payload: string) => void = () => undefined;
    const heard = new Promise<string>((resolve) => (take = resolve));
    const listening = await sql.listen(schema, (payload) => take(payload));
    await sql.notify(schema, "hello");
    expect(await heard).toBe("hello");
    await listening.unlisten();
  });

  it("cancels a query", async () => {
    const sleeping = sql`SELECT pg_sleep(60), ${"x"}::text AS mark`;
    const failure = sleeping.then(
      () => undefined,
      (error: unknown) => error,
    );
    const sleepers = async (): Promise<number> => {
      const rows = await sql<{ pid: number }[]>`
        SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%AS mark%'`;
      return rows.length;
    };
    await expect.poll(sleepers, { timeout: 20_000 }).toBeGreaterThan(0);
    sleeping.cancel();
    expect(await failure).toMatchObject({ code: "57014" });
  });

  it("runs a simple query of several statements", async () => {
    const results = await sql.unsafe("SELECT 1 AS a; SELECT 2 AS b").simple();
    expect(results).toMatchObject([[{ a: 1 }], [{ b: 2 }]]);
  });

  it("describes without running", async () => {
    const { types, columns } = await sql`SELECT ${1}::int + 1 AS i, ${"x"}::text AS t`.describe();
    expect(types).toEqual([23, 25]);
    expect(columns.map(({ name, type }) => [name, type])).toEqual([
      ["i", 23],
      ["t", 25],
    ]);
  });
}
