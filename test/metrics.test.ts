/** GET /metrics on a real cluster: what is there, and that what happens to a cluster shows up in it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestCluster, until } from "./helpers/cluster.ts";
import { fallen, type ReadFamily, readExposition, valueOf } from "./helpers/exposition.ts";
import { misusesIn, queriesIn } from "./helpers/promql.ts";

type Families = Map<string, ReadFamily>;

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.create({ readers: 2 });
  await cluster.query("CREATE TABLE t (a int)");
});
afterAll(() => cluster.destroy());

const url = (path: string): string => `http://127.0.0.1:${cluster.port + 3000}${path}`;
const credentials = (): string => readFileSync(join(cluster.dataDir, "credentials"), "utf8").trim();

async function scrapeText(): Promise<string> {
  const authorization = `Basic ${Buffer.from(credentials()).toString("base64")}`;
  const response = await fetch(url("/metrics"), { headers: { authorization } });
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  return response.text();
}

/** Every family that was ever there, with all its samples, for what is documented of them. */
const ever: Families = new Map();
let last: Families = new Map();
/** How often each process had been started again by the last scrape. */
const known = new Map<string, number>();

async function scrape(): Promise<Families> {
  const now = readExposition(await scrapeText());
  // Who counts may have been started again: then from zero. Nothing else makes a count smaller, no failover does.
  const began = (process: string): boolean => {
    const count = valueOf(now, restarts, { process });
    return count === undefined || count > (known.get(process) ?? 0);
  };
  const beganAnew = ({ name, labels }: { name: string; labels: Record<string, string> }): boolean =>
    began(
      labels["instance"] ??
        labels["node"] ??
        (/_failovers?_/.test(name) ? "control-plane" : "proxy"),
    );
  expect(fallen(last, now).filter((sample) => !beganAnew(sample))).toEqual([]);
  last = now;
  for (const { labels, value } of now.get(restarts)?.samples ?? [])
    known.set(labels["process"] ?? "", value);
  for (const [name, family] of now)
    ever.set(name, { ...family, samples: [...(ever.get(name)?.samples ?? []), ...family.samples] });
  return now;
}

/** What proxies say is a second old. */
function untilShown(what: string, check: (now: Families) => boolean): Promise<Families> {
  return until(`metrics show ${what}`, async () => {
    const now = await scrape();
    return check(now) && now;
  });
}

const restarts = "borealis_process_restarts_total";
type Name = [string, Record<string, string>?];
const by = (now: Families, before: Families, ...[name, labels]: Name): number =>
  (valueOf(now, name, labels) ?? 0) - (valueOf(before, name, labels) ?? 0);

/** In a transaction that has written, so that it has something to lose. */
async function inTransaction(setting?: string): Promise<pg.Client> {
  const client = await cluster.client();
  if (setting !== undefined) await client.query(setting);
  await client.query("BEGIN");
  await client.query("INSERT INTO t VALUES (1)");
  return client;
}

const documented = readFileSync("docs/operations.md", "utf8");
const kinds = {
  gauge: `info cluster_writable cluster_state volume_epoch volume_vdl_bytes instance_available instance_state
    reader_replay_lag_seconds reader_replay_lag_bytes storage_up storage_healthy storage_state storage_scl_lag_bytes
    storage_log_bytes volume_bytes volume_log_bytes volume_extent_bytes volume_shared_bytes volume_damaged volume_failing snapshots
    snapshot_newest_timestamp_seconds archive_lag_bytes archive_failing volume_restorable_from_timestamp_seconds
    volume_restorable_to_timestamp_seconds sessions connections_unauthenticated sessions_held process_up`,
  counter: `commits_total commit_log_bytes_total failovers_failed_total connections_total logins_refused_total logins_slowed_total
    audit_records_lost_total session_losses_total
    pool_timeouts_total pool_connections_opened_total process_restarts_total`,
  histogram: `commit_seconds commit_part_seconds commit_durable_seconds writer_start_phase_seconds storage_append_seconds failover_held_seconds
    failover_phase_seconds session_hold_seconds pool_wait_seconds`,
};

