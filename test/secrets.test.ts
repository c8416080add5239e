/**
 * A cluster is used in every way in which a secret passes through it, is hurt, and is then searched: its logs, its crash output,
 * what it tells of itself, its processes, and every file of its own that is not kept for secrets.
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, expect, it } from "vitest";
import { makeToken } from "../src/iam/index.ts";
import { openLogger } from "../src/io/index.ts";
import { readState, resolveLayout } from "../src/main/data-dir.ts";
import { VolumeKeys } from "../src/main/volume-keys.ts";
import { childrenOf, commandLine, makeFolder, TestCluster, until } from "./helpers/cluster.ts";
import { bucket, S3Service } from "./helpers/s3-service.ts";
import { isSecretFile, keysOf, type Secret, SecretScanner } from "./helpers/secrets.ts";

const secrets: Secret[] = [];

/** Another one, with letters that are written differently in a URL, in JSON and in base64. */
function secret(name: string, value = `p/${randomBytes(12).toString("base64url")}+"é `): string {
  secrets.push({ name, value });
  return value;
}

/** What a secret of AWS's looks like. */
const key = (name: string): string => secret(name, `${randomBytes(28).toString("base64url")}/+`);

const dataDir = join(makeFolder(), "data");
const reports = join(dirname(dataDir), "reports");
/** What found secrets has been found in so far; empty at the end. */
const found: string[] = [];
let cluster: TestCluster;
let s3: S3Service;

beforeAll(async () => {
  mkdirSync(reports);
  s3 = await S3Service.start();
  cluster = await TestCluster.create({
    dataDir,
    readers: 1,
    password: secret("master password"),
    hidesPassword: true,
    args: ["--set", "iam.enabled=on", "--set", "log.level=debug"],
    awaits: "writer",
    env: {
      NODE_OPTIONS: `--report-on-signal --report-uncaught-exception --report-directory=${reports}`,
      AWS_ACCESS_KEY_ID: "AKIAOFNOBODYATALL",
      AWS_SECRET_ACCESS_KEY: key("S3 secret"),
      AWS_SESSION_TOKEN: key("S3 session token"),
      DATABASE_URL: `postgresql://somebody:${key("somebody's password")}@localhost/`,
      PGPASSWORD: key("PGPASSWORD"),
    },
  });
  await cluster.untilEverybody();
});
afterAll(async () => {
  await cluster.destroy();
  await s3.stop();
});

const now = (text: string | Buffer, where: string): void => {
  for (const name of new SecretScanner(secrets).in(text)) found.push(`${name} in ${where}`);
};

async function login(config: pg.ClientConfig): Promise<string> {
  const client = new pg.Client({ host: "127.0.0.1", port: cluster.port, ...config });
  client.on("error", () => undefined);
  try {
    await client.connect();
    return "in";
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  } finally {
    await client.end().catch(() => undefined);
  }
}

const ssl = { rejectUnauthorized: false };
const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/** The supervisor and all below it. */
function processes(): number[] {
  const below = (pid: number): number[] => [pid, ...childrenOf(pid).flatMap(below)];
  return below(cluster.supervisorPid);
}

function lookAtProcesses(): void {
  for (const pid of processes()) {
    const of = (file: string): Buffer => {
      try {
        return readFileSync(`/proc/${pid}/${file}`);
      } catch {
        return Buffer.alloc(0); // gone meanwhile
      }
    };
    now(of("cmdline"), `the command line of ${commandLine(pid)}`);
    // What whoever started it in the foreground gave it himself, nobody can take out of it.
    if (pid !== cluster.supervisorPid) now(of("environ"), `the environment of ${commandLine(pid)}`);
    const filter = of("coredump_filter").toString().trim();
    if (filter !== "") expect([commandLine(pid), filter]).toEqual([commandLine(pid), "00000000"]);
  }
}

/** A diagnostic report of each process of Node's. */
async function takeReports(): Promise<void> {
  const before = readdirSync(reports).length;
  const nodes = processes().filter((pid) => commandLine(pid).startsWith("borealis "));
  expect(nodes.length).toBeGreaterThanOrEqual(11);
  for (const pid of nodes) process.kill(pid, "SIGUSR2");
  await until(
    "each has written its report",
    () => readdirSync(reports).length >= before + nodes.length,
  );
}

