/** The cluster's commands as SQL in the database `borealis`, on a real cluster: what they do, and that they say what the CLI says. */
import { spawn, spawnSync } from "node:child_process";
import { closeSync, openSync, readdirSync, readFileSync, readSync, writeSync } from "node:fs";
import { basename, join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fileHeaderBytes, frameHeaderBytes } from "../src/storage-node/frame.ts";
import { TestCluster, until } from "./helpers/cluster.ts";
import { documentIn } from "./helpers/json.ts";

/** A bit of the first frame in each file of a node's log; gives how many those are. */
function flipLog(dir: string): number {
  let count = 0;
  for (const entry of readdirSync(dir, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || basename(entry.parentPath) !== "log") continue;
    const file = openSync(join(entry.parentPath, entry.name), "r+");
    const bytes = Buffer.alloc(1);
    const header = Buffer.alloc(frameHeaderBytes);
    const at = fileHeaderBytes + frameHeaderBytes;
    readSync(file, header, 0, header.length, fileHeaderBytes);
    // Not in one that is kept ready.
    if (header.some((byte) => byte !== 0) && readSync(file, bytes, 0, 1, at) === 1) {
      writeSync(file, Buffer.of(bytes.readUInt8(0) ^ 1), 0, 1, at);
      count++;
    }
    closeSync(file);
  }
  return count;
}

const hasPsql = spawnSync("psql", ["--version"]).status === 0;

