import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { manifestOf } from "../../test/helpers/snapshot-object.ts";
import { volumeId } from "../base/ids.ts";
import { connectRpc, openLogger, realClock } from "../io/index.ts";
import { encodeManifest, ExtentSealer, openObjectStore, snapshotObject } from "../volume/index.ts";
import { Keeper } from "./keeper-shell.ts";
import { type KeeperConfig, keeperReportSchema } from "./messages.ts";

const volume = "11111111-2222-3333-4444-555555555555";
const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});

function aFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "borealis-keeper-"));
  ends.push(() => rmSync(folder, { recursive: true }));
  return folder;
}

function configIn(folder: string, objectStoreUrl: string, isOn: boolean): KeeperConfig {
  return {
    az: "az1",
    volumeId: volume,
    addressVolumeId: volume,
    relatives: [],
    systemIdentifier: "1",
    genesisLsn: "0/1000000",
    genesisDir: join(folder, "genesis"),
    lossesFile: join(folder, "losses.json"),
    postgresMajor: 18,
    socket: join(folder, "keeper"),
    objectStoreUrl,
    snapshots: {
      logBytes: 1e9,
      maxAgeMs: 3_600_000,
      collectEveryMs: 3_600_000,
      rateMaxBytes: 0,
      retentionMs: 86_400_000,
    },
    scrubIntervalMs: 3_600_000,
    objectStoreEnv: { HOME: folder },
    archive: { isOn, intervalMs: 100, rateMaxBytes: 0 },
    volume: {
      clusterId: "c",
      createdAt: "2026-01-01T00:00:00Z",
      engineVersion: "18.4",
      masterUser: "postgres",
      isSuperuser: true,
      encryption: "off",
    },
    keyRingFile: null,
    dataKeys: null,
    credential: null,
    logFile: "",
    logLevel: "info",
    logMaxBytes: 1e6,
  };
}

/** Of a keeper that nobody has told of a cluster yet. */
async function aKeeper(folder: string, store: string, isOn: boolean) {
  const config = configIn(folder, store, isOn);
  const logger = openLogger({ file: undefined, process: "test" });
  const keeper = new Keeper(config, { clock: realClock, logger });
  await keeper.start();
  ends.push(() => keeper.close());
  const client = await connectRpc({ kind: "unix", path: config.socket }, { timeoutMs: 5_000 });
  ends.push(() => client.close());
  return async () => keeperReportSchema.parse(await client.call("report", {}));
}

const keyless = "s3://bucket/x?endpoint=http://127.0.0.1:1";
const advice = /no keys for s3:.*; set AWS_ACCESS_KEY_ID/;

describe("an object store that cannot be used", () => {
  it("is told of where log is archived as the archive's problem, once", async () => {
    const report = await aKeeper(aFolder(), keyless, true);
    await expect.poll(async () => (await report()).archive.problem).toMatch(advice);
    expect((await report()).problem).toBeNull();
  });

  it("is told of where no log is archived, too", async () => {
    const report = await aKeeper(aFolder(), keyless, false);
    await expect.poll(async () => (await report()).problem).toMatch(advice);
  });

  it("is told of when it is open, and is no store any more", async () => {
    const folder = aFolder();
    // A file where the folder should be: root may write to any folder.
    writeFileSync(join(folder, "objects"), "");
    const report = await aKeeper(folder, `file:${folder}/objects`, false);
    await expect
      .poll(async () => (await report()).problem, { timeout: 20_000 })
      .toMatch(/the folder .*objects/);
  });
});

describe("an object store that cannot bring the volume back alone", () => {
  /** It has one snapshot of this kind, and what the keeper says of the archive when it has looked. */
  async function archiveWith(kind: "automatic" | "manual") {
    const folder = aFolder();
    const url = `file:${folder}/objects`;
    const sealer = new ExtentSealer({ volumeId: volumeId(volume), keys: undefined });
    const manifest = { ...manifestOf("one", sealer, new Map()), kind };
    const store = await openObjectStore(url, volumeId(volume), {});
    const sealed = await sealer.sealManifest("one", encodeManifest(manifest));
    await store.put(snapshotObject("one"), sealed);
    await store.close();
    const report = await aKeeper(folder, url, true);
    await expect.poll(async () => (await report()).snapshots, { timeout: 20_000 }).toBe(1);
    return async () => (await report()).archive;
  }

  it("says so, and no time up to which everything can be restored", async () => {
    const archive = await archiveWith("manual");
    const why = /^the object store has no automatic snapshot, .*: it is given one by and by$/;
    await expect.poll(async () => (await archive()).problem, { timeout: 20_000 }).toMatch(why);
    expect(await archive()).toMatchObject({ hasBase: false, latestTime: null });
  });

  it("is not one that has an automatic snapshot", async () => {
    const archive = await archiveWith("automatic");
    expect(await archive()).toMatchObject({ hasBase: true, problem: null });
  });
});
