/** Seconds in which nothing was committed: they can be restored as any other, also where nobody is left who saw them. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { realClock, sleep } from "../../src/io/index.ts";
import { untilArchived, volumeOf } from "../helpers/archive.ts";
import { makeFolder, runCli, TestCluster, until } from "../helpers/cluster.ts";
import { killAll } from "../helpers/kills.ts";
import { documentIn } from "../helpers/json.ts";

const folder = makeFolder();
const toCome = "2100-01-01T00:00:00Z";
const window = /is outside of what can be restored: \S+Z to \S+Z/;
const rowsMax = 20;
let cluster: TestCluster;
let places = 0;
/** In the rest behind the last commit. */
let rest = "";

const place = (): string => join(folder, `restored-${++places}`, "data");

const ofStore = (): string[] =>
  [
    ["--store", pathToFileURL(join(cluster.dataDir, "objects")).href],
    ["--volume", volumeOf(cluster)],
    ["--keys", join(cluster.dataDir, "keys/master.json")],
  ].flat();

async function restore(to: string, ...from: string[]): Promise<{ readonly dataDir: string }> {
  const args = ["--json", "--readers", "0", "--to", to, "--into", place()];
  const of = from.length > 0 ? from : ["--data-dir", cluster.dataDir];
  const result = await runCli(["restore", ...of, ...args]);
  expect(result.code, result.stdout + result.stderr).toBe(0);
  return (documentIn(result.stdout) as { readonly restored: { readonly dataDir: string } })
    .restored;
}

async function refused(to: string, ...from: string[]): Promise<string> {
  const of = from.length > 0 ? from : ["--data-dir", cluster.dataDir];
  const result = await runCli(["restore", ...of, "--json", "--to", to, "--into", place()]);
  expect(result.code).toBe(2);
  return result.stderr + result.stdout;
}

async function rowsIn(dataDir: string): Promise<number> {
  const restored = await TestCluster.create({ dataDir, readers: 0 });
  try {
    const { rows } = await restored.query("select count(*)::int as n from history");
    return rows[0].n;
  } finally {
    await restored.destroy();
  }
}

beforeAll(async () => {
  cluster = await TestCluster.create({ readers: 0 });
  await cluster.query("create table history (id int)");
  for (let id = 1; id <= rowsMax; id++) await cluster.query(`insert into history values (${id})`);
  await untilArchived(cluster);
  await sleep(realClock, 6_000);
  rest = new Date().toISOString();
  await sleep(realClock, 3_000);
});
afterAll(async () => {
  await cluster?.destroy();
  rmSync(folder, { recursive: true, force: true });
});

describe("a cluster at rest", () => {
  it("can be restored from its store alone to the latest time that status tells", async () => {
    const { latestRestorableTime: told } = (await cluster.status()).volume;
    expect(Date.parse(told ?? "")).toBeGreaterThan(Date.parse(rest) - 6_000);
    await restore(told ?? "", ...ofStore());
    expect(await refused(toCome, ...ofStore())).toMatch(window);
  });

  it("that was killed has what its store was told", async () => {
    const told = await until("the rest was told", async () => {
      const { latestRestorableTime: time } = (await cluster.status()).volume;
      return time !== null && time > rest && time;
    });
    await killAll(cluster);
    await restore(told);
    await cluster.up();
  });
});

describe("a cluster that was stopped after a rest", () => {
  it("can be restored to a time in it, with all rows, and to none to come", async () => {
    await cluster.down();
    const { dataDir } = await restore(rest);
    expect(await rowsIn(dataDir)).toBe(rowsMax);
    expect(await refused(toCome)).toMatch(window);
  });

  it("likewise from its store alone", async () => {
    const { dataDir } = await restore(rest, ...ofStore());
    expect(await rowsIn(dataDir)).toBe(rowsMax);
  });
});
