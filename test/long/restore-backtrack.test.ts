/** What a restore and a clone say of moments in a future that a backtrack left, and give of all others. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openArchive, volumeOf } from "../helpers/archive.ts";
import { makeFolder, runCli, TestCluster, until } from "../helpers/cluster.ts";
import { documentIn } from "../helpers/json.ts";

interface Moment {
  readonly time: string;
  readonly lsn: string;
  readonly rows: number;
}

const folder = makeFolder();
const otherMoment = /is in a future that was left: a backtrack went to another moment at 20.*Z/;
let cluster: TestCluster;
let places = 0;
let [first, second, third]: (Moment | undefined)[] = [];
let abandoned = "";

function place(): string {
  return join(folder, `place-${++places}`, "data");
}

/** A row, and when "now" is: nobody writes meanwhile. */
async function write(): Promise<Moment> {
  await cluster.query("INSERT INTO kept SELECT count(*) + 1 FROM kept");
  const { rows } = await cluster.query(
    `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS time,
       pg_current_wal_flush_lsn()::text AS lsn, (SELECT count(*)::int FROM kept) AS rows`,
  );
  return rows[0];
}

async function backtrack(to: string): Promise<string> {
  const result = await cluster.cli("backtrack", "--to", to, "--json");
  expect(result.code, result.stdout + result.stderr).toBe(0);
  const { done } = documentIn(result.stdout) as { done: { abandonedEnd: string } };
  await cluster.untilEverybody();
  return done.abandonedEnd;
}

/** Rows of what `restore --to` makes. */
async function restoredRows(to: string | undefined): Promise<number> {
  const dataDir = place();
  const args = ["--to", to ?? "", "--readers", "0", "--into", dataDir];
  const result = await cluster.cli("restore", ...args);
  expect(result.code, result.stdout + result.stderr).toBe(0);
  const copy = await TestCluster.create({ dataDir, readers: 0 });
  try {
    return (await copy.query("SELECT count(*)::int AS n FROM kept")).rows[0].n;
  } finally {
    await copy.destroy();
  }
}

/** A clone of the cluster, running. */
async function cloned(...args: string[]): Promise<TestCluster> {
  const dataDir = place();
  const made = await cluster.cli("clone", ...args, "--readers", "0", "--into", dataDir);
  expect(made.code, made.stdout + made.stderr).toBe(0);
  return TestCluster.create({ dataDir, readers: 0 });
}

async function numbersIn(clone: TestCluster): Promise<number[]> {
  return (await clone.query("SELECT array_agg(n ORDER BY n) AS all FROM kept")).rows[0].all;
}

async function refusal(command: "restore" | "clone", to: string | undefined, ...more: string[]) {
  const args = [command, "--json", "--to", to ?? "", "--into", place(), ...more];
  const result = more.length > 0 ? await runCli(args) : await cluster.cli(...args);
  expect(result.code, result.stdout + result.stderr).toBe(2);
  return (documentIn(result.stdout) as { error: unknown }).error;
}

beforeAll(async () => {
  cluster = await TestCluster.create({ readers: 0 });
  await cluster.query("CREATE TABLE kept (n int)");
  first = await write();
  second = await write();
  third = await write();
  abandoned = await backtrack(first.time);
  // Beyond the end of what was left, so that its LSNs are the present path's, too.
  await cluster.query(
    "CREATE TABLE bulk AS SELECT repeat(md5(n::text), 20) FROM generate_series(1, 2000) n",
  );
  await cluster.query("INSERT INTO kept VALUES (100), (101), (102), (103)");
});
afterAll(async () => {
  await cluster?.destroy();
  rmSync(folder, { recursive: true, force: true });
});

describe("after a backtrack", () => {
  it.each(["restore", "clone"] as const)(
    "a %s refuses what it left, and names it",
    async (command) => {
      const again = /^borealis backtrack --to .* goes there again/;
      for (const [to, hint] of [
        [second?.time, again],
        [third?.time, again],
        [abandoned, again],
        [second?.lsn, /^the present path has that LSN, too: name a time/],
      ] as const)
        expect(await refusal(command, to), to).toMatchObject({
          code: "22023",
          message: expect.stringMatching(otherMoment),
          hint: expect.stringMatching(hint),
        });
    },
  );

  it("a restore has the moment that it went to, by time, and what was written since", async () => {
    expect(await restoredRows(first?.time)).toBe(1);
    expect(await restoredRows("latest")).toBe(5);
  });

  it("a clone has the moment that it went to", async () => {
    const clone = await cloned("--to", first?.time ?? "");
    try {
      expect(await numbersIn(clone)).toEqual([1]);
    } finally {
      await clone.destroy();
    }
  });

  it("a clone refuses what its parent left, names no way that it has not, and has what was written since", async () => {
    const clone = await cloned();
    const { dataDir } = clone;
    try {
      for (const to of [second?.time, third?.time, abandoned]) {
        for (const command of ["restore", "clone"] as const)
          expect(await refusal(command, to, "--data-dir", dataDir), to).toMatchObject({
            code: "22023",
            message: expect.stringMatching(otherMoment),
            hint: expect.stringMatching(
              /^it was left before this clone was made: the cluster that left it may still have it; no part of that future is /,
            ),
          });
        const back = await clone.cli("backtrack", "--to", to ?? "", "--json");
        expect(back.code, back.stdout + back.stderr).toBe(2);
        expect(documentIn(back.stdout), to).toMatchObject({
          error: {
            code: "22023",
            message: expect.stringMatching(/ was left at 20.*Z, before this cluster was cloned$/),
            hint: expect.stringMatching(
              /^a clone goes back to nothing that was left before it was made; the cluster that left it may still have it; the backtrack window is from [^;]*$/,
            ),
          },
        });
      }
      // Not those of the future that was left, of which there are fewer.
      expect(await numbersIn(clone)).toEqual([1, 100, 101, 102, 103]);
    } finally {
      await clone.destroy();
    }
  });

  it("the object store knows of it, too, with the cluster and without", async () => {
    const { dataDir } = cluster;
    await until("its record says so", async () => {
      const { record, close } = await openArchive(cluster);
      await close();
      return record.futures.length === 1;
    });
    await cluster.down();
    const store = ["--store", pathToFileURL(join(dataDir, "objects")).href];
    const volume = ["--volume", volumeOf(cluster), "--keys", join(dataDir, "keys/master.json")];
    for (const to of [second?.time, abandoned]) {
      const told = { code: "22023", message: expect.stringMatching(otherMoment) };
      expect(await refusal("restore", to), to).toMatchObject(told);
      expect(await refusal("restore", to, ...store, ...volume), to).toMatchObject(told);
    }
    await cluster.up();
  });
});

describe("after the return to a moment of what was left", () => {
  it("a restore has the moments up to there again, and refuses those behind", async () => {
    await backtrack(second?.time ?? "");
    expect(await restoredRows(second?.time)).toBe(2);
    await write();
    expect(await restoredRows(second?.time)).toBe(2);
    expect(await restoredRows("latest")).toBe(3);
    // The path between the two backtracks has that LSN as well.
    for (const to of [third?.time, second?.lsn])
      expect(await refusal("restore", to), to).toMatchObject({
        code: "22023",
        message: expect.stringMatching(otherMoment),
      });
  });
});
