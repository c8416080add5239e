/** The log in the object store: all of it, a moment later, whatever is killed, and whether the store is there or not. */
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { epoch } from "../../src/base/ids.ts";
import { lsn, lsnMaxOf, parseLsn, segmentStart } from "../../src/base/lsn.ts";
import { layoutOf, runtimeDirOf } from "../../src/cluster/index.ts";
import { connectRpc } from "../../src/io/index.ts";
import { type SnapshotRow, snapshotRowSchema } from "../../src/keeper/index.ts";
import { listArchivedLog } from "../../src/volume/index.ts";
import {
  digestOfArchive,
  digestOfVolume,
  openArchive,
  untilArchived,
  volumeOf,
} from "../helpers/archive.ts";
import { childrenOf, isAlive, TestCluster, until } from "../helpers/cluster.ts";
import { askControl } from "../helpers/control.ts";

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.create({
    readers: 1,
    args: [
      "archive.intervalMs=500",
      "storage.segmentBytes=2097152",
      // Nothing but the newest snapshot and the log behind it; until the first one that is the genesis image.
      "retention.days=0",
    ].flatMap((setting) => ["--set", setting]),
  });
  await cluster.query("CREATE TABLE told (n bigserial, what text)");
});
afterAll(() => cluster.destroy());

/** Some MiB of log. */
async function write(mebibytes: number): Promise<void> {
  for (let i = 0; i < mebibytes; i++)
    await cluster.query(
      "INSERT INTO told (what) SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 32 * 1024) s GROUP BY s % 1024",
    );
}

/** Writes until told to stop, over whatever breaks. */
function writeOn(): { stop(): Promise<void> } {
  let isOver = false;
  const writing = (async () => {
    while (!isOver) {
      await write(1).catch(() => new Promise((resolve) => setTimeout(resolve, 100)));
    }
  })();
  return {
    stop: async () => {
      isOver = true;
      await writing;
    },
  };
}

/** From the volume's birth to where its log is durable now. */
async function expectWhole(): Promise<void> {
  const to = await untilArchived(cluster);
  const { log, record, close } = await openArchive(cluster);
  const from = record.genesisLsn;
  expect(await log.archivedUpTo(from)).toBeGreaterThanOrEqual(to);
  const wanted = await digestOfVolume(cluster, { path: record.history, from, to });
  expect(await digestOfArchive(log, from, to)).toBe(wanted);
  await close();
}

describe("the log's archive", () => {
  it("is the volume's log, from its birth on", async () => {
    await write(20);
    await expectWhole();
  });

  it("says who the volume is, with its keys wrapped", async () => {
    const { record, close } = await openArchive(cluster);
    const { cluster: facts, storage } = await cluster.status();
    expect(record.history.at(-1)?.epoch).toBe(facts.epoch);
    expect(record.members.map(({ name }) => name)).toEqual(storage.map(({ id }) => id));
    expect(record).toMatchObject({
      masterUser: "postgres",
      isSuperuser: true,
      encryption: "on",
      instances: 2,
    });
    await close();
  });

  it("is told of keys that were rotated, and read with the new ones", async () => {
    const rotated = await cluster.cli("keys", "rotate");
    expect(rotated.code, rotated.stderr).toBe(0);
    await write(1);
    await untilArchived(cluster);
    await until("volume.json has the new ring", async () => {
      const { record, close } = await openArchive(cluster);
      await close();
      return record.keyRing?.includes('"current":2') || record.keyRing?.includes('"current": 2');
    });
    await expectWhole();
  });

  it("is a few seconds old at most, at rest and at work", async () => {
    for (const isAtWork of [false, true]) {
      const writing = isAtWork ? writeOn() : undefined;
      // It goes on, and is young each time: one that stood still would tell one time only.
      const young = new Set<string>();
      await until(
        "the archive has told four times in a row, none of them old",
        async () => {
          const { latestRestorableTime } = (await cluster.status()).volume;
          const ageMs = Date.now() - Date.parse(latestRestorableTime ?? "");
          expect(ageMs).toBeGreaterThan(-10);
          if (latestRestorableTime === null || ageMs >= 5_000) young.clear();
          else young.add(latestRestorableTime);
          return young.size >= 4;
        },
        60_000,
      );
      await writing?.stop();
    }
  });

  it("has everything that was committed at the moment that it names", async () => {
    const { n } = (await cluster.query("INSERT INTO told (what) VALUES ('x') RETURNING n")).rows[0];
    const { vdl } = (await cluster.status()).cluster;
    const committedMs = Date.now();
    expect(Number(n)).toBeGreaterThan(0);
    const { archive } = await until("it was archived", async () => {
      const { volume } = await cluster.status();
      return Date.parse(volume.latestRestorableTime ?? "") >= committedMs && volume;
    });
    expect(parseLsn(archive?.archivedLsn ?? "")).toBeGreaterThanOrEqual(parseLsn(vdl ?? ""));
  });
});

