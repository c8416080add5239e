import { execFile } from "node:child_process";
import { connect, type Socket } from "node:net";
import { promisify } from "node:util";
import pg from "pg";
import postgres from "postgres";
import { generate } from "selfsigned";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connect as tlsConnect } from "node:tls";
import {
  encodeBind,
  encodeCancelRequest,
  encodeExecute,
  encodeMessage,
  encodeParse,
  encodeQuery,
  encodeSslRequest,
  encodeStartup,
  encodeSync,
  frontend,
} from "../src/wire/index.ts";
import { connectTo, openEndpoints, targetOf, type TestEndpoints } from "./helpers/endpoints.ts";
import { eventually } from "./helpers/eventually.ts";
import { rawLogin } from "./helpers/raw-login.ts";
import {
  enginesForFile,
  findEngines,
  startStockPostgres,
  type StockPostgres,
} from "./helpers/stock-postgres.ts";
import { isThorough } from "./helpers/thorough.ts";
import { clientFrom, silentFrom } from "./helpers/strangers.ts";

const run = promisify(execFile);
const engines = enginesForFile();
const psqlBin = findEngines()[0]?.bin;

/** Raw bytes to a port; gives all that came back when the other side closes. */
function talk(port: number, bytes: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1" }, () => socket.write(bytes));
    const parts: Buffer[] = [];
    socket.on("data", (part) => parts.push(part));
    socket.on("error", reject);
    socket.on("close", () => resolve(Buffer.concat(parts)));
  });
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error
    ? `${String(error.code)} ${error.message}`
    : String(error);
}

