import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LogBuilder } from "../../test/helpers/log-builder.ts";
import { manifestOf } from "../../test/helpers/snapshot-object.ts";
import { epoch, timeline, volumeId } from "../base/ids.ts";
import { advance, bytesBetween, formatLsn, lsn, type Lsn, segmentStart } from "../base/lsn.ts";
import {
  automaticSnapshotId,
  Deletions,
  encodeManifest,
  ExtentSealer,
  FolderStore,
  type LogPath,
  onlyStore,
  snapshotObject,
  type SnapshotManifest,
} from "../volume/index.ts";
import { pageBytes, segmentBytes } from "../wal/index.ts";
import { olderPoint, pointOfMoment, pointOfSnapshot, type RestorePoint } from "./restore-point.ts";
import type { RestoreSource } from "./restore-source.ts";

const folder = mkdtempSync(join(tmpdir(), "borealis-point-"));
const store = new FolderStore(folder);
const volume = volumeId("11111111-2222-3333-4444-555555555555");
const sealer = new ExtentSealer({ volumeId: volume, keys: undefined });
const { signal } = new AbortController();
const progress = { begin: (): void => undefined, at: (): void => undefined };

const origin = lsn(0x5000000n);
const startMs = Date.UTC(2026, 10, 28, 12);
const path: LogPath = [
  { epoch: epoch(1), timeline: timeline(1), start: origin, kind: "branch" },
  { epoch: epoch(3), timeline: timeline(3), start: advance(origin, 40_000_000), kind: "branch" },
];

/** Four segments with a commit every MiB, one a second. */
const log = new LogBuilder(origin, (4 * segmentBytes) / pageBytes);
const commits: { atMs: number; before: Lsn; end: Lsn }[] = [];

async function put(changes: Partial<SnapshotManifest> & Pick<SnapshotManifest, "id" | "endLsn">) {
  const manifest: SnapshotManifest = {
    ...manifestOf(changes.id, sealer, new Map()),
    volumeId: volume,
    history: path,
    startLsn: advance(changes.endLsn, -1000),
    takenAtMs: startMs,
    ...changes,
  };
  const sealed = await sealer.sealManifest(manifest.id, encodeManifest(manifest));
  await store.put(snapshotObject(manifest.id), sealed);
  return manifest.id;
}

/** Taken when the commit had been made for half a second. */
async function automatic(index: number, changes: Partial<SnapshotManifest> = {}): Promise<string> {
  const { end, atMs } = commits[index] ?? { end: origin, atMs: startMs };
  const startLsn = advance(end, -1000);
  const takenAtMs = atMs + 500;
  const id = automaticSnapshotId(takenAtMs, startLsn);
  return put({ id, endLsn: end, startLsn, takenAtMs, ...changes });
}

function source(changes: Partial<RestoreSource["log"]> = {}): RestoreSource {
  const read = (from: Lsn, to: Lsn): Promise<Buffer> =>
    Promise.resolve(
      log.bytes.subarray(bytesBetween(origin, from), bytesBetween(origin, to)).subarray(0, 500_000),
    );
  const { end: to } = log;
  const latestMs = startMs + 3_600_000;
  const pieces = (): AsyncIterable<Buffer> => {
    throw new Error("nobody lays log out here");
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
      createdAtMs: startMs,
      readers: 0,
    },
    stores: [store],
    replicas: onlyStore(store),
    sealer,
    deletions: new Deletions(),
    genesis: undefined,
    log: { path, from: origin, to, latestMs, read, pieces, ...changes },
    left: [],
    close: () => Promise.resolve(),
  };
}

const atTime = (ms: number, from = source()): Promise<RestorePoint> =>
  pointOfMoment({ source: from, progress, signal }, { kind: "time", timeUs: BigInt(ms) * 1000n });
const atLsn = (at: Lsn, from = source()): Promise<RestorePoint> =>
  pointOfMoment({ source: from, progress, signal }, { kind: "lsn", at });

let ids: string[] = [];
let mine = "";
const ofCommit = (index: number): { atMs: number; before: Lsn; end: Lsn } => {
  const found = commits[index];
  if (!found) throw new Error("there is no such commit");
  return found;
};

