import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { LogBuilder } from "../../test/helpers/log-builder.ts";
import { aSnapshot } from "../../test/helpers/snapshot-object.ts";
import { epoch, timeline, volumeId } from "../base/ids.ts";
import { advance, lsn } from "../base/lsn.ts";
import {
  ExtentSealer,
  type LogPath,
  openObjectStore,
  putArchivedLog,
  reachedObject,
  snapshotObject,
  type VolumeRecord,
  writeReached,
  writeVolumeRecord,
} from "../volume/index.ts";
import { openStoreSource } from "./restore-store-source.ts";

const parent = volumeId("11111111-2222-3333-4444-555555555555");
const clone = volumeId("99999999-2222-3333-4444-555555555555");
const genesisLsn = lsn(0x500_0000n);
const history: LogPath = [
  { epoch: epoch(1), timeline: timeline(1), start: genesisLsn, kind: "branch" },
];

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "borealis-source-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A clone's store, with one snapshot of a user's. */
async function aStore(changes: Partial<VolumeRecord> = {}) {
  const url = pathToFileURL(folder).href;
  const sealer = new ExtentSealer({ volumeId: parent, keys: undefined });
  const store = await openObjectStore(url, clone, {});
  await writeVolumeRecord(store, {
    volumeId: clone,
    ancestorVolumeId: parent,
    clusterId: "c",
    createdAt: "2026-01-02T03:04:05.678Z",
    writtenAt: "2026-01-02T03:04:05.678Z",
    engineVersion: "18.4",
    postgresMajor: 18,
    systemIdentifier: "1",
    genesisLsn,
    masterUser: "postgres",
    isSuperuser: true,
    encryption: "off",
    keyRing: undefined,
    members: [],
    instances: 1,
    history,
    left: [],
    futures: [],
    ...changes,
  });
  await aSnapshot([store], "mine", sealer);
  const keyFile = join(folder, "none");
  return { store, sealer, place: { url, env: {}, volume: clone, keyFile } };
}

describe("a volume that only its objects are left of", () => {
  it("is opened by the id that its extents are named by: a clone's by its parent's", async () => {
    const { store, sealer, place } = await aStore();
    await store.close();
    const source = await openStoreSource(place);
    expect(source.identity.volumeId).toBe(clone);
    expect(source.sealer.addressing).toEqual(sealer.addressing);
    await source.close();
  });

  it("has left what its archive saw being left, though no future be remembered for it", async () => {
    const fork = advance(genesisLsn, 1000);
    const now: LogPath = [
      ...history,
      { epoch: epoch(2), timeline: timeline(2), start: fork, kind: "backtrack" },
    ];
    const leftAtMs = 1_767_000_000_000;
    const left = [{ history, from: fork, leftAtMs }];
    const { store, sealer, place } = await aStore({ history: now, left });
    const range = { epoch: epoch(1), from: genesisLsn, to: advance(genesisLsn, 5000) };
    await putArchivedLog(store, sealer, range, Buffer.alloc(5000));
    await store.close();
    const source = await openStoreSource(place);
    expect(source.left).toMatchObject([{ fork, end: range.to, leftAtMs }]);
    await source.close();
  });

  it("reaches the moment that its archive is known to, as long as its path and its log have it", async () => {
    const { store, sealer, place } = await aStore();
    await aSnapshot([store], "genesis", sealer);
    const log = new LogBuilder(genesisLsn, 1);
    const committedMs = 1_767_000_000_000;
    log.commit(BigInt(committedMs) * 1_000n);
    const range = { epoch: epoch(1), from: genesisLsn, to: log.end };
    await putArchivedLog(store, sealer, range, log.written);
    const latestMs = async (): Promise<number> => {
      const source = await openStoreSource(place);
      await source.close();
      return source.log.latestMs;
    };
    expect(await latestMs()).toBe(committedMs);
    const told = { epoch: epoch(1), lsn: log.end, atMs: committedMs + 60_000 };
    await writeReached(store, sealer, told);
    expect(await latestMs()).toBe(told.atMs);
    for (const bad of [
      { lsn: advance(log.end, 8) },
      { epoch: epoch(2) },
      { atMs: committedMs - 1_000 },
    ]) {
      await writeReached(store, sealer, { ...told, ...bad });
      expect(await latestMs()).toBe(committedMs);
    }
    await store.put(reachedObject, Buffer.from("rotten"));
    expect(await latestMs()).toBe(committedMs);
    await store.close();
  });

  it("is opened although a snapshot of a user's is damaged", async () => {
    const { store, place } = await aStore();
    await store.put(snapshotObject("mine"), Buffer.from("rotten"));
    await store.close();
    const source = await openStoreSource(place);
    expect(source.log.from).toBe(genesisLsn);
    await source.close();
  });
});
