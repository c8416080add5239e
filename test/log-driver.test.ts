/** The log driver and the log feed between real PostgreSQL instances and real storage nodes. */
import { renameSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { lsn, type Lsn, parseLsn } from "../src/base/lsn.ts";
import { realClock } from "../src/io/index.ts";
import {
  compareLocalWal,
  type Claimed,
  type DriverEvent,
  type LocalWal,
  VolumeReader,
} from "../src/log-driver/index.ts";
import type { PgClient } from "../src/wire/index.ts";
import {
  driverProgram,
  type DriverProgram,
  DriverWorld,
  type Instance,
  removeImage,
} from "./helpers/driver-world.ts";
import { eventually } from "./helpers/eventually.ts";

let program: DriverProgram;
let world: DriverWorld;
beforeAll(async () => {
  program = await driverProgram();
});
afterAll(removeImage);
afterEach(() => world.destroy());

const mib = 1024 * 1024;

async function countIn(client: PgClient, table = "t"): Promise<number> {
  const { rows } = await client.query(`select count(*) from ${table}`);
  return Number(rows[0]?.[0]);
}

/** Rows that a reader shows; -1 while it does not know the table. */
async function shownBy(reader: PgClient): Promise<number> {
  try {
    return await countIn(reader);
  } catch {
    return -1;
  }
}

async function lsnOf(client: PgClient, fn: string): Promise<Lsn> {
  const { rows } = await client.query(`select ${fn}()`);
  return parseLsn(rows[0]?.[0] ?? "0/0");
}

async function settlesWithin(promise: Promise<unknown>, ms: number): Promise<boolean> {
  let isSettled = false;
  const note = (): void => {
    isSettled = true;
  };
  promise.then(note, note);
  const end = performance.now() + ms;
  await eventually("the time is over", () => isSettled || performance.now() > end, ms + 5_000);
  return isSettled;
}

/** Compares an instance's local log with the volume, as an agent does. */
async function compare(instance: Instance, claimed: Claimed): Promise<LocalWal> {
  const reader = new VolumeReader({
    nodes: world.volumeNodes,
    owner: { volumeId: world.group.volumeId, sender: "compare" },
    clock: realClock,
  });
  try {
    return await compareLocalWal({
      pgWalDir: instance.walDir,
      timeline: claimed.timeline ?? claimed.nextTimeline,
      from: claimed.start,
      to: claimed.start,
      base: claimed.low,
      readVolume: (from, to) => reader.read({ path: claimed.history, from, to }),
    });
  } finally {
    reader.close();
  }
}

describe("the log driver", () => {
  it("lets a commit return when four of six nodes hold it, and never with three", async () => {
    world = await DriverWorld.create(program);
    const { client, driver } = await world.writer();
    await client.query("create table t(a int)");
    world.signal([0, 3], "SIGSTOP");
    await client.query("insert into t values (1)");
    world.signal([5], "SIGSTOP");
    const third = client.query("insert into t values (2)");
    expect(await settlesWithin(third, 1_500)).toBe(false);
    const { vdl, received } = driver.progress;
    expect(received).toBeGreaterThan(vdl);
    world.signal([3], "SIGCONT");
    await third;
    world.signal([0, 5], "SIGCONT");
    const end = await lsnOf(client, "pg_current_wal_flush_lsn");
    await driver.waitForVcl(end);
    expect(driver.progress.vcl).toBeGreaterThanOrEqual(end);
  });

  it("tells when the write quorum is lost, and when it is back", async () => {
    world = await DriverWorld.create(program);
    const { driver } = await world.writer();
    const events: DriverEvent["kind"][] = [];
    driver.onEvent(({ kind }) => events.push(kind));
    world.signal([0, 1, 2], "SIGSTOP");
    await eventually("the loss is told", () => events.includes("quorumLost"));
    expect(driver.progress.hasQuorum).toBe(false);
    world.signal([0, 1, 2], "SIGCONT");
    await eventually("the return is told", () => events.includes("quorumBack"));
  });

  it("keeps little in memory for a node that lags, which then catches up from its peers", async () => {
    world = await DriverWorld.create(program);
    const { client, driver } = await world.writer({ ringBytes: 2 * mib });
    world.signal([4], "SIGSTOP");
    const sql = "create table t as select g, repeat('x', 800) r from generate_series(1, 20000) g";
    await client.query(sql);
    expect((await driver.status()).ringBytes).toBeLessThanOrEqual(2 * mib);
    world.signal([4], "SIGCONT");
    await eventually("the node has all of it", async () => {
      const { nodes } = await driver.status();
      return nodes[4]?.scl === driver.progress.received;
    });
    expect(driver.progress.received).toBeGreaterThan(lsn(0x100_0000n + BigInt(16 * mib)));
  });

  it("is fenced by the next claim, and acknowledges nothing from then on", async () => {
    world = await DriverWorld.create(program);
    const { client, driver } = await world.writer();
    await client.query("create table t(a int)");
    const events: DriverEvent[] = [];
    driver.onEvent((event) => events.push(event));
    const claimed = await world.driver("instance-2").claim();
    expect(claimed.epoch).toBe(2);
    const late = client.query("insert into t values (1)");
    await eventually("the old driver stands down", () =>
      events.some((event) => event.kind === "standDown" && event.fencedBy === 2),
    );
    expect(await settlesWithin(late, 500)).toBe(false);
    expect(driver.progress.isOpen).toBe(false);
  });

  it("claims over links that it has made ahead, and makes the others then", async () => {
    world = await DriverWorld.create(program);
    const driver = world.driver("instance-2");
    driver.standBy();
    const isLinkedToAll = async (): Promise<boolean> => {
      const { nodes, phase } = await driver.status();
      return phase === "idle" && nodes.filter(({ isLinked }) => isLinked).length === 6;
    };
    // The nodes themselves are starting.
    await eventually("it is linked to all six", isLinkedToAll, 60_000);
    const sockets = world.group.nodes.map(({ socketPath }) => socketPath);
    // Nobody can dial a node now.
    for (const path of sockets) renameSync(path, `${path}.away`);
    expect((await driver.claim()).epoch).toBe(1);
    for (const path of sockets) renameSync(`${path}.away`, path);
    expect((await driver.open("new")).epoch).toBe(1);
  });

  it("ends its last report with PostgreSQL's shutdown checkpoint", async () => {
    world = await DriverWorld.create(program);
    const { client, driver, instance } = await world.writer();
    const events: DriverEvent["kind"][] = [];
    driver.onEvent(({ kind }) => events.push(kind));
    await client.query("create table t(a int)");
    await client.close();
    await instance.stop();
    await eventually("it is detached", () => events.includes("detached"));
    expect(driver.progress.vdl).toBe(driver.progress.received);
    await driver.release();
    const claimed = await driver.claim();
    expect(claimed.start).toBe(driver.progress.received);
    expect((await compare(instance, claimed)).kind).toBe("equal");
  });

  it("lets an instance whose log is the volume's go on after kill -9, on its timeline", async () => {
    world = await DriverWorld.create(program);
    const { client, driver, instance } = await world.writer();
    await client.query("create table t as select g a from generate_series(1, 1000) g");
    await instance.kill();
    const claimed = await driver.claim();
    expect(claimed.timeline).toBe(1);
    expect((await compare(instance, claimed)).kind).toBe("equal");
    await driver.open("keep");
    const again = await instance.start();
    await driver.attach(world.target(instance));
    await again.query("insert into t values (0)");
    expect(await countIn(again)).toBe(1001);
    expect(driver.progress.epoch).toBe(2);
  });

  it("goes on in its epoch when only the stream was lost", async () => {
    world = await DriverWorld.create(program);
    const { client, driver, instance } = await world.writer();
    await client.query("create table t(a int)");
    const events: DriverEvent["kind"][] = [];
    driver.onEvent(({ kind }) => events.push(kind));
    // With less than a quorum the driver holds log that it will be sent again, and compares.
    world.signal([0, 1, 2], "SIGSTOP");
    const first = client.query("insert into t select generate_series(1, 1000)");
    await eventually("the driver has it", () => driver.progress.received > driver.progress.vdl);
    const other = await instance.connect();
    await other.query("select pg_terminate_backend(pid) from pg_stat_replication");
    await eventually("the stream is lost", () => events.includes("detached"));
    await driver.attach(world.target(instance));
    expect(await settlesWithin(first, 300)).toBe(false);
    world.signal([0, 1, 2], "SIGCONT");
    await first;
    await client.query("insert into t values (0)");
    expect(driver.progress.epoch).toBe(1);
  });

  it("refuses a PostgreSQL that has less than the volume", async () => {
    world = await DriverWorld.create(program);
    const { client, driver, instance } = await world.writer();
    await client.query("create table t as select g a from generate_series(1, 1000) g");
    await instance.kill();
    const claimed = await driver.claim();
    const virgin = world.instance("virgin");
    expect((await compare(virgin, claimed)).kind).toBe("shorter");
    await driver.open("keep");
    await virgin.start();
    await expect(driver.attach(world.target(virgin))).rejects.toMatchObject({ code: "55000" });
  });
});

/** A writer with an empty table, a reader that shows it, and the node that feeds that one. */
async function fedReader() {
  world = await DriverWorld.create(program);
  const { client } = await world.writer();
  await client.query("create table t(a int)");
  const reader = world.instance("instance-2");
  const shown = await reader.startReader();
  await eventually("the table is shown", async () => (await shownBy(shown)) === 0);
  const served = reader.feed?.status.servedBy;
  const index = world.volumeNodes.findIndex(({ name }) => name === served);
  return { client, reader, shown, served, index };
}

describe("the log feed", () => {
  it("shows readers every commit, and nothing beyond VDL", async () => {
    world = await DriverWorld.create(program);
    const { client, driver } = await world.writer();
    await client.query("create table t(a int)");
    const reader = world.instance("instance-2");
    const shown = await reader.startReader();
    await client.query("insert into t values (1)");
    await eventually("the row is shown", async () => (await shownBy(shown)) === 1);
    world.signal([0, 2, 4], "SIGSTOP");
    await client.query("set synchronous_commit = off");
    await client.query("insert into t values (2)");
    await client.query("select pg_current_wal_lsn()");
    expect(await countIn(client)).toBe(2);
    // Long enough for the walwriter to flush the row and the driver to have it.
    await eventually("the driver has more", () => driver.progress.received > driver.progress.vdl);
    expect(await settlesWithin(driver.waitForVdl(driver.progress.received), 500)).toBe(false);
    expect(await shownBy(shown)).toBe(1);
    expect(await lsnOf(shown, "pg_last_wal_receive_lsn")).toBeLessThanOrEqual(driver.vdl);
    world.signal([0, 2, 4], "SIGCONT");
    await eventually("the row is shown", async () => (await shownBy(shown)) === 2);
  });

  it("goes on at another node when the one that serves is killed", async () => {
    const { client, reader, shown, served, index } = await fedReader();
    await world.group.node(index).kill("SIGKILL");
    await client.query("insert into t values (1)");
    await eventually("the row is shown", async () => (await shownBy(shown)) === 1);
    expect(reader.feed?.status.servedBy).not.toBe(served);
  });

  it("goes on at another node as soon as that one has more than the one that serves", async () => {
    const { client, reader, shown, served, index } = await fedReader();
    world.signal([index], "SIGSTOP");
    await client.query("insert into t values (1)");
    await eventually("the row is shown", async () => (await shownBy(shown)) === 1);
    // Not only when it has been silent for so long that it counts as lost.
    expect(reader.feed?.status.overtaken).toBeGreaterThan(0);
    expect(reader.feed?.status.servedBy).not.toBe(served);
    world.signal([index], "SIGCONT");
    await client.query("insert into t values (2)");
    await eventually("the next is shown", async () => (await shownBy(shown)) === 2);
  });

  it("feeds a candidate to the recovery LSN; promoted there it has every commit, and others follow", async () => {
    world = await DriverWorld.create(program);
    const { client, instance } = await world.writer();
    await client.query("create table t(a int)");
    const candidate = world.instance("instance-2");
    const other = world.instance("instance-3");
    const [next, third] = [await candidate.startReader(), await other.startReader()];
    let acknowledged = 0;
    const load = (async () => {
      for (;;) {
        await client.query(`insert into t values (${acknowledged})`);
        acknowledged++;
      }
    })().catch(() => undefined);
    await eventually("there is load", () => acknowledged > 50);
    await instance.kill();
    await load;

    const driver = world.driver("instance-2");
    const claimed = await driver.claim();
    candidate.feed?.setCap(claimed.start);
    const opened = await driver.open("new");
    expect(opened.timeline).toBe(2);
    await eventually("it is fed", async () => {
      return (await lsnOf(next, "pg_last_wal_replay_lsn")) === claimed.start;
    });
    await next.query("select pg_promote(false)");
    await eventually("it is promoted", async () => {
      return (await next.query("select pg_is_in_recovery()")).rows[0]?.[0] === "f";
    });
    await driver.attach(world.target(candidate));
    const survived = await countIn(next);
    // The last insert may have been durable without its client having been told.
    expect([acknowledged, acknowledged + 1]).toContain(survived);
    await next.query("insert into t values (-1)");
    await eventually("the other follows", async () => (await shownBy(third)) === survived + 1);
    // The former writer's log is no longer the volume's.
    expect((await compare(instance, await driver.claim())).kind).not.toBe("equal");
  });
});
