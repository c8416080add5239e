/** Snapshots of a real PostgreSQL: taken, published, hydrated, started from. */
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { epoch, timeline, volumeId } from "../src/base/ids.ts";
import { bytesBetween, lsn, segmentStart } from "../src/base/lsn.ts";
import {
  chooseOsUser,
  dataDirOf,
  hydrateFromSnapshot,
  judgeCache,
  type OsUser,
  snapshotOfDirectory,
  takeSnapshot,
  type TakenSnapshot,
  type TakeSnapshotOptions,
} from "../src/engine/index.ts";
import type { DataKeys } from "../src/keys/index.ts";
import {
  collectExtents,
  deleteSnapshot,
  Deletions,
  extentObject,
  extentPrefix,
  ExtentSealer,
  FolderStore,
  keepLog,
  logOfSnapshot,
  publishSnapshot,
  readSnapshot,
  Replicas,
  sizeOfSnapshot,
  type SnapshotManifest,
  snapshotIds,
} from "../src/volume/index.ts";
import { segmentBytes, segmentName } from "../src/wal/index.ts";
import {
  enginesForFile,
  startPostgresOn,
  startStockPostgres,
  type StockPostgres,
} from "./helpers/stock-postgres.ts";

const volume = volumeId("11111111-2222-3333-4444-555555555555");
const history = [
  { epoch: epoch(1), timeline: timeline(1), start: lsn(0n), kind: "branch" as const },
];
const keys: DataKeys = {
  current: 2,
  keys: new Map([
    [1, randomBytes(32)],
    [2, randomBytes(32)],
  ]),
  acceptsPlain: false,
};
const sealer = new ExtentSealer({ volumeId: volume, keys });
const { signal } = new AbortController();
const isSafe = (stores: readonly unknown[]): boolean => stores.length === 2;

const root = mkdtempSync(join(tmpdir(), "borealis-snapshots-"));
chmodSync(root, 0o755);
const engines = enginesForFile();
let osUser: OsUser | undefined;

