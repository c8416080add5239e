/**
 * A cache whose newest timeline's file was only partly received when everything was killed: PostgreSQL cannot start on it,
 * as a reader or on the way to be the writer. Several timelines in one segment come with each backtrack and failover.
 */
import {
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestCluster, until } from "../helpers/cluster.ts";

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.create({ readers: 1 });
  await cluster.query("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n");
});
afterAll(() => cluster.destroy());

async function killAll(): Promise<void> {
  for (const pid of [cluster.supervisorPid, ...cluster.processesLeft()]) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // Gone meanwhile.
    }
  }
  await until("nothing of it runs", () => cluster.processesLeft().length === 0, 15_000);
}

/** Zeros from `from` on in the newest timeline's file of the first segment, as a walreceiver leaves it that has just begun. */
function cutNewest(instance: string, from: number): void {
  const folder = join(cluster.dataDir, "instances", instance, "data", "pg_wal");
  const segments = readdirSync(folder).filter((name) => /^[0-9A-F]{8}0{15}1$/.test(name));
  const newest = segments.toSorted().at(-1);
  expect(segments.length, "several timelines in one segment").toBeGreaterThan(2);
  const file = openSync(join(folder, newest ?? ""), "r+");
  writeSync(file, Buffer.alloc(16 * 1024 * 1024 - from), 0, null, from);
  closeSync(file);
}

function appoint(writer: string): void {
  const file = join(cluster.dataDir, "control/state.json");
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, "utf8")), writer }));
}

/** Below where PostgreSQL begins to read, so that it does not start; and behind, so that it ends when it runs already. */
describe("a cache with half a file of its newest timeline", () => {
  it.each([0x10000, 0x750000])(
    "is built again by the next writer, cut at byte %d",
    async (from) => {
      for (let turn = 0; turn < 2; turn++) {
        await cluster.untilEverybody(90_000);
        const failover = await cluster.cli("failover", "--json");
        expect(failover.code, failover.stderr).toBe(0);
        await cluster.query("INSERT INTO kept VALUES (0)");
      }
      await cluster.untilEverybody(90_000);
      const { writer } = (await cluster.status()).cluster;
      const reader = writer === "instance-1" ? "instance-2" : "instance-1";
      // From the genesis image: it has replayed all timelines, and begins with the first one again.
      await cluster.down();
      rmSync(join(cluster.dataDir, "instances", reader), { recursive: true });
      await cluster.up();
      await cluster.untilEverybody(90_000);
      const { rows } = await cluster.query("SELECT count(*)::int AS n FROM kept");
      await until("the reader has it all", async () => {
        const seen = await cluster.query(
          "SELECT count(*)::int AS n FROM kept",
          `instance-${Number(reader.slice(-1))}`,
        );
        return seen.rows[0].n === rows[0].n;
      });
      await killAll();
      cutNewest(reader, from);
      appoint(reader);
      await cluster.up();
      expect((await cluster.query("SELECT count(*)::int AS n FROM kept")).rows).toEqual(rows);
      expect((await cluster.status()).cluster.writer).toBe(reader);
    },
    300_000,
  );
});
