/**
 * A table is dropped, and its bytes come back by themselves: the next automatic snapshot, retention and collection, with
 * nobody's help. BOREALIS_MB says how big it is.
 */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { parseLsn } from "../../src/base/lsn.ts";
import { snapshotRowsSchema } from "../../src/keeper/index.ts";
import { type Status, TestCluster, until } from "../helpers/cluster.ts";
import { askControl } from "../helpers/control.ts";
import { isThorough } from "../helpers/thorough.ts";

const mebibyte = 1024 * 1024;
const sizeMb = Number(process.env["BOREALIS_MB"] ?? (isThorough ? 500 : 48));
/** A row of 32 random bytes takes 64 in its table. */
const rowBytes = 64;

let cluster: TestCluster;
beforeAll(async () => {
  const settings = {
    "retention.days": 0,
    "snapshot.logBytes": 16 * mebibyte,
    "snapshot.collectMinutes": 1,
    "storage.segmentBytes": 2 * mebibyte,
  };
  const args = Object.entries(settings).flatMap(([key, value]) => ["--set", `${key}=${value}`]);
  cluster = await TestCluster.create({ readers: 0, args });
  await cluster.query("CREATE TABLE kept (n int, filler text)");
});
afterAll(() => cluster.destroy());

const copies = ["objects", "storage/az1-full/objects", "storage/az2-full/objects"];

/** Of extents on the disk. */
function bytesIn(folder: string): number {
  const dir = join(cluster.dataDir, folder);
  return readdirSync(dir, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.parentPath.includes("/extents"))
    .reduce((sum, { parentPath, name }) => {
      return sum + (statSync(join(parentPath, name), { throwIfNoEntry: false })?.size ?? 0);
    }, 0);
}

interface Figures extends Pick<Status["volume"], "bytes" | "logBytes" | "extentBytes"> {
  readonly copies: number[];
}

async function figures(when: string): Promise<Figures> {
  const { bytes, logBytes, extentBytes } = (await cluster.status()).volume;
  const found = { bytes, logBytes, extentBytes, copies: copies.map(bytesIn) };
  const mb = (one: number | null): string => ((one ?? 0) / mebibyte).toFixed(1);
  console.log(
    `${when}: volume ${mb(bytes)} MiB, log ${mb(logBytes)}, extents ${mb(extentBytes)}, in each store ${found.copies.map(mb).join(", ")}`,
  );
  return found;
}

/** What an application writes meanwhile: enough for the next snapshot. */
async function goOn(): Promise<void> {
  await cluster.query(
    "INSERT INTO kept SELECT n, md5(n::text) || md5((n * 7)::text) FROM generate_series(1, 200000) n",
  );
  await cluster.query("TRUNCATE kept");
}

/** Goes on until an automatic snapshot has come by itself whose files have everything from before now. */
async function goOnUntilSnapshot(): Promise<void> {
  const { rows } = await cluster.query("SELECT pg_current_wal_flush_lsn() AS lsn");
  const now = parseLsn(rows[0].lsn);
  await until(
    "there is such a snapshot",
    async () => {
      const listed = await askControl(cluster, "snapshotList", {}, 60_000);
      const isThere = snapshotRowsSchema
        .parse(listed)
        .some(({ kind, startLsn }) => kind === "automatic" && parseLsn(startLsn ?? "0/0") >= now);
      // One may have been under way, which has the rest as log; the next is due when there is more.
      if (!isThere) await goOn();
      return isThere;
    },
    600_000,
  );
}

it(
  "gives its bytes back after the window, with the snapshots and collections that come by themselves",
  { timeout: 1_800_000 },
  async () => {
    const count = Math.ceil((sizeMb * mebibyte) / rowBytes);
    // Random, so that what is stored of it is about half as big as it is.
    await cluster.query(
      `CREATE TABLE big AS SELECT decode(md5(n::text) || md5((n * 7)::text), 'hex') AS v FROM generate_series(1, ${count}) n`,
    );
    const stored = (sizeMb * mebibyte) / 3;
    await goOnUntilSnapshot();
    await until("the figures have it", async () => {
      return ((await cluster.status()).volume.extentBytes ?? 0) >= bytesIn("objects");
    });
    const full = await figures("before the drop");
    await cluster.query("DROP TABLE big");
    await figures("after the drop");
    await goOnUntilSnapshot();
    await until(
      "its extents are gone from the figures",
      async () =>
        ((await cluster.status()).volume.extentBytes ?? Infinity) <
        (full.extentBytes ?? 0) - stored,
      900_000,
    );
    for (const [at, folder] of copies.entries())
      await until(
        `${folder} is smaller`,
        () => bytesIn(folder) < (full.copies[at] ?? 0) - stored,
        120_000,
      );
    await until(
      "its log is gone",
      async () => (await cluster.status()).volume.logBytes < 64 * mebibyte,
      120_000,
    );
    const end = await figures("at the end");
    expect(end.bytes).toBeLessThan(full.bytes - stored);
    expect(end.bytes).toBe(end.logBytes + (end.extentBytes ?? 0));
  },
);
