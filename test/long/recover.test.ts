/** Genesis images made from a snapshot and log: stock PostgreSQL recovers them to a place of the log, alone. */
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { epoch, timeline, volumeId } from "../../src/base/ids.ts";
import {
  bytesBetween,
  formatLsn,
  type Lsn,
  lsn,
  lsnMin,
  parseLsn,
  segmentStart,
} from "../../src/base/lsn.ts";
import {
  chooseOsUser,
  type Engine,
  findEngine,
  type Genesis,
  layLog,
  type LaidLog,
  type OsUser,
  recoverImage,
  takeSnapshot,
  type TimelineStart,
  unpackSnapshot,
} from "../../src/engine/index.ts";
import { openLogger } from "../../src/io/index.ts";
import {
  ExtentSealer,
  FolderStore,
  keepLog,
  onlyStore,
  readSnapshotLog,
  type SnapshotManifest,
} from "../../src/volume/index.ts";
import { segmentBytes, segmentName } from "../../src/wal/index.ts";
import {
  enginesForFile,
  startPostgresOn,
  startStockPostgres,
  type StockPostgres,
} from "../helpers/stock-postgres.ts";
import { eventually } from "../helpers/eventually.ts";

const volume = volumeId("11111111-2222-3333-4444-555555555555");
const keys = { current: 1, keys: new Map([[1, randomBytes(32)]]), acceptsPlain: false };
const sealer = new ExtentSealer({ volumeId: volume, keys });
const { signal } = new AbortController();
const logger = openLogger({ file: undefined, process: "test" });

const root = mkdtempSync(join(tmpdir(), "borealis-recover-"));
chmodSync(root, 0o755);
const engines = enginesForFile();
const replicas = onlyStore(new FolderStore(join(root, "objects")));
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

/** The source's log, a segment of which may have several names: the newest timeline's counts. In odd pieces. */
async function* logOf(dir: string, from: Lsn, to: Lsn): AsyncGenerator<Buffer> {
  const names = readdirSync(join(dir, "pg_wal")).toSorted();
  for (let at = from; at < to; at = lsn(at + BigInt(segmentBytes))) {
    const tail = segmentName(timeline(1), at).slice(8);
    const name = names.findLast((one) => one.length === 24 && one.endsWith(tail)) ?? "";
    const bytes = readFileSync(join(dir, "pg_wal", name));
    const rest = bytesBetween(at, lsnMin(to, lsn(at + BigInt(segmentBytes))));
    for (let part = 0; part < rest; part += 99_991)
      yield bytes.subarray(part, Math.min(part + 99_991, rest));
  }
}

interface Point {
  readonly at: Lsn;
  readonly rows: number;
}

const one = (rows: (string | null)[][]): string => rows[0]?.[0] ?? "";

async function write(postgres: StockPostgres): Promise<Point> {
  await postgres.query("insert into t select i, repeat('x', 700) from generate_series(1, 200) i");
  const { rows } = await postgres.query(
    "select pg_current_wal_flush_lsn(), (select count(*) from t)",
  );
  const [at, count] = rows[0] ?? [];
  return { at: parseLsn(at ?? ""), rows: Number(count) };
}

async function take(
  source: StockPostgres,
  spans: readonly TimelineStart[],
): Promise<SnapshotManifest> {
  const history = spans.map((span, i) => ({
    ...span,
    epoch: epoch(i + 1),
    kind: "branch" as const,
  }));
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
  });
  return taken.manifest;
}

interface Image {
  readonly dir: string;
  readonly laid: LaidLog;
  readonly genesis: Genesis;
}

async function restore(
  engine: Engine,
  from: {
    manifest: SnapshotManifest;
    log: AsyncIterable<Buffer>;
    spans: readonly TimelineStart[];
  },
): Promise<Image> {
  const place = folder();
  const dir = join(place, "image");
  const { manifest, log } = from;
  await unpackSnapshot({ manifest, replicas, sealer, dir, osUser, signal });
  const laid = await layLog({
    dir,
    osUser,
    from: segmentStart(manifest.startLsn),
    log,
    spans: from.spans,
    signal,
  });
  const spans = from.spans.filter((span, i) => i === 0 || span.start < laid.end);
  const genesis = await recoverImage({
    engine,
    osUser,
    dir,
    end: laid.end,
    spans,
    socketDir: join(mkdtempSync(join(tmpdir(), "borealis-r-")), "pg"),
    logFile: join(place, "postgres.log"),
    logger,
    signal,
  });
  return { dir, laid, genesis };
}

async function started<T>(
  engine: { version: string; bin: string },
  data: string,
  work: (postgres: StockPostgres) => Promise<T>,
): Promise<T> {
  const dir = folder();
  if (osUser) chownSync(dir, osUser.uid, osUser.gid);
  const postgres = await startPostgresOn(
    engine,
    { dir, data, isOwnDir: false },
    { wal_keep_size: "1GB" },
  );
  try {
    // A hot standby takes sessions before it has been promoted.
    await eventually("it is a writer", async () => {
      const { rows } = await postgres.query("select pg_is_in_recovery()");
      return one(rows) === "f";
    });
    return await work(postgres);
  } finally {
    await postgres.shutDownInPlace();
  }
}

async function rowsOf(postgres: StockPostgres): Promise<number> {
  return Number(one((await postgres.query("select count(*) from t")).rows));
}

if (engines.length === 0) it.skip("recovery (skipped: there is no PostgreSQL here)", () => {});

