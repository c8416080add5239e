/** Logins by tokens at endpoints over real PostgreSQLs and real TLS: who is asked for one, and what is refused. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as tlsConnect } from "node:tls";
import pg from "pg";
import { generate } from "selfsigned";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { endpointHosts, IamUsers, makeToken, TokenJudge } from "../src/iam/index.ts";
import { openLogger, realClock } from "../src/io/index.ts";
import {
  encodeMessage,
  encodePassword,
  encodeSslRequest,
  encodeStartup,
  frontend,
} from "../src/wire/index.ts";
import { openEndpoints, type TestEndpoints } from "./helpers/endpoints.ts";
import {
  enginesForFile,
  startStockPostgres,
  type StockPostgres,
} from "./helpers/stock-postgres.ts";

const secret = "of nobody, for the test only";
const users = new IamUsers()
  .withKey("build", { id: "BKIABUILD", secret, createdAt: "" })
  .withKey("narrow", { id: "BKIANARROW", secret, createdAt: "" })
  .withPolicy("narrow", ["de*"]);

/** What a refused login says. */
interface Refusal {
  code?: string;
  message: string;
  detail?: string;
}

describe.each(enginesForFile())("tokens at endpoints over PostgreSQL $version", (engine) => {
  const folder = mkdtempSync(join(tmpdir(), "borealis-iam-"));
  const logFile = join(folder, "endpoints.log");
  let stock: StockPostgres;
  let ends: TestEndpoints;
  let discreet: TestEndpoints;
  let openAnother: () => Promise<TestEndpoints>;
  let aheadMs = 0;

  beforeAll(async () => {
    stock = await startStockPostgres(engine);
    for (const sql of [
      "CREATE ROLE rds_iam",
      "CREATE ROLE ann LOGIN PASSWORD 'ann' IN ROLE rds_iam",
      "CREATE ROLE \"Ann\" LOGIN PASSWORD 'ann' IN ROLE rds_iam",
      "CREATE ROLE team IN ROLE rds_iam",
      "CREATE ROLE crew NOINHERIT IN ROLE team",
      "CREATE ROLE deep LOGIN IN ROLE crew",
      "CREATE ROLE plain LOGIN PASSWORD 'plain'",
      "CREATE ROLE boss SUPERUSER LOGIN PASSWORD 'boss'",
      "CREATE ROLE willing SUPERUSER LOGIN PASSWORD 'willing' IN ROLE rds_iam",
      "CREATE ROLE stopped NOLOGIN IN ROLE rds_iam",
      "CREATE ROLE clerk CREATEROLE LOGIN",
      "CREATE ROLE group_of_clerk ROLE clerk ADMIN clerk",
      "CREATE ROLE victim SUPERUSER LOGIN PASSWORD 'victim' IN ROLE group_of_clerk",
      "CREATE ROLE deputy LOGIN PASSWORD 'deputy' IN ROLE boss",
      "GRANT rds_iam TO clerk WITH ADMIN OPTION",
      "SET ROLE clerk; GRANT rds_iam TO group_of_clerk",
      "SET ROLE clerk; GRANT rds_iam TO deputy",
    ])
      await stock.query(sql);
    const { private: key, cert } = await generate([{ name: "commonName", value: "localhost" }]);
    openAnother = () => open(true);
    const open = (tellsWhy: boolean, others = {}): Promise<TestEndpoints> => {
      const judge = new TokenJudge({
        file: "",
        files: { read: () => users.encode() },
        clock: { wallMs: () => realClock.wallMs() + aheadMs },
        logger: openLogger({ file: undefined, process: "test" }),
        region: "us-east-1",
        hosts: endpointHosts("127.0.0.1", []),
        ports: () => [5432],
      });
      const tokenLogins = { judge: judge.judge.bind(judge), tellsWhy };
      return openEndpoints(stock, {
        tls: { key, cert, mode: "prefer" },
        tokenLogins,
        logFile,
        ...others,
      });
    };
    ends = await open(true);
    discreet = await open(false, { pooling: { mode: "auto" } });
  });
  afterAll(async () => {
    await ends.close();
    await discreet.close();
    await stock.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  function tokenFor(user: string, of: Partial<Parameters<typeof makeToken>[0]> = {}): string {
    const where = { host: "localhost", port: 5432, region: "us-east-1" };
    const whose = { accessKeyId: "BKIABUILD", secret };
    return makeToken({ ...where, ...whose, user, nowMs: realClock.wallMs(), ...of });
  }

  async function whoami(
    user: string,
    password: string,
    more: pg.ClientConfig = {},
  ): Promise<string> {
    const ssl = { rejectUnauthorized: false };
    const config = { host: "127.0.0.1", port: ends.port, database: "postgres", ssl, ...more };
    const client = new pg.Client({ ...config, user, password });
    await client.connect();
    try {
      return (await client.query("SELECT session_user AS who")).rows[0].who;
    } finally {
      await client.end();
    }
  }

  async function refusalOf(
    user: string,
    password: string,
    more: pg.ClientConfig = {},
  ): Promise<Refusal> {
    try {
      await whoami(user, password, more);
    } catch (error) {
      return error as Refusal;
    }
    return { message: "it was let in" };
  }

  it("lets members in by tokens, also through other roles, on writer and reader", async () => {
    for (const port of [ends.port, ends.readerPort, discreet.port])
      for (const user of ["ann", "Ann", "deep", "willing"])
        expect(await whoami(user, tokenFor(user), { port })).toBe(user);
    expect(await whoami("deep", tokenFor("deep", { accessKeyId: "BKIANARROW" }))).toBe("deep");
  });

  it("asks others for their passwords: who is no member, superusers, who may only grant it", async () => {
    expect(await whoami("plain", "plain")).toBe("plain");
    expect(await whoami("boss", "boss")).toBe("boss");
    expect(await refusalOf("plain", tokenFor("plain"))).toMatchObject({ code: "28P01" });
    expect(await refusalOf("nobody", tokenFor("nobody"))).toMatchObject({ code: "28P01" });
    if (Number(engine.version) < 16) return;
    await stock.query("CREATE ROLE granter LOGIN PASSWORD 'granter'");
    await stock.query("GRANT rds_iam TO granter WITH ADMIN TRUE, INHERIT FALSE, SET FALSE");
    expect(await whoami("granter", "granter")).toBe("granter");
    await stock.query("GRANT rds_iam TO granter WITH SET TRUE");
    expect(await refusalOf("granter", "granter")).toMatchObject({ code: "28000" });
  });

  it("takes a superuser for a member by the word of superusers only", async () => {
    expect(await whoami("victim", "victim")).toBe("victim");
    expect(await refusalOf("victim", tokenFor("victim"))).toMatchObject({ code: "28P01" });
    // Likewise who can become one.
    expect(await whoami("deputy", "deputy")).toBe("deputy");
    expect(await refusalOf("deputy", tokenFor("deputy"))).toMatchObject({ code: "28P01" });
    await stock.query("GRANT rds_iam TO victim");
    expect(await whoami("victim", tokenFor("victim"))).toBe("victim");
    expect(await refusalOf("victim", "victim")).toMatchObject({ code: "28000" });
  });

  it("refuses a member's password, and says what was expected", async () => {
    expect(await refusalOf("ann", "ann")).toMatchObject({
      code: "28000",
      message: 'PAM authentication failed for user "ann"',
      detail: expect.stringMatching(/^What was sent is no token/),
    });
    expect(await refusalOf("ann", "")).toMatchObject({
      code: "28000",
      detail: expect.stringMatching(/empty/),
    });
  });

  it.each<[string, () => string, RegExp]>([
    ["another's", () => tokenFor("deep"), /for user "deep"/],
    ["for other letters of the name", () => tokenFor("Ann"), /for user "Ann"/],
    ["expired", () => tokenFor("ann", { nowMs: realClock.wallMs() - 900_000 }), /expired at/],
    ["of the future", () => tokenFor("ann", { nowMs: realClock.wallMs() + 400_000 }), /clock/],
    ["for another host", () => tokenFor("ann", { host: "db.example.com" }), /db\.example\.com/],
    ["for another port", () => tokenFor("ann", { port: 1 }), /port 1,/],
    ["for another region", () => tokenFor("ann", { region: "eu-west-1" }), /eu-west-1/],
    ["of another secret", () => tokenFor("ann", { secret: "x" }), /signature/],
    ["of no key", () => tokenFor("ann", { accessKeyId: "BKIANONE" }), /BKIANONE/],
    ["beyond the policy", () => tokenFor("ann", { accessKeyId: "BKIANARROW" }), /policy/],
    ["changed", () => tokenFor("ann").replace("us-east-1", "us-east-2"), /us-east-2/],
    ["with more behind", () => `${tokenFor("ann")}&x=1`, /signature/],
    ["of 17 KB", () => `${tokenFor("ann")}&x=${"a".repeat(17_000)}`, /longer/],
  ])("refuses a token that is %s", async (_what, make, why) => {
    const token = make();
    expect(await refusalOf("ann", token)).toMatchObject({
      code: "28000",
      message: 'PAM authentication failed for user "ann"',
      detail: expect.stringMatching(why),
    });
    // To strangers the reason is not told; the log has it, and has no token.
    const told = await refusalOf("ann", token, { port: discreet.port });
    expect(told).toMatchObject({ code: "28000", detail: undefined });
    const log = readFileSync(logFile, "utf8");
    const lines = log.split("\n").filter((line) => line.includes('"login.refused"'));
    expect(lines.slice(-2).map((line) => JSON.parse(line).why)).toEqual(
      expect.arrayContaining([expect.stringMatching(why), expect.stringMatching(why)]),
    );
    expect(log).not.toContain("X-Amz-Signature=");
    expect(log).not.toContain(token.slice(-40));
  });

  it("logs whose key it was", async () => {
    await whoami("ann", tokenFor("ann"));
    const line = readFileSync(logFile, "utf8")
      .trim()
      .split("\n")
      .findLast((one) => one.includes("login.byToken"));
    expect(JSON.parse(line ?? "{}")).toMatchObject({
      user: "ann",
      principal: "build",
      accessKeyId: "BKIABUILD",
      endpoint: "writer",
    });
  });

  it("is asked by a session in which nothing of a database's owner counts", async () => {
    // As the owner of a database may: operators that fit oid >= 1 better than PostgreSQL's, and other rules for quotes.
    await stock.query("CREATE DATABASE lair OWNER plain");
    for (const database of ["postgres", "lair"]) {
      await stock.query("GRANT CREATE ON SCHEMA public TO plain", database);
      await stock.query(
        `SET ROLE plain;
         CREATE FUNCTION public.caught(oid, int4) RETURNS bool LANGUAGE plpgsql AS $$
         BEGIN IF current_user <> 'plain' THEN ALTER ROLE plain CREATEROLE; END IF; RETURN true; END $$;
         CREATE OPERATOR public.>= (FUNCTION = public.caught, LEFTARG = oid, RIGHTARG = int4);
         CREATE OPERATOR public.= (FUNCTION = public.caught, LEFTARG = oid, RIGHTARG = int4)`,
        database,
      );
      await stock.query(`ALTER DATABASE ${database} SET standard_conforming_strings = off`);
    }
    const fresh = await openAnother();
    try {
      const at = { port: fresh.port };
      expect(await whoami("ann", tokenFor("ann"), { ...at, database: "lair" })).toBe("ann");
      // A quote that a backslash hides would end the literal in the endpoint's own query.
      const hostile = "\\'; ALTER ROLE plain CREATEROLE --";
      expect(await refusalOf(hostile, "ann", at)).toMatchObject({ code: "28P01" });
      const { rows } = await stock.query(
        "SELECT rolcreaterole FROM pg_catalog.pg_roles WHERE rolname = 'plain'",
      );
      expect(rows).toEqual([["f"]]);
    } finally {
      await fresh.close();
      for (const database of ["postgres", "lair"])
        await stock.query(`ALTER DATABASE ${database} RESET standard_conforming_strings`);
    }
  });

  it("leaves it to PostgreSQL whether a role may log in, and where", async () => {
    expect(await refusalOf("stopped", tokenFor("stopped"))).toMatchObject({
      code: "28000",
      message: 'role "stopped" is not permitted to log in',
    });
    const database = "nowhere";
    expect(await refusalOf("ann", tokenFor("ann"), { database })).toMatchObject({ code: "3D000" });
    expect(await refusalOf("ann", tokenFor("ann"), { database: "borealis" })).toMatchObject({
      code: "0A000",
    });
  });

  it("takes no token for a replication connection", async () => {
    const more = { replication: "database" } as pg.ClientConfig;
    expect(await refusalOf("ann", tokenFor("ann"), more)).toMatchObject({ code: "0A000" });
  });

  it("does not even ask for one without TLS", async () => {
    const refusal = await refusalOf("ann", tokenFor("ann"), { ssl: false });
    expect(refusal).toMatchObject({
      code: "28000",
      message:
        'no pg_hba.conf entry for host "127.0.0.1", user "ann", database "postgres", no encryption',
    });
    const heard = await talk(startupOf("ann"));
    expect(heard[0]).toBe("E".charCodeAt(0));
  });

  it("does not take one that was sent before TLS began", async () => {
    const early = Buffer.concat([
      encodeSslRequest(),
      startupOf("ann"),
      encodePassword(tokenFor("ann")),
    ]);
    expect((await talk(early)).toString()).toContain("received unencrypted data after SSL request");
  });

  it("ends the conversation at anything else than one password message", async () => {
    const token = tokenFor("ann");
    const zero = encodeMessage(frontend.password, (body) => body.raw(Buffer.from(`${token}\0x\0`)));
    const open = encodeMessage(frontend.password, (body) => body.raw(Buffer.from(token)));
    const huge = Buffer.from([frontend.password, 0x7f, 0xff, 0xff, 0xff]);
    for (const answer of [zero, open, huge, Buffer.from("Q\0\0\0\x05\0")]) {
      const heard = await talkOverTls(Buffer.concat([startupOf("ann"), answer]));
      // It asks for clear text (R, 8 bytes, code 3), and then refuses.
      expect(heard.subarray(0, 9)).toEqual(Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 3]));
      expect(heard.subarray(9).toString()).toContain("08P01");
    }
    const twice = Buffer.concat([startupOf("ann"), encodePassword("no"), encodePassword(token)]);
    expect((await talkOverTls(twice)).subarray(9).toString()).toContain("28000");
  });

  it("looks at a token's time at the login only", async () => {
    const token = tokenFor("ann");
    const ssl = { rejectUnauthorized: false };
    const at = { host: "127.0.0.1", port: ends.port, database: "postgres", ssl };
    const client = new pg.Client({ ...at, user: "ann", password: token });
    await client.connect();
    aheadMs = 900_000;
    try {
      expect(await refusalOf("ann", token)).toMatchObject({
        detail: expect.stringMatching(/expired/),
      });
      expect((await client.query("SELECT 1 AS one")).rows).toEqual([{ one: 1 }]);
    } finally {
      aheadMs = 0;
      await client.end();
    }
    // AWS keeps no record of tokens: the same one opens as many connections as a pool wants.
    expect(await whoami("ann", token)).toBe("ann");
  });

  function startupOf(user: string): Buffer {
    const parameters = { user, database: "postgres" };
    const texts = Object.entries(parameters);
    return encodeStartup(
      0,
      texts.map(([name, value]) => ({ name, value: Buffer.from(value) })),
    );
  }

  /** What comes back until the other side closes. */
  function allOf(socket: Socket): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const parts: Buffer[] = [];
      socket.on("data", (part: Buffer) => parts.push(part));
      socket.on("error", reject);
      socket.on("close", () => resolve(Buffer.concat(parts)));
    });
  }

  function talk(bytes: Buffer): Promise<Buffer> {
    const socket = connect({ port: ends.port, host: "127.0.0.1" }, () => socket.write(bytes));
    return allOf(socket);
  }

  /** PostgreSQL 17's way: TLS from the first byte. */
  function talkOverTls(bytes: Buffer): Promise<Buffer> {
    const options = { port: ends.port, host: "127.0.0.1", rejectUnauthorized: false };
    const socket = tlsConnect({ ...options, ALPNProtocols: ["postgresql"] }, () =>
      socket.write(bytes),
    );
    return allOf(socket);
  }
});
