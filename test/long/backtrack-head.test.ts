/** Log is kept from the start of the oldest snapshot's segment on, and a snapshot leads nowhere before its own end. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findLsn, parseLsn, segmentStart } from "../../src/base/lsn.ts";
import { count } from "../helpers/clones.ts";
import { type CliResult, TestCluster, until } from "../helpers/cluster.ts";
import { askControl, statusNow } from "../helpers/control.ts";
import { documentIn } from "../helpers/json.ts";
import { logged } from "../helpers/kills.ts";

let cluster: TestCluster;
beforeAll(async () => {
  // Whole log files go soon, no snapshot stays for the sake of the past, and nobody but the writer can carry a backtrack out.
  cluster = await TestCluster.create({
    readers: 0,
    args: [
      "--set=storage.segmentBytes=2097152",
      "--set=retention.days=0",
      "--set=snapshot.rateMaxBytes=16777216",
    ],
  });
  await cluster.query("CREATE TABLE t (n int, at timestamptz DEFAULT clock_timestamp())");
});
afterAll(() => cluster.destroy());

async function insert(rows: number): Promise<void> {
  for (let n = 0; n < rows; n++) await cluster.query(`INSERT INTO t VALUES (${n})`);
}

interface Row {
  readonly startLsn: string;
  readonly endLsn: string;
}

async function takeSnapshot(): Promise<Row> {
  const wish = { id: null, kind: "automatic" };
  return (await askControl(cluster, "snapshotCreate", wish, 60_000)) as Row; // a SnapshotRow
}

async function lsnNow(): Promise<string> {
  return (await cluster.query("SELECT pg_current_wal_flush_lsn() AS lsn")).rows[0].lsn;
}

async function bases(): Promise<bigint[]> {
  const { storage } = await statusNow(cluster);
  return storage.map(({ base }) => findLsn(base ?? "") ?? 0n);
}

function backtrack(to: string, ...more: string[]): Promise<CliResult> {
  return cluster.cli("backtrack", `--to=${to}`, "--json", ...more);
}

/** Each row's time is a moment before its commit, and behind the commit of the one before it. */
async function rowsUntil(time: string): Promise<number> {
  const { rows } = await cluster.query(
    `SELECT count(*)::int AS n FROM t WHERE at < timestamptz '${time}'`,
  );
  return rows[0].n;
}

const stateFile = (): string => join(cluster.dataDir, "control/state.json");
const state = () => JSON.parse(readFileSync(stateFile(), "utf8")) as { backtrack?: unknown };

/** The same moment, a microsecond earlier. */
function justBefore(time: string): string {
  const [whole = "", micros = ""] = time.replace("Z", "").split(".");
  const us = BigInt(Date.parse(`${whole}Z`)) * 1000n + BigInt(micros) - 1n;
  const seconds = new Date(Number(us / 1_000_000n) * 1000).toISOString().slice(0, 19);
  return `${seconds}.${String(us % 1_000_000n).padStart(6, "0")}Z`;
}

/** As a control plane would have left it that knew nothing of snapshots, or whose store was lost since. */
async function comesUpWith(order: { to: string; refill: unknown }): Promise<void> {
  const { epoch: sinceEpoch } = (await statusNow(cluster)).cluster;
  const leftEnd = await lsnNow();
  await cluster.down();
  const left = [{ epoch: 1, timeline: 1, start: "0/0", kind: "branch" }];
  const facts = { left, leftEnd, lastCommitUs: "0", askedAtMs: Date.now() };
  const backtrack = { order: { ...order, sinceEpoch }, ...facts };
  writeFileSync(stateFile(), JSON.stringify({ ...state(), backtrack }));
  await cluster.up();
}