beforeAll(async () => {
  osUser = await chooseOsUser(process.getuid?.() === 0 ? "postgres" : undefined);
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

let folders = 0;
function folder(): string {
  const dir = join(root, `f${++folders}`);
  mkdirSync(dir, { mode: 0o755 });
  return dir;
}

interface Stores {
  readonly dirs: [string, string];
  readonly stores: [FolderStore, FolderStore];
  readonly replicas: Replicas;
  readonly healed: string[];
}

function twoStores(): Stores {
  const dirs: [string, string] = [folder(), folder()];
  const stores: [FolderStore, FolderStore] = [new FolderStore(dirs[0]), new FolderStore(dirs[1])];
  const healed: string[] = [];
  const onHealed = (_store: unknown, name: string): void => void healed.push(name);
  return { dirs, stores, replicas: new Replicas({ stores, isSafe, onHealed }), healed };
}

async function take(
  source: StockPostgres,
  { replicas, stores }: Stores,
  changes: Partial<TakeSnapshotOptions> = {},
): Promise<TakenSnapshot> {
  const taken = await takeSnapshot({
    source: source.address,
    postgresMajor: Number(source.version),
    replicas,
    sealer,
    previous: undefined,
    id: undefined,
    volumeId: volume,
    history,
    signal,
    ...changes,
  });
  await publishSnapshot({ manifest: taken.manifest, sealer, stores, isSafe, signal });
  return taken;
}

/** The log that a snapshot needs, as the source has it. */
async function* logOf(source: StockPostgres, manifest: SnapshotManifest): AsyncGenerator<Buffer> {
  const { from, to } = logOfSnapshot(manifest);
  for (let at = from; at < to; at = lsn(at + BigInt(segmentBytes))) {
    const path = join(source.dir, "data/pg_wal", segmentName(timeline(1), at));
    const bytes = readFileSync(path);
    const restBytes = bytesBetween(at, to);
    for (let part = 0; part < Math.min(restBytes, bytes.length); part += 100_000)
      yield bytes.subarray(part, Math.min(part + 100_000, restBytes));
  }
}

const contents =
  "select count(*), md5(string_agg(id || payload, ',' order by id)), pg_relation_size('t') from t";

async function contentsOf(postgres: StockPostgres): Promise<(string | null)[][]> {
  return (await postgres.query(contents)).rows;
}

function contentsAfter(
  engine: { version: string; bin: string },
  manifest: SnapshotManifest,
  stores: Stores,
): Promise<(string | null)[][]> {
  return queryAfter(engine, manifest, stores, contents);
}

/** Hydrates with the snapshot's own log and nothing else, starts PostgreSQL on it, and asks it what it has. */
async function queryAfter(
  engine: { version: string; bin: string },
  manifest: SnapshotManifest,
  { replicas }: Stores,
  sql: string,
): Promise<(string | null)[][]> {
  const instanceDir = join(folder(), "instance-1");
  mkdirSync(instanceDir);
  await hydrateFromSnapshot({
    manifest,
    replicas,
    sealer,
    instanceDir,
    osUser,
    volumeId: volume,
    withLog: true,
    signal,
  });
  expect(await judgeCache(instanceDir, volume, osUser)).toEqual({ kind: "usable" });
  const dir = folder();
  if (osUser) chownSync(dir, osUser.uid, osUser.gid);
  const data = dataDirOf(instanceDir);
  const postgres = await startPostgresOn(engine, { dir, data, isOwnDir: false });
  try {
    const failed = await postgres.query("select sum(checksum_failures) from pg_stat_database");
    expect(failed.rows[0]?.[0] ?? "0").toBe("0");
    return (await postgres.query(sql)).rows;
  } finally {
    await postgres.stop();
  }
}

const pagesAtOnce = 100;

/** 40 MB that do not compress to nothing, with room in each page for a changed row. */
async function fill(postgres: StockPostgres): Promise<void> {
  for (const statement of [
    "create table t (id int, payload text) with (fillfactor = 90)",
    `insert into t select i, md5(i::text) || md5((i * 7)::text) || md5((i * 13)::text)
       from generate_series(1, 300000) i`,
    "vacuum t",
    "create index on t (id)",
    "checkpoint",
  ])
    await postgres.query(statement);
}

/** A row in each hundredth page gets new contents. */
async function changeOnePercent(postgres: StockPostgres, salt: string): Promise<void> {
  await postgres.query(
    `update t set payload = md5('${salt}' || id) || md5(id || '${salt}')
       where (ctid::text::point)[0]::int % ${pagesAtOnce} = 3 and (ctid::text::point)[1]::int = 5`,
  );
}

if (engines.length === 0) it.skip("snapshots (skipped: there is no PostgreSQL here)", () => {});

for (const engine of engines) {
  const isIncremental = Number(engine.version) >= 17;
  describe(`snapshots of PostgreSQL ${engine.version} at ${engine.bin.replace(root, "")}`, () => {
    let source: StockPostgres;
    beforeAll(async () => {
      const settings = isIncremental ? { summarize_wal: "on" } : {};
      // What changes between two backups is the test's own doing.
      const quiet = { wal_keep_size: "512MB", autovacuum: "off" };
      source = await startStockPostgres(engine, { ...quiet, ...settings });
      await fill(source);
    });
    afterAll(() => source.stop());

    it("hold what changed since the last one, and hydrate to what it was", async () => {
      const all = twoStores();
      const full = await take(source, all);
      expect(full.figures).toMatchObject({
        mode: "full",
        reason: "there is no snapshot before it",
      });
      const { dataBytes, storedBytes } = sizeOfSnapshot(full.manifest);
      expect(dataBytes).toBeGreaterThan(40_000_000);
      expect(storedBytes).toBe(full.figures.storedBytes);

      await changeOnePercent(source, "one");
      const before = await contentsOf(source);
      const next = await take(source, all, { previous: full.manifest });
      if (isIncremental) {
        expect(next.figures).toMatchObject({ mode: "incremental", reason: undefined });
        const share = next.figures.storedBytes / full.figures.storedBytes;
        console.log(`1 % of the pages changed: ${(share * 100).toFixed(2)} % stored`);
        expect(share).toBeLessThan(0.05);
      } else expect(next.figures).toMatchObject({ mode: "full" });
      expect(next.manifest.id > full.manifest.id).toBe(true);

      const whole = await keepLog({
        manifest: { ...next.manifest, id: "kept", kind: "manual" },
        sealer,
        store: all.replicas,
        log: logOf(source, next.manifest),
      });
      await publishSnapshot({ manifest: whole, sealer, stores: all.stores, isSafe, signal });
      await changeOnePercent(source, "two");
      await source.query("delete from t where id % 2 = 0");
      const read = await readSnapshot(all.replicas, "kept", sealer);
      expect(read).toEqual(whole);
      expect(await contentsAfter(engine, read, all)).toEqual(before);
    });

    it("go on over many rounds of growth, truncation and new tables", async () => {
      const all = twoStores();
      let { manifest } = await take(source, all);
      for (const [round, change] of [
        "insert into t select i, md5(i::text) from generate_series(300001, 330000) i",
        "delete from t where id > 200000",
        "vacuum t",
        "create table u as select * from t where id % 3 = 0; drop table u",
        "insert into t select i, 'x' from generate_series(400001, 480000) i",
      ].entries()) {
        await source.query(change);
        await changeOnePercent(source, `round ${round}`);
        const taken = await take(source, all, { previous: manifest });
        if (isIncremental) expect(taken.figures.mode, taken.figures.reason).toBe("incremental");
        ({ manifest } = taken);
      }
      const before = await contentsOf(source);
      const log = logOf(source, manifest);
      const whole = await keepLog({ manifest, sealer, store: all.replicas, log });
      expect(await contentsAfter(engine, whole, all)).toEqual(before);
    }, 300_000);

    it("show no row twice whose page was known to be visible to all before it was changed", async () => {
      const all = twoStores();
      for (const statement of [
        "create table v (id int primary key, n int)",
        "insert into v select i, 0 from generate_series(1, 200000) i",
        "vacuum v",
        "checkpoint",
      ])
        await source.query(statement);
      const first = await take(source, all);
      // No room in their pages: the new rows go elsewhere, and the old pages are changed.
      await source.query("update v set n = 1 where id % 5000 = 0");
      await source.query("checkpoint");
      const next = await take(source, all, { previous: first.manifest });
      if (isIncremental) expect(next.figures.mode, next.figures.reason).toBe("incremental");
      const log = logOf(source, next.manifest);
      const whole = await keepLog({ manifest: next.manifest, sealer, store: all.replicas, log });
      const counts =
        "set enable_seqscan = off; set enable_bitmapscan = off; set max_parallel_workers_per_gather = 0; select count(*) from v where id > 0";
      const restored = await queryAfter(engine, whole, all, counts);
      expect(restored).toEqual([["200000"]]);
      await source.query("drop table v");
    });

    it("are full where PostgreSQL cannot tell what changed, and share what is the same", async () => {
      const all = twoStores();
      const first = await take(source, all);
      const again = await take(source, all, { previous: first.manifest, mustBeFull: true });
      expect(again.figures).toMatchObject({ mode: "full", reason: "it was asked for" });
      expect(again.figures.storedBytes).toBeLessThan(first.figures.storedBytes / 20);
      if (!isIncremental) return;
      // Of what changed since then there is a summary; and then there is none any more.
      const known = await take(source, all, { previous: again.manifest });
      expect(known.figures.mode, known.figures.reason).toBe("incremental");
      const summaries = join(source.dir, "data/pg_wal/summaries");
      for (const name of readdirSync(summaries)) rmSync(join(summaries, name));
      await changeOnePercent(source, "unknown");
      const fallback = await take(source, all, { previous: again.manifest });
      expect(fallback.figures).toMatchObject({ mode: "full" });
      expect(fallback.figures.reason).toMatch(/WAL summaries are required/);
      const files = first.manifest.files.filter(({ name }) => name !== "backup_manifest");
      const bare = await take(source, all, { previous: { ...first.manifest, files } });
      expect(bare.figures.reason).toMatch(/has no backup manifest/);
    });

    it("are healed from another store, and found out when every copy is damaged", async () => {
      const all = twoStores();
      const { manifest } = await take(source, all);
      const [first] = [...manifest.extents.keys()].map(extentObject);
      const copies = all.dirs.map((dir) => join(dir, first ?? ""));
      const [here = "", there = ""] = copies;
      const good = readFileSync(here);
      const bad = Buffer.from(good);
      bad.writeUInt8(bad.readUInt8(40) ^ 1, 40);
      writeFileSync(here, bad);
      const hydrate = (): Promise<unknown> => {
        const instanceDir = join(folder(), "instance-1");
        const { replicas } = all;
        const options = {
          manifest,
          replicas,
          sealer,
          instanceDir,
          osUser,
          volumeId: volume,
          signal,
        };
        return hydrateFromSnapshot(options);
      };
      await hydrate();
      expect(all.healed).toEqual([first]);
      expect(readFileSync(here).equals(readFileSync(there))).toBe(true);
      for (const path of copies) writeFileSync(path, bad);
      await expect(hydrate()).rejects.toMatchObject({
        code: "XX001",
        message: expect.stringMatching(/is damaged/),
      });
      rmSync(here);
      writeFileSync(there, good);
      await hydrate();
      expect(all.healed).toEqual([first, first]);
      expect(existsSync(here)).toBe(true);
    });

    it("leave nothing behind once they are deleted and collected", async () => {
      const all = twoStores();
      await source.query(
        "create table gone as select i, md5(i::text) from generate_series(1, 60000) i",
      );
      const first = await take(source, all);
      await source.query("drop table gone");
      const second = await take(source, all, { previous: first.manifest });
      const { stores } = all;
      const of = { stores, deletions: new Deletions(), sealer, nowMs: Date.now() };
      expect(await deleteSnapshot({ ...of, id: first.manifest.id })).toEqual([]);
      const nowMs = Date.now() + 60_000;
      for (const [i, store] of all.stores.entries()) {
        const collected = await collectExtents(store, { sealer, nowMs, graceMs: 1000, signal });
        expect(collected).toMatchObject({ snapshots: 1, kept: second.manifest.extents.size });
        if (i === 0) expect(collected.deleted).toBeGreaterThan(0);
        expect(await snapshotIds(store)).toEqual([second.manifest.id]);
      }
      expect(await deleteSnapshot({ ...of, id: second.manifest.id })).toEqual([]);
      for (const store of all.stores) {
        await collectExtents(store, { sealer, nowMs, graceMs: 1000, signal });
        for await (const { name } of store.list(extentPrefix)) expect(name).toBe("nothing");
      }
    });
  });
}

const [engine] = engines;
describe.skipIf(!engine)("the snapshot of a data directory", () => {
  it("gives every file of it back, log and all", async () => {
    if (!engine) return;
    const source = await startStockPostgres(engine);
    const cold = join(source.dir, "data");
    const all = twoStores();
    const options = {
      dir: cold,
      replicas: all.replicas,
      sealer,
      volumeId: volume,
      history,
      signal,
    };
    await expect(snapshotOfDirectory(options)).rejects.toMatchObject({ code: "55000" });
    await source.shutDownInPlace();
    try {
      const manifest = await snapshotOfDirectory(options);
      expect(manifest).toMatchObject({ id: "genesis", kind: "genesis" });
      expect(manifest.startLsn >= segmentStart(manifest.startLsn)).toBe(true);
      await publishSnapshot({ manifest, sealer, stores: all.stores, isSafe, signal });
      const instanceDir = join(folder(), "instance-1");
      const { replicas } = all;
      const target = { manifest, replicas, sealer, instanceDir, osUser, volumeId: volume, signal };
      await hydrateFromSnapshot(target);
      const names = readdirSync(cold, { recursive: true, encoding: "utf8" }).toSorted();
      const data = dataDirOf(instanceDir);
      const made = readdirSync(data, { recursive: true, encoding: "utf8" }).toSorted();
      expect(made).toEqual(names.filter((name) => name !== "postmaster.opts"));
      for (const name of made) {
        const path = join(data, name);
        if (statSync(path).isDirectory()) continue;
        expect(readFileSync(path).equals(readFileSync(join(cold, name))), name).toBe(true);
      }
    } finally {
      rmSync(source.dir, { recursive: true, force: true });
    }
  });
});