for (const stock of engines) {
  describe(`an image recovered by PostgreSQL ${stock.version} at ${stock.bin.replace(root, "")}`, () => {
    const born: TimelineStart[] = [{ timeline: timeline(1), start: lsn(0n) }];
    let engine: Engine;
    let source: StockPostgres;
    let data: string;
    let manifest: SnapshotManifest;
    const points: Point[] = [];

    beforeAll(async () => {
      engine = await findEngine({ postgresBin: stock.bin, runnableBy: osUser });
      source = await startStockPostgres(stock, { wal_keep_size: "1GB" });
      data = join(source.dir, "data");
      await source.query("create table t (i int, payload text)");
      await write(source);
      manifest = await take(source, born);
      for (let i = 0; i < 40; i++) points.push(await write(source));
    });
    afterAll(async () => {
      await source.stop();
      rmSync(source.dir, { recursive: true, force: true });
    });

    const logTo = (to: Lsn): AsyncIterable<Buffer> =>
      logOf(data, segmentStart(manifest.startLsn), to);

    it("has what was committed up to an LSN, also one inside a record, and a timeline of its own", async () => {
      const [first, second] = [points[11], points[12]];
      if (!first || !second) throw new Error("no points");
      for (const to of [first.at, lsn(second.at - 9n), lsn(first.at + 1n)]) {
        const image = await restore(engine, { manifest, log: logTo(to), spans: born });
        expect(image.laid.end <= to && image.laid.end >= first.at).toBe(true);
        const { genesis, dir } = image;
        expect(genesis).toMatchObject({ timeline: 2, systemIdentifier: manifest.systemIdentifier });
        expect(genesis.baseLsn > to).toBe(true);
        const wal = readdirSync(join(dir, "pg_wal")).filter((name) => /^[0-9A-F]{8}/.test(name));
        expect(wal).toEqual([segmentName(timeline(2), genesis.baseLsn)]);
        const rows = await started(stock, dir, rowsOf);
        expect(rows).toBe(first.rows);
      }
    });

    it("is made of nothing but a snapshot that brought its log", async () => {
      const { startLsn, endLsn } = manifest;
      const log = logOf(data, segmentStart(startLsn), endLsn);
      const whole = await keepLog({ manifest, sealer, store: replicas, log });
      const own = readSnapshotLog(replicas, whole, sealer);
      const image = await restore(engine, { manifest: whole, log: own, spans: born });
      expect(image.laid.end).toBe(endLsn);
      expect(await started(stock, image.dir, rowsOf)).toBe(200);
    });

    it("can be the source of another one, and of a third whose log has two timelines", async () => {
      const start = points[5]?.at ?? lsn(0n);
      const first = await restore(engine, { manifest, log: logTo(start), spans: born });
      const second: TimelineStart[] = [{ timeline: timeline(2), start: first.genesis.baseLsn }];
      const taken = await started(stock, first.dir, async (postgres) => {
        const snapshot = await take(postgres, second);
        return { snapshot, point: await write(postgres) };
      });
      const from = segmentStart(taken.snapshot.startLsn);
      // Stopped and recovered in place, it is promoted: timeline 3 begins somewhere inside a segment.
      writeFileSync(join(first.dir, "recovery.signal"), "");
      writeFileSync(join(first.dir, "postgresql.auto.conf"), "restore_command = 'exit 1'\n");
      if (osUser) chownSync(join(first.dir, "recovery.signal"), osUser.uid, osUser.gid);
      const last = await started(stock, first.dir, write);
      const history = readFileSync(join(first.dir, "pg_wal/00000003.history"), "utf8");
      const switchLsn = parseLsn(history.trim().split("\t")[1] ?? "");
      const spans = [...second, { timeline: timeline(3), start: switchLsn }];
      for (const { at, rows } of [taken.point, last]) {
        const log = logOf(first.dir, from, at);
        const third = await restore(engine, { manifest: taken.snapshot, log, spans });
        expect(third.genesis.timeline).toBe(at > switchLsn ? 4 : 3);
        expect(await started(stock, third.dir, rowsOf)).toBe(rows);
      }
    });

    it("is none where PostgreSQL ends elsewhere, or the log is not log", async () => {
      const to = points[3]?.at ?? lsn(0n);
      // The walk believes in what PostgreSQL does not: a segment that is gone.
      const place = folder();
      const dir = join(place, "image");
      await unpackSnapshot({ manifest, replicas, sealer, dir, osUser, signal });
      const from = segmentStart(manifest.startLsn);
      const laid = await layLog({ dir, osUser, from, log: logTo(to), spans: born, signal });
      const recovery = {
        engine,
        osUser,
        dir,
        end: lsn(laid.end - 8n),
        spans: born,
        socketDir: join(mkdtempSync(join(tmpdir(), "borealis-r-")), "pg"),
        logFile: join(place, "postgres.log"),
        logger,
        signal,
      };
      await expect(recoverImage(recovery)).rejects.toMatchObject({
        code: "XX001",
        message: expect.stringContaining(`recovery ended at ${formatLsn(laid.end)} of timeline 1`),
      });
      async function* damaged(): AsyncGenerator<Buffer> {
        for await (const bytes of logTo(to)) {
          const copy = Buffer.from(bytes);
          copy.writeUInt8(copy.readUInt8(copy.length >> 1) ^ 1, copy.length >> 1);
          yield copy;
        }
      }
      await expect(
        restore(engine, { manifest, log: damaged(), spans: born }),
      ).rejects.toMatchObject({
        code: "XX001",
        message: expect.stringMatching(/^the log at .* cannot be used/),
      });
      const nothing = logTo(lsn(from + 20n));
      await expect(restore(engine, { manifest, log: nothing, spans: born })).rejects.toMatchObject({
        code: "55000",
      });
    });
  });
}
