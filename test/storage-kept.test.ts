/** Log beside the log on real disks: what a backtrack cuts off, what clones hold, and what lies behind a hole. */
import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { epoch } from "../src/base/ids.ts";
import { advance, bytesBetween, type Lsn } from "../src/base/lsn.ts";
import type { History, Pin } from "../src/quorum/index.ts";
import { frameHeaderBytes } from "../src/storage-node/frame.ts";
import { findFrames } from "../src/storage-node/frame-scan.ts";
import { LocalNodes } from "./helpers/storage-nodes.ts";
import { base, bytesAt, patiently, readLog, stateOf } from "./helpers/storage-process.ts";

let world: LocalNodes | undefined;
afterEach(async () => {
  await world?.close();
  world = undefined;
});

async function nodes(...names: string[]): Promise<LocalNodes> {
  world = await LocalNodes.start(names);
  return world;
}

/** Log [from, to) of `path`; undefined: the node does not have it. */
async function logOn(node: number, path: History, from: Lsn, to: Lsn) {
  const pieces: Buffer[] = [];
  const epochs: number[] = [];
  for (let at = from; at < to;) {
    const answer = await world?.ask(node, { kind: "getLog", path, from: at, to, maxVdl: false });
    if (answer?.kind !== "logData" || answer.runs.length === 0) return undefined;
    for (const run of answer.runs) {
      pieces.push(Buffer.from(run.bytes));
      if (epochs.at(-1) !== run.epoch) epochs.push(run.epoch);
      at = advance(at, run.bytes.length);
    }
  }
  return { epochs, isRight: Buffer.concat(pieces).equals(bytesAt(from, bytesBetween(from, to))) };
}

async function expectWhole(local: LocalNodes, node: number, to: Lsn): Promise<void> {
  const log = await readLog(await local.on(node), base, to);
  expect(log.equals(bytesAt(base, bytesBetween(base, to)))).toBe(true);
}

describe("a tail that a backtrack cut off", () => {
  it("is served to who names its path, also after a restart, until the low-water passes it", async () => {
    const local = await nodes("a");
    const first = await local.elect([0], { of: 1, path: [], start: base });
    const end = await local.append([0], { of: 1, from: base, pieces: 5, length: 900_000 });
    const fork = advance(base, 2_000_123);
    const back = await local.elect([0], { of: 2, path: first, start: fork, kind: "backtrack" });
    expect((await stateOf(await local.on(0))).scl).toBe(fork);
    expect(await logOn(0, first, fork, end)).toEqual({ epochs: [1], isRight: true });
    await local.append([0], { of: 2, from: fork, pieces: 3, length: 900_000 });
    await local.restart(0);
    expect(await logOn(0, first, base, end)).toEqual({ epochs: [1], isRight: true });
    expect(await logOn(0, back, base, end)).toEqual({ epochs: [1, 2], isRight: true });
    const low = advance(fork, 100_000);
    const link = await local.on(0);
    await link.request({ kind: "floor", epoch: epoch(2), lsn: low });
    link.send({ kind: "advanceLow", epoch: epoch(2), lsn: low });
    const retired = join(local.group.node(0).dir, "retired");
    await patiently("it is gone", () => readdirSync(retired).length === 0);
    expect(await logOn(0, first, fork, end)).toBeUndefined();
    expect(await logOn(0, back, low, end)).toEqual({ epochs: [2], isRight: true });
  });

  it("comes back when the backtrack is abandoned, with no peer's help", async () => {
    const local = await nodes("a");
    const first = await local.elect([0], { of: 1, path: [], start: base });
    const end = await local.append([0], { of: 1, from: base, pieces: 4, length: 900_000 });
    await local.elect([0], { of: 2, path: first, start: advance(base, 500), kind: "backtrack" });
    expect((await stateOf(await local.on(0))).scl).toBe(advance(base, 500));
    await local.restart(0);
    await local.elect([0], { of: 3, path: first, start: end });
    expect((await stateOf(await local.on(0))).scl).toBe(end);
    await expectWhole(local, 0, end);
    await local.restart(0);
    expect(await stateOf(await local.on(0))).toMatchObject({ scl: end, health: "ok" });
    await expectWhole(local, 0, end);
  });
});

