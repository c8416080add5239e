import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { manifestOf } from "../../test/helpers/snapshot-object.ts";
import { BorealisError, sqlState } from "../base/errors.ts";
import { epoch, timeline, volumeId } from "../base/ids.ts";
import { advance, bytesBetween, lsn } from "../base/lsn.ts";
import {
  Deletions,
  encodeManifest,
  ExtentSealer,
  extentObject,
  FolderStore,
  type LogPath,
  onlyStore,
  readSnapshotLog,
  Replicas,
  snapshotObject,
  type SnapshotManifest,
} from "../volume/index.ts";
import { pointOfSnapshot, type RestorePoint } from "./restore-point.ts";
import type { RestoreSource } from "./restore-source.ts";
import { makeOfSome, passedOverLines } from "./restore-tries.ts";

const volume = volumeId("11111111-2222-3333-4444-555555555555");
const sealer = new ExtentSealer({ volumeId: volume, keys: undefined });
const origin = lsn(0x5000000n);
const [oldEnd, end] = [advance(origin, 10_000), advance(origin, 90_000)];
const path: LogPath = [{ epoch: epoch(1), timeline: timeline(1), start: origin, kind: "branch" }];
const atMs = Date.UTC(2026, 10, 28, 12);
const image = { dir: "/image", startLsn: advance(origin, 40) };
const logExtent = sealer.idOf(Buffer.from("log"));

let folder = "";
let store: FolderStore;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "borealis-tries-"));
  store = new FolderStore(folder);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function put(id: string, changes: Partial<SnapshotManifest>): Promise<void> {
  const manifest = {
    ...manifestOf(id, sealer, new Map()),
    volumeId: volume,
    history: path,
    takenAtMs: atMs,
    ...changes,
  };
  const sealed = await sealer.sealManifest(id, encodeManifest(manifest));
  await store.put(snapshotObject(id), sealed);
}

/** A user's, whose own log is in an extent that is nowhere. */
async function putMine(): Promise<void> {
  const plainBytes = bytesBetween(origin, end);
  const log = {
    from: origin,
    to: end,
    pieces: [{ extent: logExtent, at: 0, lengthBytes: plainBytes }],
  };
  const extents = new Map([[logExtent, { plainBytes, storedBytes: 100 }]]);
  const places = { startLsn: advance(end, -1000), endLsn: end };
  await put("mine", { kind: "manual", ...places, log, extents });
}

function source(changes: Partial<RestoreSource> = {}): RestoreSource {
  const nobody = (): never => {
    throw new Error("nobody reads log here");
  };
  return {
    label: "here",
    identity: {
      volumeId: volume,
      systemIdentifier: "1",
      engineVersion: "18.4",
      masterUser: "postgres",
      isSuperuser: true,
      encryption: "off",
      createdAtMs: atMs,
      readers: 0,
    },
    stores: [store],
    replicas: onlyStore(store),
    sealer,
    deletions: new Deletions(),
    genesis: undefined,
    log: {
      path,
      from: origin,
      to: advance(end, 5000),
      latestMs: atMs + 3_600_000,
      read: nobody,
      pieces: nobody,
    },
    left: [],
    close: () => Promise.resolve(),
    ...changes,
  };
}
const withoutLog = (): RestoreSource => {
  const { log, ...others } = source();
  return { ...others, log: { ...log, from: advance(end, 3000) } };
};

/** As a restore does it; `damaged`: whose files have something of which there is no good copy. */
async function make(from: RestoreSource, point: RestorePoint, damaged: readonly string[] = []) {
  const made: string[] = [];
  let lies = "";
  const said = await makeOfSome({
    source: from,
    point,
    unpack: async ({ snapshot, base }, replicas) => {
      expect(lies).toBe("");
      lies = snapshot;
      if (base.kind === "snapshot" && damaged.includes(snapshot))
        await replicas.get(`extents/of-${snapshot}`, () => Promise.resolve(true));
      made.push(base.kind === "genesis" ? "image" : snapshot);
    },
    layOwnLog: async ({ base }, replicas) => {
      const log = base.kind === "snapshot" ? base.manifest : { log: undefined };
      for await (const bytes of readSnapshotLog(replicas, log, sealer)) made.push(String(bytes));
    },
    giveUp: () => {
      lies = "";
      return Promise.resolve();
    },
  });
  return { ...said, made };
}
const pointOf = (from: RestoreSource, id: string): Promise<RestorePoint> => {
  const progress = { begin: (): void => undefined, at: (): void => undefined };
  return pointOfSnapshot({ source: from, progress, signal: new AbortController().signal }, id);
};