describe("the archive has no hole", () => {
  it("when the keeper is killed again and again", async () => {
    const writing = writeOn();
    for (let i = 0; i < 6; i++) {
      const keeper = await until("there is a keeper", async () =>
        (await cluster.pids()).get("keeper"),
      );
      await new Promise((resolve) => setTimeout(resolve, 300 * i));
      process.kill(keeper, "SIGKILL");
      await until("it is dead", () => !isAlive(keeper));
    }
    await writing.stop();
    await expectWhole();
  });

  it("when the writer is killed, and another one opens a new epoch", async () => {
    const before = (await cluster.status()).cluster.epoch;
    const writing = writeOn();
    const writer = (await cluster.status()).instances.find(({ role }) => role === "writer");
    const agent = writer?.agentPid ?? 0;
    const children = childrenOf(agent);
    process.kill(agent, "SIGKILL");
    for (const child of children) process.kill(child, "SIGKILL");
    await until("a new epoch is open", async () => {
      const { cluster: now } = await cluster.status();
      return now.epoch > before && now.state === "available";
    });
    // There is a reader that can be promoted.
    await cluster.untilEverybody();
    const failedOver = await cluster.cli("failover");
    expect(failedOver.code, failedOver.stderr).toBe(0);
    await write(2);
    await writing.stop();
    await expectWhole();
    const { record, store, close } = await openArchive(cluster);
    expect(record.history.length).toBeGreaterThan(1);
    expect((await listArchivedLog(store)).ranges(epoch(before)).length).toBeGreaterThan(0);
    expect(record.left).toEqual([]);
    await close();
  });

  it("when the cluster is stopped in order, to its very end", async () => {
    await write(3);
    const { vdl } = (await cluster.status()).cluster;
    await cluster.down();
    const { log, record, close } = await openArchive(cluster);
    // The checkpoint of the shutdown, too.
    expect(await log.archivedUpTo(record.genesisLsn)).toBeGreaterThan(parseLsn(vdl ?? ""));
    await close();
    await cluster.up();
    await expectWhole();
  });

  it("when everything is killed at once", async () => {
    const writing = writeOn();
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const pids = [...(await cluster.pids()).values(), cluster.supervisorPid];
    for (const pid of pids) process.kill(pid, "SIGKILL");
    await writing.stop();
    await until("nothing of it runs", () => cluster.processesLeft().length === 0, 10_000);
    await cluster.up();
    await write(1);
    await expectWhole();
  });
});

describe("a store that takes no log", () => {
  it("keeps it on the nodes, and is caught up with when it does again", async () => {
    const folder = `${cluster.dataDir}/objects/${volumeOf(cluster)}/log`;
    const before = await untilArchived(cluster);
    // A file where the folder should be: root may write to any folder.
    renameSync(folder, `${folder}.away`);
    writeFileSync(folder, "");
    try {
      await until("the trouble is told", async () => {
        await write(4);
        return (await cluster.status()).volume.archive?.problem?.includes("cannot");
      });
      await write(30);
      await cluster.query("SELECT pg_switch_wal()");
      // Everything before it would go, but for the archive: retention.days is 0.
      await takeSnapshot();
      await until("the reader would begin later, too", async () => {
        await cluster.query("CHECKPOINT");
        for (const { id } of (await cluster.status()).instances)
          await cluster.query("CHECKPOINT", id as `instance-${number}`);
        const { startLsn } = (await snapshots()).at(-1) ?? {};
        return segmentStart(parseLsn(startLsn ?? "0/0")) > before;
      });
      // Twice as long as it takes to be told what is needed.
      await new Promise((resolve) => setTimeout(resolve, 5_000));
      expect(await lowest()).toBeLessThanOrEqual(segmentStart(before));
      const status = await cluster.cli("status");
      expect(status.stdout).toMatch(/archive: cannot/);
    } finally {
      rmSync(folder);
      renameSync(`${folder}.away`, folder);
    }
    await untilArchived(cluster);
    await until("log that is archived goes from the nodes", async () => (await lowest()) > before);
  });

  it("has log from the oldest snapshot on, and says so", async () => {
    const [oldest] = await snapshots();
    const from = segmentStart(parseLsn(oldest?.startLsn ?? ""));
    const { store, close } = await openArchive(cluster);
    await until("older log is gone from the archive", async () => {
      const index = await listArchivedLog(store);
      return index.epochs.every((of) => index.ranges(of).every(({ to }) => to > from));
    });
    await close();
    const to = await untilArchived(cluster);
    const { log, record, close: closeAgain } = await openArchive(cluster);
    expect(await log.archivedUpTo(from)).toBeGreaterThanOrEqual(to);
    const start = lsnMaxOf(from, await lowest());
    const wanted = await digestOfVolume(cluster, { path: record.history, from: start, to });
    expect(await digestOfArchive(log, start, to)).toBe(wanted);
    await closeAgain();
    const { earliestRestorableTime, latestRestorableTime } = (await cluster.status()).volume;
    expect(earliestRestorableTime).toBe(oldest?.takenAt);
    expect(Date.parse(latestRestorableTime ?? "")).toBeGreaterThan(
      Date.parse(earliestRestorableTime ?? ""),
    );
  });
});

/** An automatic one, due or not. */
async function takeSnapshot(): Promise<void> {
  const uid = process.getuid?.() ?? 0;
  const { controlSocket } = layoutOf(cluster.dataDir, runtimeDirOf(tmpdir(), uid, cluster.dataDir));
  const client = await connectRpc({ kind: "unix", path: controlSocket }, { timeoutMs: 1_000 });
  try {
    await client.call("snapshotCreate", { id: null, kind: "automatic" }, { timeoutMs: 60_000 });
  } finally {
    client.close();
  }
}

async function snapshots(): Promise<SnapshotRow[]> {
  return snapshotRowSchema.array().parse(await askControl(cluster, "snapshotList"));
}

async function lowest() {
  const { storage } = await cluster.status();
  return storage.reduce((most, { base }) => lsnMaxOf(most, parseLsn(base ?? "0/0")), lsn(0n));
}