describe("a pin", () => {
  const pinOf = (path: History, from: Lsn, to: Lsn): Pin => ({
    pinId: randomUUID(),
    path,
    from,
    to,
  });

  it("shares files with the log, and outlives low-water, backtrack and restart", async () => {
    const local = await nodes("a");
    const first = await local.elect([0], { of: 1, path: [], start: base });
    const end = await local.append([0], { of: 1, from: base, pieces: 8, length: 900_000 });
    const pin = pinOf(first, base, advance(end, -1_000));
    expect(await local.ask(0, { kind: "pin", epoch: epoch(1), ...pin })).toMatchObject({
      kind: "pinAck",
    });
    const [part = ""] = readdirSync(join(local.group.node(0).dir, "pins", pin.pinId));
    const folder = join(local.group.node(0).dir, "pins", pin.pinId, part);
    for (const name of readdirSync(folder)) expect(statSync(join(folder, name)).nlink).toBe(2);
    const low = advance(base, 5_000_000);
    const link = await local.on(0);
    await link.request({ kind: "floor", epoch: epoch(1), lsn: low });
    link.send({ kind: "advanceLow", epoch: epoch(1), lsn: low });
    await patiently("it is trimmed", async () => (await stateOf(link)).base === low);
    const fork = advance(low, 10_000);
    await local.elect([0], { of: 2, path: first, start: fork, kind: "backtrack", low });
    await local.append([0], { of: 2, from: fork, pieces: 2, length: 500_000 });
    for (const isRestarted of [false, true]) {
      if (isRestarted) await local.restart(0);
      expect(await logOn(0, first, base, pin.to)).toEqual({ epochs: [1], isRight: true });
    }
    const gone = { kind: "unpin", epoch: epoch(2), pinId: pin.pinId } as const;
    expect(await local.ask(0, gone)).toMatchObject({ kind: "pinAck" });
    expect(await logOn(0, first, base, low)).toBeUndefined();
    await patiently("files are gone", () => {
      return readdirSync(join(local.group.node(0).dir, "pins")).length === 0;
    });
  });

  it("is completed from a peer by a node that began above it", async () => {
    const local = await nodes("a", "b");
    const first = await local.elect([0], { of: 1, path: [], start: base });
    const end = await local.append([0], { of: 1, from: base, pieces: 5, length: 900_000 });
    const low = advance(base, 2_500_000);
    const link = await local.on(0);
    const pin = pinOf(first, base, advance(base, 4_000_000));
    await local.ask(0, { kind: "pin", epoch: epoch(1), ...pin });
    await link.request({ kind: "floor", epoch: epoch(1), lsn: low });
    link.send({ kind: "advanceLow", epoch: epoch(1), lsn: low });
    await patiently("it is trimmed", async () => (await stateOf(link)).base === low);
    // A new member: it rebases to the low-water, and fills itself from there.
    await local.elect([1], { of: 1, path: [], start: base });
    const { configuration } = await stateOf(await local.on(1));
    const joined = {
      kind: "configChange",
      epoch: epoch(1),
      configuration,
      low,
      floor: low,
    } as const;
    expect(await local.ask(1, joined)).toMatchObject({ kind: "configAck" });
    await local.untilHealthy(1, end);
    expect((await stateOf(await local.on(1))).base).toBe(low);
    const asked = await local.ask(1, { kind: "pin", epoch: epoch(1), ...pin });
    expect(asked).toMatchObject({ kind: "pinAck", pinId: pin.pinId });
    await local.stop(0);
    await local.restart(1);
    expect(await logOn(1, first, base, end)).toEqual({ epochs: [1], isRight: true });
    const again = await local.ask(1, { kind: "pin", epoch: epoch(1), ...pin });
    expect(again).toMatchObject({ kind: "pinAck", pinId: pin.pinId });
  });
});

/** Spoils the newest file of this node in the middle of the frame that has this LSN. */
function spoil(local: LocalNodes, node: number, at: Lsn): void {
  const folder = join(local.group.node(node).dir, "log");
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    const bytes = readFileSync(path);
    const frame = findFrames(bytes).find(({ header, end }) => header.lsn <= at && at < end);
    if (!frame) continue;
    const place = frame.at + frameHeaderBytes + Math.floor(frame.header.lengthBytes / 2);
    bytes.writeUInt8(bytes.readUInt8(place) ^ 16, place);
    return writeFileSync(path, bytes);
  }
  throw new Error(`no frame has ${at}`);
}

describe("rot", () => {
  it("in different places of the only two nodes is healed by each from the other", async () => {
    const local = await nodes("a", "b");
    await local.elect([0, 1], { of: 1, path: [], start: base });
    const end = await local.append([0, 1], { of: 1, from: base, pieces: 400, length: 30_000 });
    // A busy node writes what waits as one frame, of up to 1 MiB: no two of these may lie in frames that overlap.
    const places: [number, number][] = [
      [0, 1_500_000],
      [0, 9_000_000],
      [1, 4_000_000],
      [1, 6_500_000],
      [1, 11_500_000],
    ];
    // A node that runs may find the first of them, and mend it, while the next is looked for.
    await local.stop(0);
    await local.stop(1);
    for (const [node, at] of places) spoil(local, node, advance(base, at));
    await local.start(0);
    await local.start(1);
    for (const [node] of places) {
      // Whoever reads it finds it; then the node starts anew, damaged, and heals.
      await patiently("it reads well", async () => {
        await local.untilHealthy(node, end);
        return (
          (await readLog(await local.on(node), base, end).catch(() => undefined)) !== undefined
        );
      });
    }
    for (const node of [0, 1]) await expectWhole(local, node, end);
    for (const node of [0, 1]) {
      await local.restart(node);
      expect(await stateOf(await local.on(node))).toMatchObject({ scl: end, health: "ok" });
      await expectWhole(local, node, end);
    }
  });

  it("is no reason to take back a path that was given up meanwhile", async () => {
    const local = await nodes("a", "b");
    const first = await local.elect([0, 1], { of: 1, path: [], start: base });
    await local.append([0, 1], { of: 1, from: base, pieces: 40, length: 30_000 });
    spoil(local, 0, advance(base, 100_000));
    await local.stop(0);
    const fork = advance(base, 600_000);
    await local.elect([1], { of: 2, path: first, start: fork });
    const end = await local.append([1], { of: 2, from: fork, pieces: 10, length: 10_000 });
    await local.start(0);
    await patiently("it has followed", async () => {
      await readLog(await local.on(0), base, end).catch(() => undefined);
      const state = await stateOf(await local.on(0)).catch(() => undefined);
      return state?.accepted === 2 && state.health === "ok" && state.scl === end;
    });
    await expectWhole(local, 0, end);
  });
});