beforeAll(async () => {
  for (let i = 1; log.at < 4 * segmentBytes - 2 * 1024 * 1024; i++) {
    const atMs = startMs + i * 1000;
    const before = log.record(1024 * 1024 - 200);
    commits.push({ atMs, before, end: log.commit(BigInt(atMs) * 1000n) });
  }
  ids = [await automatic(5), await automatic(20), await automatic(45)];
  // Of a path that the volume has left: epoch 2 was never chosen.
  const left = [...path.slice(0, 1), { ...path[1], epoch: epoch(2) }] as LogPath;
  await automatic(50, { history: left });
  const { end: endLsn, atMs: takenAtMs } = ofCommit(30);
  mine = await put({ id: "mine", kind: "manual", endLsn, takenAtMs });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("what a restore is made of", () => {
  it("is the newest snapshot before the moment, and the log up to it", async () => {
    const [first = "", second = "", third = ""] = ids;
    const expected: [number, string][] = [
      [6, first],
      [19, first],
      [22, second],
      [55, third],
    ];
    for (const [index, id] of expected) {
      const { atMs, end } = ofCommit(index);
      const next = ofCommit(index + 1);
      expect(await atTime(atMs)).toMatchObject({ snapshot: id, log: "volume", end: next.before });
      expect(await atLsn(advance(end, 5))).toMatchObject({ snapshot: id, log: "volume", end });
    }
    // A user's serves moments as well as any other.
    expect(await atTime(ofCommit(40).atMs)).toMatchObject({ snapshot: mine });
  });

  it("is the one before, if every copy of a manifest is damaged", async () => {
    const object = join(folder, snapshotObject(ids[1] ?? ""));
    const good = await store.get(snapshotObject(ids[1] ?? ""));
    writeFileSync(object, "rotten");
    expect(await atTime(ofCommit(22).atMs)).toMatchObject({ snapshot: ids[0] });
    await store.put(snapshotObject(ids[1] ?? ""), good ?? Buffer.alloc(0));
    expect(await atTime(ofCommit(22).atMs)).toMatchObject({ snapshot: ids[1] });
  });

  it("is the next older one, and the same log's end, if what it was made of fails", async () => {
    const [first = "", second = ""] = ids;
    const point = await atTime(ofCommit(22).atMs);
    const tried = (lacks: (id: string) => boolean, ...tried: string[]) => {
      return { ids: new Set(tried), lacks: ({ id }: SnapshotManifest) => lacks(id) };
    };
    const none = (): boolean => false;
    const older = await olderPoint(source(), point, tried(none, second));
    expect(older).toMatchObject({ snapshot: first, log: "volume", end: point.end });
    expect(await olderPoint(source(), point, tried(none, second, first))).toBeUndefined();
    expect(
      await olderPoint(
        source(),
        point,
        tried((id) => id === first, second),
      ),
    ).toBeUndefined();
    const late = await atTime(ofCommit(40).atMs);
    expect(late).toMatchObject({ snapshot: mine });
    const shared = tried((id) => id === second, mine);
    expect(await olderPoint(source(), late, shared)).toMatchObject({ snapshot: first });
    // Log that has gone leads nowhere.
    const from = lsn(origin + BigInt(segmentBytes));
    expect(await olderPoint(source({ from }), point, tried(none, second))).toBeUndefined();
  });

  it("is no older one for a snapshot of a history that was left, or beyond the log", async () => {
    const search = { source: source(), progress, signal };
    const { end: endLsn } = ofCommit(48);
    const pieces = [{ extent: undefined, at: 0, lengthBytes: bytesBetween(origin, endLsn) }];
    const log = { from: origin, to: endLsn, pieces };
    const history = [...path.slice(0, 1), { ...path[1], epoch: epoch(2) }] as LogPath;
    const none = { lacks: () => false };
    for (const [id, facts] of [
      ["of-the-left", { history }],
      ["of-this", {}],
    ] as const) {
      await put({ id, kind: "manual", endLsn, log, ...facts });
      const point = await pointOfSnapshot(search, id);
      expect(point).toMatchObject({ snapshot: id, log: "snapshot", end: endLsn });
      const tried = { ...none, ids: new Set([id]) };
      const found = await olderPoint(source(), point, tried);
      expect(found?.snapshot).toBe(id === "of-this" ? ids[2] : undefined);
      const short = source({ to: ofCommit(46).end });
      expect(await olderPoint(short, point, tried)).toBeUndefined();
      await store.delete([snapshotObject(id)]);
    }
  });

  it("is everything there is at the end of the log", async () => {
    const { log: found, end } = await pointOfMoment(
      { source: source(), progress, signal },
      { kind: "latest" },
    );
    expect([found, end]).toEqual(["volume", commits.at(-1)?.end]);
  });

  it("lies in a window, and the error says in which", async () => {
    const window = /outside of what can be restored: 2026-11-28T12:00:06.* to 2026-11-28T13:00:00/;
    await expect(atTime(startMs - 1)).rejects.toMatchObject({
      code: "22023",
      message: expect.stringMatching(window),
    });
    await expect(atTime(startMs + 3_600_001)).rejects.toThrow(window);
    const range = new RegExp(
      `outside .*: ${formatLsn(advance(ofCommit(5).end, -1000))} to ${formatLsn(log.end)}`,
    );
    await expect(atLsn(advance(log.end, 8))).rejects.toThrow(range);
    await expect(atLsn(ofCommit(4).end)).rejects.toThrow(range);
  });

  it("is none where a store has snapshots and no log, and the error says what can be restored", async () => {
    const copy = source({ to: origin, latestMs: 0 });
    const refusal = {
      code: "22023",
      message: "here has snapshots of the volume and none of its log: --to finds no moment there",
      hint: expect.stringMatching(/^restore a snapshot as it was .*, with --from: mine$/),
    };
    await expect(atTime(ofCommit(10).atMs, copy)).rejects.toMatchObject(refusal);
    await expect(atLsn(ofCommit(10).end, copy)).rejects.toMatchObject(refusal);
    const latest = pointOfMoment({ source: copy, progress, signal }, { kind: "latest" });
    await expect(latest).rejects.toMatchObject(refusal);
    // Log without a commit in it.
    const silent = source({ latestMs: 0 });
    await expect(atTime(ofCommit(10).atMs, silent)).rejects.toThrow(
      /can be restored: no time is known of its log, the LSNs are 0\/[0-9A-F]+ to 0\/[0-9A-F]+$/,
    );
  });

  it("is refused in a future that was left, and the error names the backtrack", async () => {
    const { end: fork, atMs } = ofCommit(20);
    const leftAtMs = ofCommit(30).atMs;
    const firstUs = BigInt(ofCommit(25).atMs) * 1000n;
    const more = { firstUs, returned: undefined, untilMs: undefined };
    const left = [{ fork, end: ofCommit(28).end, leftAtMs, ...more }];
    const after = { ...source(), left };
    const why = new RegExp(
      `is in a future that was left: a backtrack went to another moment at ${new Date(leftAtMs).toISOString()}`,
    );
    for (const find of [
      () => atTime(ofCommit(25).atMs, after),
      () => atTime(leftAtMs - 1, after),
      () => atLsn(ofCommit(28).end, after),
    ])
      await expect(find()).rejects.toMatchObject({
        code: "22023",
        message: expect.stringMatching(why),
        hint: expect.stringMatching(/^borealis backtrack --to [^ ]+ goes there again, and then /),
      });
    await expect(atLsn(advance(fork, 1), after)).rejects.toMatchObject({
      message: expect.stringMatching(why),
      hint: expect.stringMatching(/^the present path has that LSN, too: name a time/),
    });
    expect(await atTime(atMs, after)).toEqual(await atTime(atMs));
    expect(await atTime(leftAtMs, after)).toEqual(await atTime(leftAtMs));
    expect(await atLsn(fork, after)).toEqual(await atLsn(fork));
    expect(await atLsn(ofCommit(29).end, after)).toEqual(await atLsn(ofCommit(29).end));
    const gone = left.map((one) => ({ ...one, untilMs: leftAtMs + 1000 }));
    await expect(atTime(leftAtMs - 1, { ...source(), left: gone })).rejects.toMatchObject({
      hint: expect.stringMatching(/^until 2026-.*Z it could be returned to; /),
    });
    const lost = gone.map((one) => ({ ...one, merged: 70 }));
    for (const find of [
      () => atTime(ofCommit(25).atMs, { ...source(), left: lost }),
      () => atLsn(ofCommit(27).end, { ...source(), left: lost }),
    ])
      await expect(find()).rejects.toMatchObject({
        code: "22023",
        message: expect.stringMatching(
          / may be in one of 70 futures that backtracks left up to 2026-.*Z, of which none is remembered for itself$/,
        ),
        hint: expect.stringMatching(/^no part of them is what is below [^ ]+, or a time from /),
      });
    // In a clone, none of what only its parent can.
    const parents = gone.map((one) => ({ ...one, isParents: true as const }));
    await expect(atTime(leftAtMs - 1, { ...source(), left: parents })).rejects.toMatchObject({
      message: expect.stringMatching(why),
      hint: expect.stringMatching(
        /^it was left before this clone was made: the cluster that left it may still have it; no part of that future is what is below /,
      ),
    });
    // Nor a place that cannot be had.
    const from = segmentStart(advance(fork, segmentBytes));
    await expect(
      atLsn(ofCommit(28).end, { ...source({ from }), left: parents }),
    ).rejects.toMatchObject({
      hint: expect.stringMatching(/; no part of that future is a time from [^;]+ on$/),
    });
  });

  it("is nothing where log has gone that the snapshots go on with", async () => {
    const from = lsn(origin + BigInt(segmentBytes));
    expect(await atTime(ofCommit(22).atMs, source({ from }))).toMatchObject({ snapshot: ids[1] });
    await expect(atTime(ofCommit(10).atMs, source({ from }))).rejects.toThrow(/outside/);
    const gone = source({ from: log.end });
    await expect(atLsn(log.end, gone)).rejects.toMatchObject({ code: "55000" });
  });

  it("is a snapshot itself, with the volume's log or its own", async () => {
    const search = { source: source(), progress, signal };
    const [first = ""] = ids;
    const { end } = ofCommit(5);
    expect(await pointOfSnapshot(search, first)).toMatchObject({ log: "volume", end });
    await expect(pointOfSnapshot(search, "other")).rejects.toMatchObject({ code: "22023" });
    const gone = { ...search, source: source({ from: lsn(origin + BigInt(segmentBytes)) }) };
    await expect(pointOfSnapshot(gone, first)).rejects.toMatchObject({
      code: "55000",
      message: expect.stringMatching(/the log that snapshot auto-.* needs is gone/),
    });
    const pieces = [{ extent: undefined, at: 0, lengthBytes: bytesBetween(origin, end) }];
    const own = { from: origin, to: end, pieces };
    await put({ id: "kept", kind: "manual", endLsn: end, log: own });
    expect(await pointOfSnapshot(gone, "kept")).toMatchObject({ log: "snapshot", end });
  });
});
