/** Moments in the log of real PostgreSQL: every commit's time is the one that PostgreSQL itself kept. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { lsn, parseLsn, segmentStart } from "../src/base/lsn.ts";
import { findMoment, type LogSource } from "../src/volume/index.ts";
import { parseSegmentName, segmentBytes, type WalCommit, WalWalker } from "../src/wal/index.ts";
import { copyEmbeddedEngine, findEngines, startStockPostgres } from "./helpers/stock-postgres.ts";

const embedded = copyEmbeddedEngine();
const engines = [...findEngines(), ...(embedded ? [embedded] : [])];
afterAll(() => embedded?.remove());

/** The log of a data directory of one timeline. */
function logOf(data: string): { readonly from: bigint; readonly bytes: Buffer } {
  const wal = join(data, "pg_wal");
  const names = readdirSync(wal).filter((name) => parseSegmentName(name) !== undefined);
  const bytes = Buffer.concat(names.toSorted().map((name) => readFileSync(join(wal, name))));
  return { from: parseSegmentName(names.toSorted()[0] ?? "")?.start ?? lsn(0n), bytes };
}

describe.each(engines)("PostgreSQL $version at $bin", (engine) => {
  it("writes commits that are parted where it says, whatever they carry", async () => {
    const postgres = await startStockPostgres(engine, {
      track_commit_timestamp: "on",
      wal_level: "logical",
    });
    try {
      await postgres.query("create table t (i int, p text)");
      const one = async (sql: string): Promise<string> =>
        (await postgres.query(sql)).rows[0]?.[0] ?? "";
      const startLsn = parseLsn(await one("select pg_current_wal_insert_lsn()"));
      for (let round = 0; round < 20; round++) {
        await postgres.query(`insert into t values (${round}, repeat('x', ${round * 400}))`);
        await postgres.query(`begin; insert into t values (${round});
          prepare transaction 'p${round}'`);
        await postgres.query(`commit prepared 'p${round}'`);
        // Many subtransactions, dropped files and invalidations make the record long.
        await postgres.query(`do $$ begin for n in 1..80 loop
          begin insert into t values (n); exception when others then null; end; end loop; end $$`);
        await postgres.query(`create table u${round} (i int); drop table u${round}`);
      }
      await postgres.query("select pg_replication_origin_create('elsewhere')");
      await postgres.query(`select pg_replication_origin_session_setup('elsewhere');
        begin; select pg_replication_origin_xact_setup('0/10', '2001-01-01');
        insert into t values (-1); commit`);
      const to = parseLsn(await one("select pg_current_wal_flush_lsn()"));
      const keptTimes = await postgres.query(`select xid::text, timestamp_us from (
        select xid, (extract(epoch from pg_xact_commit_timestamp(xid)) * 1000000)::bigint timestamp_us
        from (select distinct xmin xid from t) x) y`);
      const { from, bytes } = logOf(join(postgres.dir, "data"));
      const commits: WalCommit[] = [];
      const walker = new WalWalker(
        { at: segmentStart(startLsn), kind: "segmentStart" },
        { onCommit: (commit) => void commits.push(commit) },
      );
      walker.push(bytes.subarray(Number(segmentStart(startLsn) - from), Number(to - from)));
      expect(walker.failure).toBeUndefined();
      const all = new Map(
        keptTimes.rows.map(([xid, timeUs]) => [Number(xid), BigInt(timeUs ?? 0)]),
      );
      // What came from elsewhere is kept with that place's time; the log has the time of the commit here.
      const elsewhereUs = BigInt(Date.UTC(2001, 0, 1)) * 1000n;
      const kept = new Map([...all].filter(([, timeUs]) => timeUs !== elsewhereUs));
      expect(kept.size).toBe(all.size - 1);
      // A prepared transaction's id lies in the record's data; a subtransaction has its commit's time.
      const times = new Set(commits.map(({ timeUs }) => timeUs));
      expect([...kept.values()].filter((timeUs) => !times.has(timeUs))).toEqual([]);
      const known = commits.filter(({ xid }) => kept.has(xid));
      expect(known.length).toBeGreaterThanOrEqual(20);
      for (const { xid, timeUs } of known) expect([xid, timeUs]).toEqual([xid, kept.get(xid)]);

      const source: LogSource = {
        read: (start, end) =>
          Promise.resolve(bytes.subarray(Number(start - from), Number(end - from))),
      };
      for (const [i, { timeUs }] of commits.entries()) {
        if (i % 9 !== 0) continue;
        const target = { kind: "time", timeUs } as const;
        const search = { log: source, from: lsn(from), to, target, isCounted: true };
        const moment = await findMoment(search);
        const later = commits.slice(i + 1).find((commit) => commit.timeUs > timeUs);
        expect(moment?.endLsn).toBe(later?.previousEnd ?? to);
      }
      expect(bytes.length).toBeGreaterThanOrEqual(segmentBytes);
    } finally {
      await postgres.stop();
    }
  });
});