describe("the head of the log", () => {
  /** In kept log, and before the end of the only snapshot. */
  let head: string;
  let snapshot: Row;
  let from: string;
  let headRows: number;

  it("is kept", async () => {
    await insert(3);
    await takeSnapshot();
    // So that the next one takes a while.
    const filler = "SELECT repeat('x', 1000) FROM generate_series(1, 60000)";
    await cluster.query(`CREATE TABLE filler AS ${filler}`);
    const gone = findLsn(await lsnNow()) ?? 0n;
    // What is committed while a snapshot is taken lies behind its start, and before its end.
    let isOver = false;
    const taking = takeSnapshot().then((row) => {
      snapshot = row;
      isOver = true;
    });
    const places: { readonly at: string; readonly rows: number }[] = [];
    const client = await cluster.client();
    while (!isOver) {
      await client.query("INSERT INTO t VALUES (0)");
      const sql = "SELECT pg_current_wal_flush_lsn() AS at, (SELECT count(*)::int FROM t) AS rows";
      places.push((await client.query(sql)).rows[0]);
    }
    await client.end();
    await taking;
    const end = findLsn(snapshot.endLsn) ?? 0n;
    const last = places.findLast(({ at }) => (findLsn(at) ?? 0n) < end);
    ({ at: head = "", rows: headRows = 0 } = last ?? {});
    expect(findLsn(head) ?? 0n).toBeGreaterThan(findLsn(snapshot.startLsn) ?? 0n);
    await insert(5);
    await cluster.query("SELECT pg_switch_wal()");
    await insert(5);
    const start = segmentStart(parseLsn(snapshot.startLsn));
    expect(start).toBeGreaterThan(gone);
    // It follows the slowest of nodes, keeper and archive.
    const hasMoved = async () => (await bases()).every((base) => base >= start);
    await until("the base has moved", hasMoved, 180_000);
    const atHead = findLsn(head) ?? 0n;
    expect((await bases()).every((base) => base < atHead)).toBe(true);
    const tried = await backtrack(await lsnBack(), "--dry-run");
    expect(tried.code, tried.stdout).toBe(0);
    ({ from } = (documentIn(tried.stdout) as { window: { from: string } }).window);
  });

  /** A moment that can be reached: of the last rows but one. */
  async function lsnBack(): Promise<string> {
    const at = await lsnNow();
    await insert(1);
    return at;
  }

  it("lies outside the window: it is refused with that, and writes go on", async () => {
    // All that the window leads to has what was committed before the snapshot's end.
    expect(await rowsUntil(from)).toBeGreaterThan(headRows);
    const rows = await count(cluster);
    const { epoch } = (await statusNow(cluster)).cluster;
    for (const to of [justBefore(from), head]) {
      const { code, stdout } = await backtrack(to);
      expect(code, stdout).toBe(2);
      expect(documentIn(stdout)).toMatchObject({
        error: {
          code: "22023",
          message: expect.stringContaining(
            `lies outside the backtrack window, which is from ${from} to `,
          ),
        },
      });
    }
    await insert(1);
    expect(await count(cluster)).toBe(rows + 1);
    expect((await statusNow(cluster)).cluster.epoch).toBe(epoch);
  });

  it("is given up where it was ordered all the same: the writer opens where it was, with every row", async () => {
    const rows = await count(cluster);
    const before = logged(cluster, "backtrack.impossible");
    await comesUpWith({ to: head, refill: null });
    expect(await until("it writes", () => count(cluster), 120_000)).toBe(rows);
    await until("the order is gone", () => state().backtrack === undefined);
    expect(logged(cluster, "backtrack.impossible")).toBe(before + 1);
    await insert(1);
    expect(await count(cluster)).toBe(rows + 1);
  });

  it("a return whose kept log no node has is given up before anything is left", async () => {
    const rows = await count(cluster);
    const to = snapshot.endLsn;
    const path = [{ epoch: 1_000_000, timeline: 1, start: "0/0", kind: "branch" }];
    await comesUpWith({ to, refill: { path, to: await lsnNow() } });
    expect(await until("it writes", () => count(cluster), 180_000)).toBe(rows);
    await until("the order is gone", () => state().backtrack === undefined);
    await insert(1);
    expect(await count(cluster)).toBe(rows + 1);
  }, 300_000);

  it("ends where the window begins: that moment is had", async () => {
    const rows = await rowsUntil(from);
    const { code, stdout } = await backtrack(from);
    expect(code, stdout).toBe(0);
    expect(await count(cluster)).toBe(rows);
    await insert(1);
    expect(await count(cluster)).toBe(rows + 1);
  });
});