describe("commands in the admin database", () => {
  let cluster: TestCluster;
  let admin: pg.Client;
  beforeAll(async () => {
    cluster = await TestCluster.create({ readers: 1 });
    admin = await enter();
  });
  afterAll(async () => {
    await admin.end().catch(() => undefined);
    await cluster.destroy();
  });

  function enter(): Promise<pg.Client> {
    return cluster.client("writer", { connectionString: cluster.url("writer", "borealis") });
  }

  /** What a command says, a line a row. */
  async function said(text: string, values?: readonly unknown[]): Promise<string[]> {
    const { rows } = await admin.query<{ result: string }>(text, values && [...values]);
    return rows.map(({ result }) => result);
  }

  interface Refusal {
    readonly code?: string | undefined;
    readonly message: string;
    readonly hint?: string | undefined;
  }

  async function refused(text: string, values: unknown[] = []): Promise<Refusal> {
    return admin.query(text, values).then(
      () => ({ message: "nothing" }),
      ({ code, message, hint }: pg.DatabaseError) => ({ code, message, hint }),
    );
  }

  function psql(...commands: string[]): Promise<{ stdout: string; stderr: string }> {
    const url = cluster.url("writer", "borealis");
    const child = spawn("psql", ["-XAt", url, ...commands.flatMap((one) => ["-c", one])]);
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk) => (stdout += String(chunk)));
    child.stderr.on("data", (chunk) => (stderr += String(chunk)));
    return new Promise((resolve) => child.on("close", () => resolve({ stdout, stderr })));
  }

  async function idOf(role: "writer" | "reader"): Promise<string> {
    const { instances } = await cluster.status();
    return instances.find((one) => one.role === role)?.id ?? "";
  }

  async function namesOf(table: "snapshots" | "instances" | "endpoints"): Promise<string[]> {
    const { rows } = await admin.query<{ id: string }>(`SELECT id FROM ${table}`);
    return rows.map(({ id }) => id);
  }

  it("fails over, and back, while the asking connection goes on", async () => {
    const { epoch } = (await cluster.status()).cluster;
    const [first, second] = await said("FAILOVER TO $1", ["instance-2"]);
    expect(first).toMatch(
      /^instance-2 is the writer instead of instance-1: epoch \d+, timeline \d+$/,
    );
    expect(second).toMatch(/^writes were held for \d+\.\d\d s$/);
    const { cluster: now } = await cluster.status();
    expect(now.writer).toBe("instance-2");
    expect(now.epoch).toBeGreaterThan(epoch);
    await cluster.untilEverybody();
    expect((await said("failover to instance-1"))[0]).toMatch(/^instance-1 is the writer/);
    await cluster.untilEverybody();
    expect((await said("REBOOT INSTANCE 'instance-2'"))[0]).toMatch(
      /^instance-2 takes sessions again \(\d+\.\d s\)$/,
    );
    expect(await said("ALTER INSTANCE instance-2 TIER 0")).toEqual(["instance-2 has tier 0"]);
    const { rows } = await admin.query("SELECT tier FROM instances WHERE id = 'instance-2'");
    expect(rows).toEqual([{ tier: 0 }]);
  });

  it("goes back to a moment, first in words, then in deed", async () => {
    await cluster.query("CREATE TABLE deeds (n int)");
    const lsn = (await cluster.query("SELECT pg_current_wal_insert_lsn() AS lsn")).rows[0].lsn;
    for (let n = 0; n < 3; n++) await cluster.query(`INSERT INTO deeds VALUES (${n})`);
    const lines = await said(`BACKTRACK TO '${lsn}' DRY RUN`);
    const printed = await cluster.cli("backtrack", "--to", lsn, "--dry-run");
    const steady = ([moment, undone, window]: readonly string[]): unknown[] => [
      moment,
      // PostgreSQL's own autovacuum commits as well, and may do so between the two.
      undone?.replace(/\d+ transactions.*/, ""),
      // Up to now, which is another one.
      window?.replace(/ to .*/, ""),
    ];
    const own = printed.stdout.trim().split("\n").slice(-3);
    expect(steady(lines)).toEqual(steady(own));
    expect(lines[1]).toMatch(/^undoes: [3-9] transactions/);
    expect((await cluster.query("SELECT count(*)::int AS n FROM deeds")).rows).toEqual([{ n: 3 }]);
    const done = await said("BACKTRACK TO $1", [lsn]);
    expect(done[0]).toMatch(/^went back to /);
    expect(done[1]).toMatch(/^undone: [3-9] transactions/);
    expect(done.at(-1)).toMatch(/^until .*, borealis backtrack --to \S+ returns/);
    expect((await cluster.query("SELECT count(*)::int AS n FROM deeds")).rows).toEqual([{ n: 0 }]);
    await cluster.untilEverybody();
  });

  it.skipIf(!hasPsql)("takes and drops snapshots in psql (skipped without it)", async () => {
    const taken = await psql("CREATE SNAPSHOT s1", "select kind from snapshots where id = 's1'");
    expect(taken.stdout).toMatch(
      /^snapshot s1 is taken: [\d.]+ \w+ of data in [\d.]+ \w+, up to \S+ \([\d.]+ s\)\nmanual\n$/,
    );
    expect(taken.stderr.replaceAll(/^NOTICE: {2}.*\n/gm, "")).toBe("");
    const again = await psql("CREATE SNAPSHOT s1");
    expect(again.stderr).toMatch(/^ERROR: .*s1/m);
    expect((await psql("DROP SNAPSHOT 's1'")).stdout).toBe("snapshot s1 is deleted\n");
    expect(await namesOf("snapshots")).not.toContain("s1");
    const among = await psql("SELECT 1; CREATE SNAPSHOT s2");
    expect(among.stderr).toContain("CREATE SNAPSHOT cannot run inside a transaction block");
    expect(await namesOf("snapshots")).not.toContain("s2");
  });

  it("adds an instance and an endpoint that leads to it, and removes both, and nobody waits for that", async () => {
    const reader = await idOf("reader");
    const other = await enter();
    let isDone = false;
    const adding = said("ADD INSTANCE 'extra' TIER 3 AZ 'az3'").finally(() => {
      isDone = true;
    });
    let turns = 0;
    for (; !isDone; turns++) await other.query("SELECT count(*) FROM instances");
    expect(turns).toBeGreaterThan(1);
    await other.end();
    const [line] = await adding;
    expect(line).toMatch(/^extra takes sessions at 127\.0\.0\.1:\d+ \(\d+\.\d s\)$/);
    const row = (await cluster.status()).instances.find(({ id }) => id === "extra");
    expect(row).toMatchObject({ az: "az3", tier: 3, state: "available" });
    const created = await said(`CREATE ENDPOINT reports TYPE reader STATIC (extra, '${reader}')`);
    expect(created).toEqual([
      expect.stringMatching(
        new RegExp(
          String.raw`^reports listens at 127\.0\.0\.1:\d+; new sessions go to ${reader}, extra$`,
        ),
      ),
    ]);
    const port = created[0]?.match(/:(\d+);/)?.[1] ?? "";
    const connectionString = cluster.url().replace(`:${cluster.port}/`, `:${port}/`);
    const there = await cluster.client("writer", { connectionString });
    expect((await there.query("SELECT pg_is_in_recovery() AS is")).rows).toEqual([{ is: true }]);
    await there.end();
    expect(await said("ALTER ENDPOINT reports EXCLUDE ($1)", [reader])).toEqual([
      "new sessions of reports go to extra",
    ]);
    expect(await said("DROP ENDPOINT reports")).toEqual(["reports is deleted"]);
    expect(await namesOf("endpoints")).not.toContain("reports");
    expect(await said("REMOVE INSTANCE extra")).toEqual(["extra is removed"]);
    expect(await namesOf("instances")).not.toContain("extra");
  });

  it("stops, starts, replaces and scrubs storage nodes", async () => {
    expect(await said("STOP STORAGE az1-tail")).toEqual(["az1-tail stopped"]);
    const { rows } = await admin.query("SELECT state FROM storage WHERE id = 'az1-tail'");
    expect(rows).toEqual([{ state: "stopped" }]);
    expect(await said("START STORAGE 'az1-tail'")).toEqual(["az1-tail started"]);
    expect((await said("REPLACE STORAGE az2-tail")).at(-1)).toMatch(
      /^az2-tail: \S+ is replaced by \S+ \([\d.]+ s\)$/,
    );
    const lines = await until("all is well", () =>
      said("SCRUB STORAGE az1-full").catch(() => undefined),
    );
    expect(lines[0]).toMatch(/^ {2}STORAGE +CHECKED BYTES +COMPARED/);
    expect(lines).toHaveLength(2);
    expect(lines[1]).toMatch(/^ {2}az1-full +\d+ .*-$/);
  });

  const healings = async (): Promise<{ message: string }[]> => {
    const sql =
      "SELECT message FROM events WHERE source_type = 'storage' AND source = 'az3-full' AND message LIKE '%whole again%'";
    return (await admin.query<{ message: string }>(sql)).rows;
  };

  it("scrubs log that is damaged, and its node makes it whole", async () => {
    expect(await healings()).toEqual([]);
    expect(flipLog(join(cluster.dataDir, "storage", "az3-full"))).toBeGreaterThan(0);
    await until("all is well again", () => said("SCRUB STORAGE az3-full").catch(() => undefined));
  });

  it("refuses with the command line's code, message and hint", async () => {
    const writer = await idOf("writer");
    const same: [string, ...string[]][] = [
      ["FAILOVER TO 'nobody'", "failover", "--target", "nobody"],
      [`FAILOVER TO ${writer}`, "failover", "--target", writer],
      ["CREATE SNAPSHOT 'No Name'", "snapshot", "create", "No Name"],
      ["DROP SNAPSHOT nothing", "snapshot", "delete", "nothing"],
      ["ADD INSTANCE instance-2", "instance", "add", "--id", "instance-2"],
      ["ADD INSTANCE AZ 'moon'", "instance", "add", "--az", "moon"],
      [`REMOVE INSTANCE '${writer}'`, "instance", "remove", writer],
      ["REBOOT INSTANCE nobody", "instance", "reboot", "nobody"],
      ["ALTER INSTANCE nobody TIER 1", "instance", "modify", "nobody", "--tier", "1"],
      ["CREATE ENDPOINT writer TYPE any", "endpoint", "create", "writer", "--type", "any"],
      ["ALTER ENDPOINT nothing TYPE any", "endpoint", "modify", "nothing", "--type", "any"],
      ["DROP ENDPOINT nothing", "endpoint", "delete", "nothing"],
      ["STOP STORAGE az9-full", "storage", "stop", "az9-full"],
      ["REPLACE STORAGE az9-full", "storage", "replace", "az9-full"],
      ["SCRUB STORAGE az9-full", "storage", "scrub", "az9-full"],
      ["BACKTRACK TO '0/1'", "backtrack", "--to", "0/1"],
    ];
    // A window ends now, which is another one.
    const steady = ({ message, ...rest }: Refusal): unknown => ({
      ...rest,
      message: message.replace(/ to \S+Z$/, ""),
    });
    const told: unknown[] = [];
    const printed: unknown[] = [];
    for (const [sql, ...args] of same) {
      told.push([sql, steady(await refused(sql))]);
      const { stdout } = await cluster.cli(...args, "--json");
      const { error } = documentIn(stdout) as { error?: Refusal };
      printed.push([sql, error && steady({ ...error, hint: error.hint ?? undefined })]);
    }
    expect(told).toEqual(printed);
    expect(await refused("BACKTRACK TO 'yesterday'")).toMatchObject({
      code: "22023",
      message: 'TO: "yesterday" is neither a time nor a position of the log',
    });
    expect(await refused("ADD INSTANCE TIER $1", [16])).toMatchObject({ code: "22023" });
    expect(await refused("FAILOVER TO $1", [null])).toMatchObject({ code: "22023" });
    expect(await refused(`DROP SNAPSHOT '${"x".repeat(300)}'`)).toMatchObject({ code: "54000" });
    await admin.query("BEGIN");
    expect(await refused("FAILOVER")).toMatchObject({ code: "25001" });
    await admin.query("ROLLBACK");
    expect(await idOf("writer")).toBe(writer);
  });

  it("does what was asked for, also when who asked has gone, and says who asked", async () => {
    const leaving = await enter();
    leaving.on("error", () => undefined);
    const asked = leaving.query("ADD INSTANCE late").catch(() => "gone");
    await until("it is being added", async () => (await namesOf("instances")).includes("late"));
    leaving.connection.stream.destroy();
    expect(await asked).toBe("gone");
    await cluster.untilEverybody();
    expect(await namesOf("instances")).toContain("late");
    const events = await admin.query<{ message: string }>(
      "SELECT message FROM events WHERE category = 'notification'",
    );
    const messages = events.rows.map(({ message }) => message);
    expect(messages).toContain(
      "postgres asked for FAILOVER TO 'instance-2' in the admin database.",
    );
    expect(messages).toContain("postgres asked for ADD INSTANCE 'late' in the admin database.");
    const log = readFileSync(`${cluster.dataDir}/log/proxy.log`, "utf8")
      .split("\n")
      .filter((line) => line.includes('"admin.command'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const about = (event: string): unknown[] =>
      log.filter((line) => line["event"] === event).map((line) => line["command"]);
    expect(about("admin.command")).toContain("ADD INSTANCE 'late'");
    expect(about("admin.commandLeft")).toEqual(["ADD INSTANCE 'late'"]);
    expect(about("admin.commandDone")).toContain("REMOVE INSTANCE 'extra'");
    expect(await said("REMOVE INSTANCE late")).toEqual(["late is removed"]);
  });

  // It is told when healing has come to rest for a while.
  it("tells once of what was made whole", async () => {
    const rows = await until("it is told", async () => {
      const found = await healings();
      return found.length > 0 && found;
    });
    expect(rows).toEqual([
      {
        message: expect.stringMatching(
          /^The storage node has made (?:a damaged part|\d+ damaged parts) of its log whole again\.$/,
        ),
      },
    ]);
  });
});