describe("a snapshot whose own log lacks an extent", () => {
  beforeEach(putMine);

  it("is made with the volume's log, as long as that is there", async () => {
    const from = source();
    const point = await pointOf(from, "mine");
    expect(point.log).toBe("snapshot");
    const made = await make(from, point);
    expect(made).toMatchObject({
      point: { snapshot: "mine", log: "volume", end },
      made: ["mine", "mine"],
    });
    expect(passedOverLines(made)).toEqual([
      expect.stringMatching(
        /^snapshot mine could not be used: the log that it brought: extents\/.* is missing in /,
      ),
      "mine itself was, with the log behind it: nothing is missing",
    ]);
  });

  it("is refused where nothing else leads there: which, what it lacks, and what else there is", async () => {
    await put("older", { kind: "manual", startLsn: origin, endLsn: oldEnd });
    const from = withoutLog();
    await expect(make(from, await pointOf(from, "mine"))).rejects.toMatchObject({
      code: "XX001",
      message: expect.stringMatching(
        `^snapshot mine cannot be used: the log that it brought: ${extentObject(logExtent)} is missing in `,
      ),
      hint: "choose another snapshot: older",
    });
    await store.delete([snapshotObject("older")]);
    await expect(make(from, await pointOf(from, "mine"))).rejects.toMatchObject({
      hint: "there is no other snapshot",
    });
  });
});

it("says first how to reach a store that is away, where nothing else leads there", async () => {
  await put("mine", { kind: "manual", startLsn: origin, endLsn: oldEnd });
  await put("older", { kind: "manual", startLsn: origin, endLsn: oldEnd });
  const from = source();
  const point = await pointOf(from, "mine");
  const away = new BorealisError(sqlState.ioError, "az1-full does not answer", {
    hint: "start it: borealis storage start az1-full",
  });
  const failing = new (class extends Replicas {
    override get = (): Promise<never> => Promise.reject(away);
  })({ stores: [store], isSafe: () => true });
  const none = { ...withoutLog(), replicas: failing };
  await expect(make(none, point, ["mine"])).rejects.toMatchObject({
    code: "58030",
    message: "snapshot mine cannot be used: az1-full does not answer",
    hint: "start it: borealis storage start az1-full; or choose another snapshot: older",
  });
});

describe("the image that a volume was born with", () => {
  beforeEach(async () => {
    await put("newer", { startLsn: oldEnd, endLsn: advance(oldEnd, 100) });
    await put("genesis", { kind: "genesis", startLsn: image.startLsn, endLsn: image.startLsn });
  });
  const point = async (): Promise<RestorePoint> => {
    return { ...(await pointOf(source(), "newer")), end };
  };

  it("is what the log is replayed over if no newer snapshot will do: the one in the stores", async () => {
    const made = await make(source(), await point(), ["newer"]);
    expect(made).toMatchObject({ point: { snapshot: "genesis", end }, made: ["genesis"] });
  });

  it("is the one that lies here, if that in the stores will not do either", async () => {
    const from = source({ genesis: image });
    const made = await make(from, await point(), ["newer", "genesis"]);
    expect(made).toMatchObject({ point: { log: "volume", end }, made: ["image"] });
    expect(passedOverLines(made).at(-1)).toBe(
      "the image that the volume was born with was, with the log behind it: nothing is missing",
    );
    const born = await make(from, await pointOf(from, "genesis"), ["genesis"]);
    expect(born).toMatchObject({ point: { log: "none" }, made: ["image"] });
  });

  it("is nothing where log has gone that it goes on with", async () => {
    const from = withoutLog();
    await expect(make(from, await point(), ["newer"])).rejects.toMatchObject({
      message: expect.stringMatching(
        /^snapshot newer cannot be used: extents\/of-newer is missing/,
      ),
    });
    await store.delete([snapshotObject("genesis")]);
    await expect(make({ ...from, genesis: image }, await point(), ["newer"])).rejects.toMatchObject(
      { code: "XX001" },
    );
  });
});