/** All that it tells of itself, to those who may ask. */
async function lookAtWords(): Promise<void> {
  for (const args of [
    ["status"],
    ["events"],
    ["config"],
    ["keys", "list"],
    ["iam", "list-access-keys"],
    ["snapshot", "list"],
  ]) {
    const { stdout, stderr } = await cluster.cli(...args, "--json");
    now(stdout + stderr, `borealis ${args.join(" ")}`);
  }
  const [user = "", password = ""] = readFileSync(join(dataDir, "credentials"), "utf8")
    .trim()
    .split(":");
  const authorization = (secretOf: string): string =>
    `Basic ${Buffer.from(`${user}:${secretOf}`).toString("base64")}`;
  const wrong = { authorization: authorization(secret("wrong HTTP credentials")) };
  // Anybody may ask for /health, and what that says is another matter.
  for (const [path, expected] of [
    ["/health", undefined],
    ["/", [200, 401]],
    ["/metrics", [200, 401]],
  ] as const) {
    const url = `http://127.0.0.1:${cluster.port + 3000}${path}`;
    const asked = [
      await fetch(url, { headers: { authorization: authorization(password) } }),
      await fetch(url, { headers: wrong }),
    ];
    for (const response of asked) now(await response.text(), `GET ${path}`);
    if (expected) expect([path, ...asked.map(({ status }) => status)]).toEqual([path, ...expected]);
  }
  const admin = await cluster.client("writer", {
    connectionString: cluster.url("writer", "borealis"),
  });
  for (const table of [
    "cluster",
    "endpoints",
    "instances",
    "storage",
    "sessions",
    "snapshots",
    "parameters",
    "events",
  ])
    now(JSON.stringify((await admin.query(`SHOW ${table}`)).rows), `SHOW ${table}`);
  await admin.end();
}