describe("GET /metrics", () => {
  it("needs the credentials", async () => {
    const responses = await Promise.all([
      fetch(url("/metrics")),
      fetch(url("/metrics"), { headers: { authorization: "Basic bm9ib2R5Om5vdGhpbmc=" } }),
    ]);
    expect(responses.map(({ status }) => status)).toEqual([401, 401]);
    for (const response of responses) expect(await response.text()).not.toContain("borealis_");
  });

  it("tells all that docs/operations.md promises, each with its type and in words", async () => {
    const wanted = Object.entries(kinds).flatMap(([kind, names]) =>
      names.split(/\s+/).map((name) => [`borealis_${name}`, kind] as const),
    );
    const client = await cluster.client();
    // The keeper counts extents, and the archive tells its lag, a while after the start.
    const now = await untilShown(
      "everything, and one session",
      (families) =>
        wanted.every(([name]) => families.has(name)) &&
        valueOf(families, "borealis_sessions", { endpoint: "writer", state: "idle" }) === 1,
    );
    for (const [name, kind] of wanted) expect([name, now.get(name)?.kind]).toEqual([name, kind]);
    for (const { help } of now.values()) expect(help).toMatch(/^[A-Z1].{9,}\.$/);
    const ageSeconds =
      Date.now() / 1000 - (valueOf(now, "borealis_snapshot_newest_timestamp_seconds") ?? 0);
    expect(ageSeconds).toBeGreaterThan(0);
    expect(ageSeconds).toBeLessThan(3_600);
    for (const name of now.keys()) expect(documented).toContain(`\`${name}\``);
    await client.end();
  });

  it("counts commits where they pass: at the endpoint, at the driver, and at the nodes", async () => {
    const client = await cluster.client();
    const instance = (await cluster.status()).cluster.writer ?? "";
    const before = await scrape();
    for (let index = 0; index < 5; index++) {
      await client.query("INSERT INTO t VALUES (1)");
      await client.query("BEGIN");
      await client.query("INSERT INTO t VALUES (1)");
      await client.query("COMMIT");
      // It has no id: nobody waits for the log.
      await client.query("BEGIN");
      await client.query("COMMIT");
    }
    const now = await untilShown(
      "them",
      (families) =>
        by(families, before, "borealis_commit_seconds_count", { part: "server" }) > 9 &&
        // The agent tells it twice a second.
        by(families, before, "borealis_volume_vdl_bytes") > 0,
    );
    const moved = (name: string, labels = {}): number =>
      by(now, before, `borealis_${name}`, labels);
    for (const part of ["server", "gate"]) expect(moved("commit_seconds_count", { part })).toBe(10);
    // PostgreSQL may have work of its own.
    const commits = moved("commits_total", { instance });
    expect(commits).toBeGreaterThanOrEqual(10);
    for (const part of ["postgresql", "driver", "nodes"])
      expect(moved("commit_part_seconds_count", { instance, part }), part).toBe(commits);
    expect(moved("commit_durable_seconds_count", { instance })).toBe(commits);
    expect(moved("commit_log_bytes_total", { instance })).toBeGreaterThan(0);
    const sum = (part: string): number => moved("commit_part_seconds_sum", { instance, part });
    expect(sum("driver") + sum("nodes")).toBeCloseTo(
      moved("commit_durable_seconds_sum", { instance }),
      9,
    );
    // Two clocks are compared for it: an hour would be a time zone, or a unit.
    expect(sum("postgresql")).toBeGreaterThan(0);
    expect(sum("postgresql")).toBeLessThan(600);
    const nodes = ["az1-full", "az1-tail", "az2-full", "az2-tail", "az3-full", "az3-tail"];
    const appended = nodes.filter((node) => moved("storage_append_seconds_count", { node }) > 0);
    expect(appended.length).toBeGreaterThanOrEqual(4);
    await client.end();
  });

  it("shows a storage node that is stopped, and one that was killed", async () => {
    const labels = { node: "az3-tail" };
    await cluster.cli("storage", "stop", "az3-tail");
    const stopped = await scrape();
    expect(valueOf(stopped, "borealis_storage_up", labels)).toBe(0);
    expect(valueOf(stopped, "borealis_storage_state", { ...labels, state: "stopped" })).toBe(1);
    expect(valueOf(stopped, "borealis_process_up", { process: "az3-tail" })).toBeUndefined();
    expect(valueOf(stopped, "borealis_cluster_writable")).toBe(1);
    await cluster.cli("storage", "start", "az3-tail");
    const before = await untilShown(
      "that it is back",
      (now) => valueOf(now, "borealis_storage_up", labels) === 1,
    );
    process.kill((await cluster.pids()).get("az3-tail") ?? 0, "SIGKILL");
    await untilShown("its restart", (now) => {
      const isBack = valueOf(now, "borealis_storage_up", labels) === 1;
      return isBack && by(now, before, restarts, { process: "az3-tail" }) === 1;
    });
  });

  it("counts a switchover, a transaction that was replayed, and one that was refused", async () => {
    const replayed = await inTransaction();
    const refused = await inTransaction("SET borealis.replay = off");
    const before = await scrape();
    const { code } = await cluster.cli("failover", "--target", "instance-2");
    expect(code).toBe(0);
    await replayed.query("COMMIT");
    await expect(refused.query("SELECT 1")).rejects.toMatchObject({ code: "40001" });
    await refused.query("ROLLBACK");
    const now = await untilShown(
      "both",
      (families) =>
        by(families, before, "borealis_session_losses_total", { outcome: "replayed" }) === 1 &&
        by(families, before, "borealis_session_losses_total", { outcome: "refused" }) === 1,
    );
    const moved = (...name: Name): number => by(now, before, ...name);
    expect(moved("borealis_session_errors_total", { sqlstate: "40001" })).toBe(1);
    expect(moved("borealis_session_losses_total", { outcome: "unknown" })).toBe(0);
    expect(moved("borealis_session_hold_seconds_count")).toBeGreaterThanOrEqual(2);
    expect(valueOf(now, "borealis_sessions_held")).toBe(0);
    expect(moved("borealis_failover_held_seconds_count", { kind: "switchover" })).toBe(1);
    expect(moved("borealis_failover_held_seconds_count", { kind: "failover" })).toBe(0);
    for (const phase of ["preparation", "release", "succession"])
      expect(
        moved("borealis_failover_phase_seconds_count", { kind: "switchover", phase }),
        phase,
      ).toBe(1);
    for (const phase of ["claim", "recovery", "attachment"]) {
      const labels = { instance: "instance-2", phase };
      expect(moved("borealis_writer_start_phase_seconds_count", labels), phase).toBe(1);
    }
    expect(moved("borealis_volume_epoch")).toBe(1);
    // The old writer goes on telling what it had counted.
    const old = { instance: "instance-1" };
    expect(valueOf(now, "borealis_commits_total", old)).toBeGreaterThanOrEqual(
      valueOf(before, "borealis_commits_total", old) ?? Number.NaN,
    );
    const state = { instance: "instance-2", role: "writer" };
    expect(valueOf(now, "borealis_instance_state", state)).toBe(1);
    await Promise.all([replayed.end(), refused.end()]);
    await cluster.untilEverybody();
  });

  it("counts a writer's PostgreSQL that was killed", async () => {
    const client = await inTransaction();
    const before = await scrape();
    process.kill((await cluster.pids()).get("postgres:instance-2") ?? 0, "SIGKILL");
    // Its backends may outlive it by a moment: nothing is sent to one of those.
    const now = await untilShown(
      "its failover, and the transaction that was open",
      (families) =>
        by(families, before, "borealis_failover_held_seconds_count", { kind: "failover" }) === 1 &&
        by(families, before, "borealis_session_losses_total", { outcome: "replayed" }) === 1,
    );
    for (const phase of ["release", "succession"])
      expect(
        by(now, before, "borealis_failover_phase_seconds_count", { kind: "failover", phase }),
        phase,
      ).toBe(1);
    await client.query("COMMIT");
    await client.end();
    await cluster.untilEverybody();
  });

  it("answers to queries as docs/operations.md has them", async () => {
    await cluster.query("SELECT aurora_inject_disk_congestion(1, 0, false, 5, 1, 2)");
    await untilShown("the fault", (now) => valueOf(now, "borealis_fault_injected") === 1);
    const queries = queriesIn(documented);
    expect(queries.length).toBeGreaterThan(30);
    expect(queries.flatMap((query) => misusesIn(query, ever))).toEqual([]);
  });

  it("goes on counting sessions where it was when the control plane is started again", async () => {
    const replayed: Name = ["borealis_session_losses_total", { outcome: "replayed" }];
    const before = await scrape();
    expect(valueOf(before, ...replayed)).toBeGreaterThan(0);
    process.kill((await cluster.pids()).get("control-plane") ?? 0, "SIGKILL");
    const now = await untilShown("sessions again", (families) =>
      families.has("borealis_session_losses_total"),
    );
    expect(valueOf(now, ...replayed)).toBe(valueOf(before, ...replayed));
    expect(by(now, before, restarts, { process: "control-plane" })).toBe(1);
  });

  it("holds no password, and no word of a user", async () => {
    const odd = 'zz"\\q';
    const client = await cluster.client("writer", { application_name: odd });
    await client.query(`CREATE ROLE "${odd.replace('"', '""')}"`);
    await client.query("BEGIN");
    await untilShown(
      "it",
      (now) =>
        valueOf(now, "borealis_sessions", { endpoint: "writer", state: "in transaction" }) === 1,
    );
    const text = await scrapeText();
    for (const secret of [cluster.password, ...credentials().split(":"), "zz", "postgresql://"])
      expect(text).not.toContain(secret);
    await client.query("ROLLBACK");
    await client.end();
  });
});
