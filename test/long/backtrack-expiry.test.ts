/** A future that a backtrack left is kept for its window; then its log and its snapshot go, and nobody is brought elsewhere. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findLsn } from "../../src/base/lsn.ts";
import { snapshotRowsSchema } from "../../src/keeper/index.ts";
import { count } from "../helpers/clones.ts";
import { type CliResult, TestCluster, until } from "../helpers/cluster.ts";
import { askControl, statusNow } from "../helpers/control.ts";
import { documentIn } from "../helpers/json.ts";

const windowMs = 24 * 3_600_000;

let cluster: TestCluster;
beforeAll(async () => {
  // Whole log files go soon, and no snapshot stays for the sake of the past.
  cluster = await TestCluster.create({
    readers: 0,
    args: ["--set", "storage.segmentBytes=2097152", "--set", "retention.days=0"],
  });
  await cluster.query("CREATE TABLE t (n int)");
});
afterAll(() => cluster.destroy());

async function insert(rows: number): Promise<void> {
  for (let n = 0; n < rows; n++) await cluster.query(`INSERT INTO t VALUES (${n})`);
}

/** The log goes on in other files, as after a while. */
async function writeSegments(segments: number): Promise<void> {
  for (let n = 0; n < segments; n++) {
    await insert(1);
    await cluster.query("SELECT pg_switch_wal()");
  }
}

/** Its id. */
async function takeSnapshot(): Promise<string> {
  const wish = { id: null, kind: "automatic" };
  return ((await askControl(cluster, "snapshotCreate", wish, 60_000)) as { id: string }).id; // a SnapshotRow
}

async function snapshots(): Promise<string[]> {
  const rows = await askControl(cluster, "snapshotList", {}, 60_000);
  return snapshotRowsSchema.parse(rows).map(({ id }) => id);
}

async function lsnNow(): Promise<string> {
  return (await cluster.query("SELECT pg_current_wal_flush_lsn() AS lsn")).rows[0].lsn;
}

function backtrack(to: string, ...more: string[]): Promise<CliResult> {
  return cluster.cli("backtrack", `--to=${to}`, "--json", ...more);
}

interface Future {
  readonly fork: string;
  readonly end: string;
  leftAtMs: number;
}

interface Kept {
  readonly abandoned?: Future[];
  readonly expired?: (Future & { readonly untilMs: number })[];
}

const stateFile = (): string => join(cluster.dataDir, "control/state.json");
const state = (): Kept => JSON.parse(readFileSync(stateFile(), "utf8")) as Kept;

/** What each node has kept aside of futures that were left. */
async function retired(): Promise<number[]> {
  const { storage } = await statusNow(cluster);
  return storage.map(
    ({ id }) => readdirSync(join(cluster.dataDir, "storage", id, "retired")).length,
  );
}

async function bases(): Promise<bigint[]> {
  const { storage } = await statusNow(cluster);
  return storage.map(({ base }) => findLsn(base ?? "") ?? 0n);
}

/** The cluster is down for longer than the window. */
async function aDayPasses(): Promise<void> {
  await cluster.down();
  const { abandoned = [], ...rest } = state();
  for (const future of abandoned) future.leftAtMs -= windowMs + 60_000;
  writeFileSync(stateFile(), JSON.stringify({ ...rest, abandoned }));
  await cluster.up();
}

describe("a future that was left", () => {
  let before: string;
  let fork: string;
  let end: string;

  it("stays for its window, with the log and the snapshot that the way back needs", async () => {
    await writeSegments(1);
    before = await takeSnapshot();
    await insert(3);
    fork = await lsnNow();
    await insert(30);
    const left = await backtrack(fork);
    expect(left.code, left.stdout).toBe(0);
    end = (documentIn(left.stdout) as { done: { abandonedEnd: string } }).done.abandonedEnd;
    expect(await count(cluster)).toBe(4);
    await writeSegments(4);
    await takeSnapshot();
    await writeSegments(1);
    await takeSnapshot();
    expect(await snapshots()).toContain(before);
    expect(await retired()).not.toContain(0);
    const there = await backtrack(end, "--dry-run");
    expect(documentIn(there.stdout), there.stderr).toMatchObject({ isReturn: true });
    const at = findLsn(fork) ?? 0n;
    expect((await bases()).every((base) => base <= at)).toBe(true);
  });

  it("is given up behind it: its log goes on every node, its snapshot in every store", async () => {
    const logBytes = (await statusNow(cluster)).volume.logBytes;
    await aDayPasses();
    await until("it is forgotten", () => state().abandoned?.length === 0);
    expect(state().expired).toMatchObject([{ fork, end }]);
    await writeSegments(1);
    await takeSnapshot();
    await until("its snapshot is gone", async () => !(await snapshots()).includes(before));
    const at = findLsn(fork) ?? 0n;
    await until("its log is gone", async () => (await bases()).every((base) => base > at));
    await until("nothing is kept aside", async () => (await retired()).every((n) => n === 0));
    expect((await statusNow(cluster)).volume.logBytes).toBeLessThan(logBytes);
  });

  it("is refused then, in words that say how long it was kept, and what the window is now", async () => {
    const rows = await count(cluster);
    const { epoch } = (await statusNow(cluster)).cluster;
    const [future] = state().expired ?? [];
    const { code, stdout } = await backtrack(end);
    expect(code).toBe(2);
    const time = (ms: number | undefined): string => new Date(ms ?? 0).toISOString();
    expect(documentIn(stdout)).toEqual({
      error: {
        code: "22023",
        message: `${end} is in a future that was left at ${time(future?.leftAtMs)} and could be returned to until ${time(future?.untilMs)} (backtrack.windowHours)`,
        // Where it began the log is gone, too.
        hint: expect.stringMatching(/^the backtrack window is from 20\d\d-\S+Z to 20\d\d-\S+Z$/),
      },
    });
    expect(await count(cluster)).toBe(rows);
    expect((await statusNow(cluster)).cluster.epoch).toBe(epoch);
  });
});
