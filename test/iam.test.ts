/** IAM database login on a whole cluster: the command line's keys, AWS's own signers, a failover. */
import { execFile } from "node:child_process";
import { chmodSync, existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { Signer } from "@aws-sdk/rds-signer";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startScript, TestCluster, until } from "./helpers/cluster.ts";
import { documentIn } from "./helpers/json.ts";
import { findEngines } from "./helpers/stock-postgres.ts";

const run = promisify(execFile);

interface Key {
  userName: string;
  accessKeyId: string;
  secretAccessKey: string;
  dbUsers: string[] | null;
}

let cluster: TestCluster;
let key: Key;
/** Of everything that was sent as a password. */
const sent: string[] = [];

beforeAll(async () => {
  const args = ["--set", "sql.aurora=on", "--set", "iam.enabled=on"];
  cluster = await TestCluster.create({ readers: 2, args });
  await cluster.query(
    "CREATE ROLE app LOGIN PASSWORD 'app' IN ROLE rds_iam; CREATE ROLE plain LOGIN PASSWORD 'plain'",
  );
  key = await createKey("--user-name", "build");
});
afterAll(() => cluster.destroy());

async function iam(...args: string[]): Promise<unknown> {
  const { code, stdout, stderr } = await cluster.cli("iam", ...args, "--json");
  expect(code, stderr + stdout).toBe(0);
  return documentIn(stdout);
}

async function createKey(...args: string[]): Promise<Key> {
  return (await iam("create-access-key", ...args)) as Key;
}

function portOf(endpoint: "writer" | "reader"): number {
  return cluster.port + (endpoint === "writer" ? 0 : 1);
}

async function tokenOf(
  { accessKeyId, secretAccessKey }: Key,
  endpoint: "writer" | "reader" = "writer",
  username = "app",
): Promise<string> {
  const credentials = { accessKeyId, secretAccessKey };
  const where = { hostname: "127.0.0.1", port: portOf(endpoint), region: "us-east-1" };
  const token = await new Signer({ ...where, username, credentials }).getAuthToken();
  sent.push(token);
  return token;
}

/** With the cluster's own certificate checked. */
async function login(
  password: string,
  endpoint: "writer" | "reader" = "writer",
  user = "app",
): Promise<pg.Client> {
  const ca = readFileSync(join(cluster.dataDir, "control/server.crt"), "utf8");
  const client = new pg.Client({
    host: "127.0.0.1",
    port: portOf(endpoint),
    database: "postgres",
    user,
    password,
    ssl: { ca },
  });
  client.on("error", () => undefined);
  await client.connect();
  return client;
}

/** SQLSTATE and detail, or who was let in. */
async function outcomeOf(...args: Parameters<typeof login>): Promise<string> {
  let client: pg.Client;
  try {
    client = await login(...args);
  } catch (error) {
    const { code, detail } = error as { code?: string; detail?: string };
    return `${code}: ${detail}`;
  }
  try {
    return (await client.query("SELECT session_user AS who")).rows[0].who;
  } finally {
    await client.end();
  }
}