describe.each(engines)("endpoints over PostgreSQL $version", (engine) => {
  let stock: StockPostgres;
  let ends: TestEndpoints;

  beforeAll(async () => {
    stock = await startStockPostgres(engine);
    await stock.query(`create role postgres superuser login password 'secret'`);
    await stock.query(`create role ann login password 'ann'`);
    const { private: key, cert } = await generate([{ name: "commonName", value: "localhost" }]);
    ends = await openEndpoints(stock, {
      tls: { key, cert, mode: "prefer" },
      limits: { holdTimeoutMs: 1_000, authenticationTimeoutMs: 60_000 },
    });
  });
  afterAll(async () => {
    await ends.close();
    await stock.stop();
  });

  const psql = async (
    args: string[],
    env: Record<string, string> = {},
  ): Promise<{ out: string; err: string }> => {
    const all = [
      "-h",
      "127.0.0.1",
      "-p",
      String(ends.port),
      "-U",
      "postgres",
      "-d",
      "postgres",
      "-X",
      ...args,
    ];
    const options = { env: { ...process.env, PGPASSWORD: "secret", ...env } };
    try {
      const { stdout, stderr } = await run(`${psqlBin}/psql`, all, options);
      return { out: stdout, err: stderr };
    } catch (error) {
      const failed =
        error instanceof Error && "stderr" in error && "stdout" in error ? error : undefined;
      return { out: String(failed?.stdout), err: String(failed?.stderr ?? error) };
    }
  };

  describe("logins", () => {
    it("takes psql with and without TLS, with channel binding required, and node-postgres", async () => {
      for (const mode of ["disable", "prefer", "require"]) {
        const { out } = await psql(
          ["-Atc", "select ssl from pg_stat_ssl limit 0", "-c", "select 42"],
          { PGSSLMODE: mode },
        );
        expect(out.trim()).toBe("42");
      }
      const bound = await psql(["-Atc", "select 1"], {
        PGSSLMODE: "require",
        PGCHANNELBINDING: "require",
      });
      expect(bound).toMatchObject({ out: "1\n", err: "" });
      const client = await connectTo(ends.port, { ssl: { rejectUnauthorized: false } });
      expect((await client.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
      await client.end();
    });

    it("says what stock PostgreSQL says", async () => {
      await stock.query(`create role locked nologin password 'x'`);
      await stock.query(`create role late login password 'x' valid until '2020-01-01'`);
      await stock.query(`create role bare login`);
      await stock.query(`create role single login password 'x' connection limit 0`);
      const attempt = async (config: pg.ClientConfig): Promise<string> =>
        connectTo(ends.port, config).then(() => "connected", codeOf);
      const results = {
        wrong: await attempt({ password: "nope" }),
        unknown: await attempt({ user: "nobody" }),
        bare: await attempt({ user: "bare", password: "x" }),
        late: await attempt({ user: "late", password: "x" }),
        locked: await attempt({ user: "locked", password: "x" }),
        admin: await attempt({ user: "rdsadmin", password: "x" }),
        single: await attempt({ user: "single", password: "x" }),
        database: await attempt({ database: "nowhere" }),
        reserved: await attempt({ database: "borealis" }),
        replication: await attempt({ replication: "true" } as pg.ClientConfig), // pg passes it on untyped
        name: await attempt({ application_name: "Borealis_Log" }),
        option: await attempt({ options: "-c application_name=borealis_log" }),
      };
      expect(results).toEqual({
        wrong: '28P01 password authentication failed for user "postgres"',
        unknown: '28P01 password authentication failed for user "nobody"',
        bare: '28P01 password authentication failed for user "bare"',
        late: '28P01 password authentication failed for user "late"',
        locked: '28000 role "locked" is not permitted to log in',
        admin: '28000 role "rdsadmin" is not permitted to log in',
        single: '53300 too many connections for role "single"',
        database: '3D000 database "nowhere" does not exist',
        reserved: '0A000 database "borealis" is reserved and not available here',
        replication: "0A000 replication connections are not supported at endpoints",
        name: '22023 application_name "borealis_log" is reserved',
        option: '22023 application_name "borealis_log" is reserved',
      });
    });

    it("asks md5 verifiers with md5", async () => {
      await stock.query(`set password_encryption = md5; create role old login password 'old'`);
      const client = await connectTo(ends.port, { user: "old", password: "old" });
      await client.end();
      await expect(connectTo(ends.port, { user: "old", password: "new" })).rejects.toThrow(
        "password authentication failed",
      );
    });

    it("passes every start-up parameter and option on", async () => {
      const client = await connectTo(ends.port, {
        application_name: "my app",
        options: "-c work_mem=7MB -c datestyle=sql,\\ dmy",
        statement_timeout: 54_321,
      });
      const { rows } = await client.query(
        `select current_setting('application_name') a, current_setting('work_mem') w,
                current_setting('statement_timeout') s, current_setting('datestyle') p`,
      );
      expect(rows).toEqual([{ a: "my app", w: "7MB", s: "54321ms", p: "SQL, DMY" }]);
      await client.end();
    });

    it("gives the backend's own pid, and a key of its own: 4 bytes on 3.0, 32 on 3.2", async () => {
      const client = await connectTo(ends.port);
      const { rows } = await client.query("select pg_backend_pid() pid");
      expect(rows[0]?.pid).toBe("processID" in client ? client.processID : 0);
      await client.end();
      for (const [minor, length] of [
        [0, 4],
        [2, 32],
      ] as const) {
        const socket = connect({ port: ends.port, host: "127.0.0.1" });
        const session = await rawLogin(socket, minor);
        expect(session.key.length).toBe(length);
        socket.write(encodeQuery("select pg_sleep(60)"));
        await eventually("it sleeps", async () => {
          const sql = `select 1 from pg_stat_activity where pid = ${session.pid} and wait_event = 'PgSleep'`;
          return (await stock.query(sql)).rows.length === 1;
        });
        await talk(ends.port, encodeCancelRequest(session.pid, session.key));
        await eventually("it is cancelled", () => session.seen.join("").endsWith("EZ"));
        socket.destroy();
      }
    });

    it("takes direct TLS from who names PostgreSQL, and from nobody else", async () => {
      const options = { port: ends.port, host: "127.0.0.1", rejectUnauthorized: false };
      const socket = tlsConnect({ ...options, ALPNProtocols: ["postgresql"] });
      expect((await rawLogin(socket, 0)).pid).toBeGreaterThan(0);
      socket.destroy();
      const nameless = tlsConnect(options);
      await new Promise((resolve) => nameless.on("error", resolve).once("close", resolve));
    });

    it("COPY FROM STDIN by extended messages, sent in one go", async () => {
      const socket = connect({ port: ends.port, host: "127.0.0.1" });
      const session = await rawLogin(socket, 0);
      await stock.query("create table if not exists copied(a int)");
      const data = encodeMessage(frontend.copyData, (body) => body.text("7\n"));
      const done = encodeMessage(frontend.copyDone);
      const start = [
        encodeParse("", "copy copied from stdin"),
        encodeBind("", ""),
        encodeExecute(""),
        encodeSync(),
      ];
      socket.write(Buffer.concat([...start, data, done, encodeSync()]));
      await eventually("the copy ends", () => session.seen.join("") === "12GCZ");
      const failed = encodeMessage(frontend.copyFail, (body) => body.cString("no"));
      socket.write(Buffer.concat([...start, failed, encodeSync(), encodeQuery("select 1")]));
      await eventually("the session goes on", () => session.seen.join("") === "12GCZ12GEZTDCZ");
      socket.destroy();
    });

    it("negotiates down to 3.2, and refuses protocol 2", async () => {
      const parameters = [
        { name: "user", value: Buffer.from("postgres") },
        { name: "_pq_.later", value: Buffer.from("1") },
      ];
      const socket = connect({ port: ends.port, host: "127.0.0.1" });
      const first = new Promise<Buffer>((resolve) => socket.once("data", resolve));
      // Split at every byte: the packet is put together again.
      for (const byte of encodeStartup(9, parameters)) socket.write(Buffer.from([byte]));
      expect((await first).toString("latin1")).toContain("_pq_.later");
      socket.destroy();
      expect((await talk(ends.port, Buffer.from([0, 0, 0, 8, 0, 2, 0, 0]))).toString()).toContain(
        "0A000",
      );
    });

    it("waits for an instance, then says 57P03", async () => {
      const { current } = ends.topology;
      ends.topology.set({ writer: undefined, reader: undefined });
      const waiting = connectTo(ends.port);
      const failing = connectTo(ends.port);
      ends.topology.set(current);
      await (await waiting).end();
      await (await failing).end();
      ends.topology.set({ writer: undefined, reader: undefined });
      await expect(connectTo(ends.port)).rejects.toMatchObject({ code: "57P03" });
      ends.topology.set(current);
    });
  });

  describe("bad company", () => {
    it("refuses plaintext that was slipped in behind an SSLRequest", async () => {
      const answer = await talk(ends.port, Buffer.concat([encodeSslRequest(), Buffer.from("x")]));
      expect(answer.toString()).toContain("received unencrypted data after SSL request");
    });

    it.each([
      ["a browser", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
      ["zeros", Buffer.alloc(5_000)],
      ["a huge length", Buffer.from([0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0])],
      ["TLS without our protocol", Buffer.from([0x16, 3, 1, 0, 5, 1, 2, 3, 4, 5])],
      ["noise", Buffer.from(Array.from({ length: 4_000 }, (_, index) => (index * 7919) & 0xff))],
    ])("%s ends with its own connection only", async (_, bytes) => {
      const client = await connectTo(ends.port);
      await talk(ends.port, bytes).catch(() => undefined); // a reset is an answer too
      expect((await client.query("select 1 one")).rows).toEqual([{ one: 1 }]);
      await client.end();
    });

    it("ends a session that sends no protocol, with the backend's", async () => {
      const client = await connectTo(ends.port);
      const { rows } = await client.query("select pg_backend_pid() pid");
      const ended = new Promise((resolve) => client.once("end", resolve));
      const stream: Socket = (client as unknown as { connection: { stream: Socket } }).connection
        .stream; // pg's own
      stream.write(Buffer.from([0x51, 0xff, 0xff, 0xff, 0xff]));
      await ended;
      await eventually("the backend is gone", async () => {
        const { rows: left } = await stock.query(
          `select 1 from pg_stat_activity where pid = ${rows[0]?.pid}`,
        );
        return left.length === 0;
      });
    });

    it("bounds how many may try to log in, where who says nothing makes room", async () => {
      const strict = await openEndpoints(stock, { limits: { unauthenticatedMax: 2 } });
      const idle = [1, 2].map(() => connect({ port: strict.port, host: "127.0.0.1" }));
      await eventually("both are counted", () => strict.server.unauthenticatedCount === 2);
      const closed = idle.map(
        (socket) => new Promise((resolve) => socket.on("error", resolve).once("close", resolve)),
      );
      await (await connectTo(strict.port)).end();
      await Promise.race(closed);
      await eventually("the other is there", () => strict.server.unauthenticatedCount === 1);
      for (const socket of idle) socket.destroy();
      await eventually("both are gone", () => strict.server.unauthenticatedCount === 0);
      await (await connectTo(strict.port)).end();
      await strict.close();
    });

    it("bounds how often an address comes, whether it logs in or not, and nobody's elsewhere", async () => {
      // In a second a thousandth of one: as good as none.
      const often = { connectionsPerSecond: 0.001, connectionsBurst: 3 };
      const strict = await openEndpoints(stock, { limits: often });
      const silent = await silentFrom("127.0.0.1", strict.port);
      for (let n = 0; n < 2; n++) await (await connectTo(strict.port)).end();
      await expect(connectTo(strict.port)).rejects.toMatchObject({
        code: "53300",
        message: "too many connections from 127.0.0.1 in a short time",
      });
      const login = { user: "postgres", password: "secret", database: "postgres" };
      await (await clientFrom("127.0.0.2", { ...login, port: strict.port })).end();
      silent.destroy();
      await strict.close();
    });

    it("drops who does not log in in time", async () => {
      const strict = await openEndpoints(stock, { limits: { authenticationTimeoutMs: 200 } });
      const idle = [1, 2].map(() => connect({ port: strict.port, host: "127.0.0.1" }));
      await Promise.all(
        idle.map((socket) => new Promise((resolve) => socket.resume().once("close", resolve))),
      );
      await eventually("nobody is counted", () => strict.server.unauthenticatedCount === 0);
      await strict.close();
    });
  });

  describe("data", () => {
    it("serves psql's \\d, \\copy and several statements", async () => {
      const { out, err } = await psql([
        "-At",
        "-c",
        "create table if not exists people(id int primary key, name text)",
        "-c",
        "\\d people",
        "-c",
        "insert into people values (1,'é€'); select * from people; delete from people",
        "-c",
        "\\copy people from program 'seq 1 1000'",
      ]);
      expect(out).toContain("id|integer||not null|");
      expect(out).toContain("1|é€");
      expect(err).toContain("missing data for column");
      const copied = await psql([
        "-At",
        "-c",
        "\\copy people(id) from program 'seq 1 1000'",
        "-c",
        "select count(*) from people",
      ]);
      expect(copied.out).toBe("COPY 1000\n1000\n");
    });

    it("serves porsager's postgres, pipelined and in transactions", async () => {
      const sql = postgres({
        host: "127.0.0.1",
        port: ends.port,
        user: "postgres",
        pass: "secret",
        db: "postgres",
        max: 2,
        onnotice: () => undefined,
      });
      await sql`drop table if exists items`;
      await sql`create table items(id int primary key, name text)`;
      await Promise.all(
        Array.from({ length: 50 }, (_, id) => sql`insert into items values (${id}, ${`n${id}`})`),
      );
      expect(await sql`select count(*)::int n from items`).toEqual([{ n: 50 }]);
      await sql.begin(async (tx) => {
        await tx`update items set name = 'x'`;
        await expect(
          tx.savepoint((inner) => inner`insert into items values (1, 'dup')`),
        ).rejects.toThrow("duplicate key");
      });
      await expect(sql`select 1/${0}::int`).rejects.toThrow("division by zero");
      expect(await sql`select distinct name from items`).toEqual([{ name: "x" }]);
      const heard: string[] = [];
      await sql.listen("news", (payload) => heard.push(payload));
      await sql.notify("news", "hello");
      await eventually("the notification", () => heard.includes("hello"));
      await sql.end();
    });

    // What only takes long, and is the same with each PostgreSQL, runs with one of them.
    const isOnce = engine === engines[0] || isThorough;

    it.runIf(isOnce)("carries a value of 100 MB both ways", async () => {
      const client = await connectTo(ends.port);
      const value = Buffer.alloc(100 * 1024 * 1024, "x").toString("latin1");
      const { rows } = await client.query("select length($1::text) n, $1::text v", [value]);
      expect(rows[0]?.n).toBe(value.length);
      expect(rows[0]?.v === value).toBe(true);
      await client.end();
    });

    it("a client that never reads stalls itself only, in bounded memory", async () => {
      const lazy = await connectTo(ends.port);
      const stream: Socket = (lazy as unknown as { connection: { stream: Socket } }).connection
        .stream; // pg's own
      const before = process.memoryUsage().rss;
      lazy.query("select repeat('x', 1000) from generate_series(1, 500000)").catch(() => undefined);
      stream.pause();
      const other = await connectTo(ends.port);
      await eventually("the backend waits for its client", async () => {
        const { rows } = await other.query(
          `select 1 from pg_stat_activity where wait_event = 'ClientWrite'`,
        );
        return rows.length === 1;
      });
      expect(process.memoryUsage().rss - before).toBeLessThan(150 * 1024 * 1024);
      stream.destroy();
      await other.end();
    });

    it.runIf(isOnce)("serves 200 sessions at once", async () => {
      const clients = await Promise.all(Array.from({ length: 200 }, () => connectTo(ends.port)));
      const answers = await Promise.all(
        clients.map((client, n) => client.query("select $1::int n", [n])),
      );
      expect(answers.map(({ rows }) => rows[0]?.n)).toEqual(
        Array.from({ length: 200 }, (_, n) => n),
      );
      expect(ends.server.sessionCount).toBeGreaterThanOrEqual(200);
      await Promise.all(clients.map((client) => client.end()));
      // As many processes of PostgreSQL have to end first.
      await eventually("all are forgotten", () => ends.server.sessionCount === 0, 60_000);
    });

    it("cancels what runs, by psql's Ctrl-C and by key", async () => {
      const client = await connectTo(ends.port);
      const sleeping = client.query("select pg_sleep(60)").then(() => "done", codeOf);
      const { processID, secretKey } = client as unknown as {
        processID: number;
        secretKey: number;
      }; // pg's own
      await eventually(
        "it sleeps",
        async () =>
          (
            await stock.query(
              `select 1 from pg_stat_activity where pid = ${processID} and wait_event = 'PgSleep'`,
            )
          ).rows.length === 1,
      );
      const cancel = Buffer.alloc(16);
      cancel.writeUInt32BE(16, 0);
      cancel.writeUInt32BE(80877102, 4);
      cancel.writeUInt32BE(processID, 8);
      cancel.writeInt32BE(secretKey ^ 1, 12);
      await talk(ends.port, cancel);
      cancel.writeInt32BE(secretKey, 12);
      await talk(ends.port, cancel);
      expect(await sleeping).toBe("57014 canceling statement due to user request");
      expect((await client.query("select 1 one")).rows).toEqual([{ one: 1 }]);
      await client.end();
    });
  });

  describe("refusals", () => {
    it("answers ALTER SYSTEM of what is Borealis's, tablespaces and the driver's name itself, and the session goes on", async () => {
      const client = await connectTo(ends.port);
      const attempt = (text: string, values?: unknown[]): Promise<string> =>
        client.query(text, values).then(() => "done", codeOf);
      expect(await attempt("alter system set fsync = on")).toBe(
        '55P02 parameter "fsync" cannot be changed',
      );
      expect(await attempt("create tablespace t location '/tmp/x'")).toContain("0A000");
      expect(await attempt("set application_name = borealis_log")).toContain("22023");
      expect(
        await attempt("select set_config('application_name', 'borealis_log', false)", []),
      ).toContain("22023");
      expect(await attempt("select 1; alter system reset all")).toContain("25001");
      await client.query("begin");
      expect(await attempt("set application_name = borealis_log", [])).toContain("22023");
      expect(await attempt("select 1")).toContain("25P02");
      await client.query("rollback");
      expect(await attempt("select 1")).toBe("done");
      await client.end();
    });
  });

  describe("ends", () => {
    it("a client that vanishes takes its backend along", async () => {
      const client = await connectTo(ends.port);
      const { rows } = await client.query("select pg_backend_pid() pid");
      (client as unknown as { connection: { stream: Socket } }).connection.stream.destroy(); // pg's own
      await eventually("the backend is gone", async () => {
        const { rows: left } = await stock.query(
          `select 1 from pg_stat_activity where pid = ${rows[0]?.pid}`,
        );
        return left.length === 0;
      });
      await eventually("the session is forgotten", () => ends.server.sessionCount === 0);
    });

    it("passes PostgreSQL's own last words on", async () => {
      const client = await connectTo(ends.port);
      const { rows } = await client.query("select pg_backend_pid() pid");
      const sleeping = client.query("select pg_sleep(60)").then(() => "done", codeOf);
      await stock.query(`select pg_terminate_backend(${rows[0]?.pid})`);
      expect(await sleeping).toContain("57P01");
    });

    it("a session of an instance that was restarted goes on with another server process", async () => {
      const client = await connectTo(ends.port);
      const pid = async (): Promise<number> =>
        (await client.query("select pg_backend_pid() pid")).rows[0].pid;
      const before = await pid();
      ends.topology.set({ writer: targetOf(stock, "writer", "2"), reader: undefined });
      expect(await pid()).not.toBe(before);
      await client.end();
      ends.topology.set({ writer: targetOf(stock), reader: undefined });
    });

    it("a set-back of the cluster ends every session", async () => {
      const client = await connectTo(ends.port);
      const ended = new Promise<string>((resolve) =>
        client.once("error", (error) => resolve(codeOf(error))),
      );
      ends.topology.setBack(true);
      expect(await ended).toContain("57P01");
      ends.topology.setBack(false);
    });
  });
});