it("passwords of roles, right ones, wrong ones, and those in statements that fail", async () => {
  const client = await cluster.client();
  const app = secret("password of app");
  await client.query(`CREATE ROLE app LOGIN PASSWORD ${literal(app)}`);
  expect(await login({ user: "app", password: app, database: "postgres" })).toBe("in");
  for (const user of ["app", "postgres", "nobody"])
    for (const more of [{}, { ssl }]) {
      const password = secret(`wrong password of ${user}`);
      expect(await login({ user, password, database: "postgres", ...more })).toBe("28P01");
    }
  const failing = (write: (password: string) => string): string =>
    write(secret(`password in a failing ${write("...").slice(0, 50)}`));
  const statements = [
    failing((p) => `CREATE ROLE app PASSWORD ${literal(p)}`),
    failing((p) => `CREATE ROLE x PASSWROD ${literal(p)}`),
    failing((p) => `CREATE ROLE x PASSWORD '${p}`),
    failing((p) => `CREATE ROLE x PASSWORD ${p}`),
    failing((p) => `CREATE ROLE x PASSWORD ${literal(p)} VALID UNTIL 'nonsense'`),
    failing((p) => `ALTER ROLE nobody PASSWORD ${literal(p)}`),
    failing(
      (p) => `DO $$ BEGIN EXECUTE $x$CREATE ROLE x PASSWORD ${literal(p)} NONSENSE$x$; END $$`,
    ),
    failing((p) => `ALTER SYSTEM SET primary_conninfo = ${literal(`password=${p}`)}`),
    failing(
      (p) =>
        `CREATE SUBSCRIPTION s CONNECTION ${literal(`host=127.0.0.1 port=1 password=${p}`)} PUBLICATION p`,
    ),
    failing((p) => `CREATE TABLESPACE t LOCATION ${literal(`/${p}`)}`),
    failing((p) => `SET statement_timeout = 10; SELECT pg_sleep(1), ${literal(p)}`),
    failing((p) => `SELECT ${literal(p)}::int; ${" ".repeat(300_000)}`),
  ];
  for (const sql of statements) await expect(client.query(sql), sql.slice(0, 60)).rejects.toThrow();
  await client.query("SET statement_timeout = 0");
  await expect(
    client.query({ text: "SELECT $1::int", values: [secret("parameter that fails")] }),
  ).rejects.toThrow();
  await client.end();
  const reader = await cluster.client("instance-2");
  await expect(
    reader.query(failing((p) => `CREATE ROLE x PASSWORD ${literal(p)}`)),
  ).rejects.toThrow();
  await reader.end();
  const admin = await cluster.client("writer", {
    connectionString: cluster.url("writer", "borealis"),
  });
  for (const sql of [
    failing((p) => `ALTER ROLE app PASSWORD ${literal(p)}`),
    failing((p) => `SET PARAMETER primary_conninfo = ${literal(`password=${p}`)}`),
    failing((p) => `SET PARAMETER work_mem = ${literal(p)}`),
    failing((p) => `SET PARAMETER search_path = ${literal(`"${p}`)} FOR 'nobody'`),
    // Names of instances and snapshots are no secrets: events and the audit have them.
  ])
    await expect(admin.query(sql), sql).rejects.toThrow();
  const { rows } = await admin.query<{ result: string }>("CREATE IAM KEY FOR 'of-sql' AS ('app')");
  secret("secret of an access key made in SQL", rows[1]?.result.split("=")[1]);
  await admin.end();
});

it("tokens, good and bad, and the keys that make them", async () => {
  const made = await cluster.cli("iam", "create-access-key", "--json");
  const { accessKeyId, secretAccessKey } = JSON.parse(made.stdout) as Record<string, string>;
  secret("secret of an access key", secretAccessKey);
  await cluster.query("GRANT rds_iam TO app");
  const token = (nowMs: number): string => {
    const of = {
      accessKeyId: accessKeyId ?? "",
      secret: secretAccessKey ?? "",
      nowMs,
      user: "app",
    };
    const text = makeToken({ host: "localhost", port: cluster.port, region: "us-east-1", ...of });
    secret("signature of a token", /X-Amz-Signature=([0-9a-f]+)/.exec(text)?.[1]);
    return secret("token", text);
  };
  const tampered = token(Date.now()).replace(/.$/, (last) => (last === "0" ? "1" : "0"));
  secret("tampered token", tampered);
  const as = { user: "app", database: "postgres" };
  expect(await login({ ...as, password: token(Date.now()), ssl })).toBe("in");
  expect(await login({ ...as, password: token(Date.now() - 20 * 60_000), ssl })).toBe("28000");
  expect(await login({ ...as, password: tampered, ssl })).toBe("28000");
  expect(await login({ ...as, password: token(Date.now()) })).toBe("28000");
  expect(await login({ ...as, password: secret("password in place of a token"), ssl })).toBe(
    "28000",
  );
});

it("another master password, other keys", async () => {
  const another = secret("second master password");
  expect((await cluster.cli("password", "set", "--password", another)).code).toBe(0);
  expect(await login({ user: "postgres", password: another, database: "postgres" })).toBe("in");
  const made = await cluster.cli("password", "set", "--json");
  secret("generated master password", (JSON.parse(made.stdout) as { password: string }).password);
  const back = await cluster.cli("password", "set", "--password", cluster.password);
  expect(back.code).toBe(0);
  for (const args of [[], ["--master"]])
    expect((await cluster.cli("keys", "rotate", ...args)).code).toBe(0);
  secrets.push(...keysOf(dataDir));
  const layout = resolveLayout(dataDir);
  const state = readState(layout);
  const ring =
    state &&
    (await VolumeKeys.open(layout, state, openLogger({ file: undefined, process: "test" })));
  const keys = [...(ring?.dataKeys.keys ?? [])];
  expect(keys.length).toBeGreaterThanOrEqual(2);
  for (const [id, value] of keys) secrets.push({ name: `data key ${id}`, value });
  const credentials = readFileSync(join(dataDir, "credentials"), "utf8").trim();
  secret("HTTP credentials", credentials.split(":")[1]);
});

it("a PostgreSQL that is killed in a statement with a password, and processes of ours that are killed, abort or report", async () => {
  lookAtProcesses();
  await takeReports();
  const holder = await cluster.client();
  await holder.query("BEGIN");
  await holder.query(`ALTER ROLE app PASSWORD ${literal(secret("password that is undone"))}`);
  const other = await cluster.client("writer", { options: "-c borealis.on_failover=disconnect" });
  const { rows } = await other.query("SELECT pg_backend_pid() AS pid");
  const waiting = secret("password in a statement that a crash interrupts");
  const lost = other.query(`ALTER ROLE app PASSWORD ${literal(waiting)}`).catch(() => "lost");
  const seen = await cluster.client();
  const isWaiting = "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND wait_event_type = 'Lock'";
  await until(
    "it waits",
    async () => (await seen.query(isWaiting, [rows[0].pid])).rows.length === 1,
  );
  const pids = await cluster.pids();
  process.kill(rows[0].pid, "SIGABRT");
  process.kill(pids.get("az3-tail") ?? 0, "SIGABRT");
  process.kill(pids.get("keeper") ?? 0, "SIGABRT");
  process.kill(pids.get("proxy") ?? 0, "SIGKILL");
  await lost;
  for (const client of [holder, other, seen]) void client.end().catch(() => undefined);
  await cluster.untilEverybody();
  const log = readFileSync(join(dataDir, "log/instance-1.postgres"), "utf8");
  expect(log).toMatch(/was terminated by signal 6/);
});

it("an object store that does not take its keys", async () => {
  const url = s3.urlOf(bucket);
  expect((await cluster.cli("config", "objectStore.url", url)).code).toBe(0);
  await cluster.down();
  await cluster.up();
  now(cluster.output.replace(/(?:postgresql|http):\S+/g, ""), "what up printed, besides URLs");
  await cluster.query("CREATE TABLE t (a int)");
  await until("it is refused", async () => (await cluster.status()).volume.archive?.problem);
  lookAtProcesses();
  await takeReports();
});

/** What users store, as PostgreSQL has it: a subscription's password is a row of it, also of one that failed. */
const isContent = (path: string): boolean =>
  /^instances\/[^/]+\/data\/(?:base|global|pg_wal|pg_xact|pg_multixact)\//.test(path);

it("are nowhere to be found", async () => {
  await lookAtWords();
  const all = new SecretScanner(secrets);
  found.push(
    ...all.below(dataDir, (path) => isSecretFile(path) || isContent(path)),
    ...all.below(reports),
  );
  const verifier = new SecretScanner([{ name: "a verifier", value: "SCRAM-SHA-256$4096:" }]);
  found.push(...verifier.below(join(dataDir, "log")), ...verifier.below(reports));
  expect(new Set(found)).toEqual(new Set());
  expect(secrets.length).toBeGreaterThan(40);
  // It finds what is there.
  const files = ["password", "credentials", "users.json", "master.json", "server.key"];
  const isOther = (path: string): boolean => !files.includes(basename(path));
  const known = new Set(all.below(dataDir, isOther).map((one) => basename(one)));
  expect(known).toEqual(new Set(files));
});