describe("IAM database login", () => {
  it("lets members in by tokens of the SDK, at the writer and at readers", async () => {
    for (const endpoint of ["writer", "reader"] as const)
      expect(await outcomeOf(await tokenOf(key, endpoint), endpoint)).toBe("app");
    // A token is for the cluster: as on Aurora any endpoint takes it.
    expect(await outcomeOf(await tokenOf(key, "writer"), "reader")).toBe("app");
    expect(await outcomeOf("app")).toMatch(/^28000: What was sent is no token/);
    expect(await outcomeOf("plain", "writer", "plain")).toBe("plain");
  });

  it("writes its own tokens, too", async () => {
    for (const endpoint of ["writer", "reader", "instance-2"]) {
      const made = await iam("generate-db-auth-token", "--username", "app", "--endpoint", endpoint);
      const { token } = made as { token: string };
      sent.push(token);
      expect(await outcomeOf(token)).toBe("app");
    }
  });

  it("is used from a shell as docs/iam.md says, by psql that checks the certificate", async (context) => {
    const [engine] = findEngines();
    if (!engine) return context.skip("psql is not here");
    const { dataDir, port } = cluster;
    const borealis = `"${process.execPath}" "${startScript}" iam`;
    const ca = join(dataDir, "control/server.crt");
    const where = `host=localhost port=${port} dbname=postgres user=app`;
    const { stdout } = await run("sh", [
      "-ec",
      `eval "$(${borealis} create-access-key --user-name shell --data-dir "${dataDir}")"
      echo "$AWS_ACCESS_KEY_ID"
      PGPASSWORD="$(${borealis} generate-db-auth-token --username app --user-name shell --data-dir "${dataDir}")"
      export PGPASSWORD
      "${engine.bin}/psql" "${where} sslmode=verify-full sslrootcert=${ca}" -Atc 'SELECT session_user'`,
    ]);
    expect(stdout).toMatch(/^BKIA[A-Z2-7]{16}\napp\n$/);
  });

  it("takes the AWS CLI's tokens", async (context) => {
    if (!(await hasAwsCli())) return context.skip("the AWS CLI (Debian's awscli) is not here");
    const { accessKeyId, secretAccessKey } = key;
    const { AWS_SESSION_TOKEN: _, ...env } = process.env;
    const args = ["rds", "generate-db-auth-token", "--hostname", "localhost", "--port"];
    const more = [String(cluster.port), "--username", "app", "--region", "us-east-1"];
    const { stdout } = await run("aws", [...args, ...more], {
      env: { ...env, AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey },
    });
    const token = stdout.trim();
    sent.push(token);
    expect(await outcomeOf(token)).toBe("app");
    expect(await outcomeOf(token, "writer", "plain")).toMatch(/^28P01/);
  });

  it("follows what is granted and revoked", async () => {
    await cluster.query("CREATE ROLE team; CREATE ROLE late LOGIN PASSWORD 'late' IN ROLE team");
    expect(await outcomeOf("late", "writer", "late")).toBe("late");
    await cluster.query("GRANT rds_iam TO team");
    expect(await outcomeOf("late", "writer", "late")).toMatch(/^28000/);
    expect(await outcomeOf(await tokenOf(key, "writer", "late"), "writer", "late")).toBe("late");
    await cluster.query("REVOKE rds_iam FROM team");
    expect(await outcomeOf("late", "writer", "late")).toBe("late");
  });

  it("goes by policies, and by keys as they are made and deleted", async () => {
    const narrow = await createKey("--user-name", "narrow", "--db-user", "report_*,late");
    expect(narrow.dbUsers).toEqual(["report_*", "late"]);
    expect(await outcomeOf(await tokenOf(narrow))).toMatch(/policy of IAM user narrow/);
    await iam("put-user-policy", "narrow", "--db-user", "app");
    expect(await outcomeOf(await tokenOf(narrow))).toBe("app");
    await iam("delete-user-policy", "narrow");
    const token = await tokenOf(narrow);
    const client = await login(token);
    await iam("delete-access-key", narrow.accessKeyId);
    expect(await outcomeOf(token)).toMatch(/28000: There is no access key BKIA/);
    expect((await client.query("SELECT 1 AS one")).rows).toEqual([{ one: 1 }]);
    await client.end();
  });

  it("keeps all keys that are made at the same time, and shows no secret of them", async () => {
    const names = ["k1", "k2", "k3", "k4"];
    const keys = await Promise.all(names.map((name) => createKey("--user-name", name)));
    const third = ["iam", "create-access-key", "--user-name", "k1"];
    await cluster.cli(...third);
    const refused = await cluster.cli(...third);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/has 2 access keys, and no user has more/);
    const { stdout } = await cluster.cli("iam", "list-access-keys");
    for (const { accessKeyId, secretAccessKey } of keys) {
      expect(stdout).toContain(accessKeyId);
      expect(stdout).not.toContain(secretAccessKey);
    }
    expect(JSON.stringify(await iam("list-access-keys"))).not.toContain("secret");
    for (const name of names) await iam("delete-user", name);
    const missing = await cluster.cli("iam", "delete-user", "k1");
    expect(missing.stderr).toMatch(/there is no IAM user k1/);
  });

  it("carries a session over a failover, though its key and its token are gone", async () => {
    const brief = await createKey("--user-name", "brief");
    const token = await tokenOf(brief);
    const sessions = [await login(token, "writer"), await login(token, "reader")];
    for (const session of sessions) await session.query("SET application_name = 'kept'");
    await iam("delete-access-key", brief.accessKeyId);
    const { writer } = (await cluster.status()).cluster;
    const pid = (await cluster.pids()).get(`postgres:${writer}`) ?? 0;
    process.kill(pid, "SIGKILL");
    await until("another instance writes", async () => {
      const { cluster: of } = await cluster.status();
      return of.state === "available" && of.writer !== writer;
    });
    for (const session of sessions) {
      const { rows } = await session.query(
        "SELECT session_user AS who, current_setting('application_name') AS name",
      );
      expect(rows).toEqual([{ who: "app", name: "kept" }]);
      await session.end();
    }
    expect(await outcomeOf(token)).toMatch(/^28000/);
    for (const endpoint of ["writer", "reader"] as const)
      expect(await outcomeOf(await tokenOf(key, endpoint), endpoint)).toBe("app");
  });

  it("opens the admin database to the master user, if a superuser has it in rds_iam", async () => {
    await cluster.query("GRANT rds_iam TO postgres");
    try {
      const token = await tokenOf(key, "writer", "postgres");
      const ca = readFileSync(join(cluster.dataDir, "control/server.crt"), "utf8");
      const at = { host: "127.0.0.1", port: cluster.port, ssl: { ca } };
      const client = new pg.Client({
        ...at,
        user: "postgres",
        password: token,
        database: "borealis",
      });
      await client.connect();
      expect((await client.query("SHOW CLUSTER")).rows).toHaveLength(1);
      // Whose key it was is told of what is asked for there.
      await expect(client.query("DROP SNAPSHOT nosuch")).rejects.toThrow();
      const told = "postgres (by a token of build) asked for DROP SNAPSHOT 'nosuch'";
      await until("it is an event", async () =>
        (await client.query("SHOW EVENTS")).rows.some((row) => String(row.message).includes(told)),
      );
      await client.end();
      await until("it is in the audit", () => {
        const text = readFileSync(join(cluster.dataDir, "log/audit.log"), "utf8");
        const line = text.split("\n").find((one) => one.includes("DROP SNAPSHOT"));
        return line?.includes(`"principal":"build","accessKeyId":"${key.accessKeyId}"`) === true;
      });
    } finally {
      const token = await tokenOf(key, "writer", "postgres");
      const master = await login(token, "writer", "postgres");
      await master.query("REVOKE rds_iam FROM postgres");
      await master.end();
    }
    expect((await cluster.query("SELECT 1 AS one")).rows).toEqual([{ one: 1 }]);
  });

  it("lets nobody in by a file that others may read", async () => {
    const file = join(cluster.dataDir, "control/iam/users.json");
    expect(statSync(file).mode & 0o777).toBe(0o600);
    chmodSync(file, 0o644);
    expect(await outcomeOf(await tokenOf(key))).toMatch(/^28000: The access keys cannot be read/);
    chmodSync(file, 0o600);
    expect(await outcomeOf(await tokenOf(key))).toBe("app");
  });

  it("leaves no token and no secret in any log, status, or event", async () => {
    const logs = readdirSync(join(cluster.dataDir, "log")).map((name) => join("log", name));
    const texts = [...logs, "control/events.jsonl", "control/state.json"]
      .filter((name) => existsSync(join(cluster.dataDir, name)))
      .map((name) => readFileSync(join(cluster.dataDir, name), "utf8"));
    texts.push(JSON.stringify(await cluster.status()), (await cluster.cli("events")).stdout);
    const all = texts.join("\n");
    expect(all).toContain("login.byToken");
    expect(all).toContain("login.refused");
    expect(sent.length).toBeGreaterThan(10);
    for (const token of sent) expect(all).not.toContain(token.slice(token.indexOf("Signature=")));
    expect(all).not.toContain("X-Amz-Signature=");
    expect(all).not.toContain(key.secretAccessKey);
  });

  it("is off unless it is set: then members log in by password", async () => {
    await cluster.down();
    const off = { dataDir: cluster.dataDir, port: cluster.port, args: ["--set", "sql.aurora=on"] };
    const again = await TestCluster.create(off);
    try {
      expect(await outcomeOf("app")).toBe("app");
      expect(await outcomeOf(await tokenOf(key))).toMatch(/^28P01/);
    } finally {
      await again.down();
    }
  });
});

/** Debian's, brought where that is possible, or whichever is there. */
async function hasAwsCli(): Promise<boolean> {
  const works = (): Promise<boolean> =>
    run("aws", ["--version"]).then(
      () => true,
      () => false,
    );
  if (await works()) return true;
  const mayInstall = process.env["BOREALIS_TEST_INSTALL"] !== "off";
  if (!mayInstall || process.getuid?.() !== 0 || !existsSync("/usr/bin/apt-get")) return false;
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const args = [
    "-y",
    "-o",
    "DPkg::Lock::Timeout=60",
    "install",
    "--no-install-recommends",
    "awscli",
  ];
  await run("apt-get", args, { env, timeout: 240_000 }).catch(() => undefined);
  return works();
}
