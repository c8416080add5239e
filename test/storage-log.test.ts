/** The log store over a real folder, driven at random beside a model of what it must hold. */
import { randomUUID } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { epoch, nodeId, timeline, volumeId } from "../src/base/ids.ts";
import { advance, type Lsn, lsn } from "../src/base/lsn.ts";
import { type Rng, seededRng } from "../src/base/rng.ts";
import { realDisk, realEntropy } from "../src/io/index.ts";
import { formattedState } from "../src/acceptor/index.ts";
import { fileHeaderBytes, frameHeaderBytes } from "../src/storage-node/frame.ts";
import { LogStore } from "../src/storage-node/log-store-shell.ts";
import type { NodeState } from "../src/storage-node/state-slots.ts";

const segmentBytes = 8 * 1024;
const base = lsn(0x100_0000n);
const keys = { current: 1, keys: new Map([[1, Buffer.alloc(32, 7)]]), acceptsPlain: false };
let folder = "";
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** The store, what it must hold, and what its owner has made durable beside it. */
class Rig {
  store: LogStore | undefined;
  readonly failures: unknown[] = [];
  /** Byte i stands at modelBase + i. */
  model: Buffer = Buffer.alloc(0);
  modelBase = base;
  private state: NodeState;
  private mark: { lsn: Lsn; sequence: number } | undefined;
  private epochNumber = 1;

  constructor() {
    folder = mkdtempSync(join(tmpdir(), "borealis-log-"));
    this.state = {
      acceptor: formattedState({
        volumeId: volumeId(randomUUID()),
        nodeId: nodeId(randomUUID()),
        base,
      }),
      cut: undefined,
      rotKnownEnd: undefined,
    };
  }

  get log(): LogStore {
    if (!this.store) throw new Error("the store is closed");
    return this.store;
  }
  get end(): Lsn {
    return advance(this.modelBase, this.model.length);
  }

  async open(): Promise<void> {
    const { state, mark } = this;
    const onFailure = (error: unknown): void => void this.failures.push(error);
    this.store = await LogStore.open({
      disk: realDisk,
      folder,
      state,
      mark,
      segmentBytes,
      cipher: { keys, entropy: realEntropy },
      onFailure,
    });
  }

  /** As after kill -9: the sync mark is where it was written last. */
  async reopen(): Promise<void> {
    await this.log.close();
    await this.open();
  }

  noteMark(): void {
    this.mark = { lsn: this.log.scl, sequence: this.log.shared.place.sequence };
  }

  /** What the acceptor's next state does for the store. */
  persist(): void {
    const acceptor = { ...this.state.acceptor, base: this.log.base };
    this.state = { acceptor, cut: this.log.cutClaim, rotKnownEnd: undefined };
    this.log.releaseHeld();
  }

  async append(rng: Rng): Promise<void> {
    const frames = Array.from({ length: 1 + rng.below(4) }, () => {
      const length = 1 + rng.below(2500);
      const isZeros = rng.below(4) === 0;
      const payload = Buffer.alloc(length, isZeros ? 0 : 1 + rng.below(255));
      return { epoch: epoch(this.epochNumber), timeline: timeline(1), payload };
    });
    expect(await this.log.append(frames)).toBe(true);
    this.model = Buffer.concat([this.model, ...frames.map((frame) => frame.payload)]);
  }

  cut(rng: Rng): void {
    const keep = rng.below(this.model.length + 1);
    this.log.cut(advance(this.modelBase, keep));
    this.model = this.model.subarray(0, keep);
    this.epochNumber++;
    this.persist();
  }

  rebase(rng: Rng): void {
    const to = advance(this.modelBase, rng.below(20_000));
    this.log.rebase(to);
    this.modelBase = to;
    this.model = Buffer.alloc(0);
    this.epochNumber++;
    this.persist();
  }

  trim(rng: Rng): void {
    const dropped = rng.below(this.model.length + 1);
    this.modelBase = advance(this.modelBase, dropped);
    this.model = this.model.subarray(dropped);
    this.log.trim(this.modelBase);
    this.persist();
  }

  async check(rng: Rng): Promise<void> {
    const { log } = this;
    expect(this.failures).toEqual([]);
    expect([log.base, log.scl]).toEqual([this.modelBase, this.end]);
    const from = rng.below(this.model.length + 1);
    const to = from + rng.below(this.model.length - from + 1);
    const range = { from: advance(this.modelBase, from), to: advance(this.modelBase, to) };
    const runs = await log.read({ ...range, limitBytes: 1_000_000 });
    const read = Buffer.concat(runs.map((run) => run.bytes));
    expect(read.equals(this.model.subarray(from, to))).toBe(true);
  }
}

async function step(rig: Rig, rng: Rng): Promise<string> {
  const dice = rng.below(100);
  if (dice < 45) return rig.append(rng).then(() => "append");
  if (dice < 55) return (rig.noteMark(), "mark");
  if (dice < 63) return (rig.cut(rng), "cut");
  if (dice < 66) return (rig.rebase(rng), "rebase");
  if (dice < 72) return (rig.trim(rng), "trim");
  if (dice < 85) return rig.reopen().then(() => "reopen");
  await rig.log.close();
  tearTail(rng);
  await rig.open();
  return "torn";
}

/** Half of a write that was never acknowledged: bytes behind the newest frame, up to a random place. */
function tearTail(rng: Rng): void {
  const newest = logFiles().findLast(({ bytes }) => bytes.readUInt32BE(0) !== 0);
  if (!newest) return;
  let end = newest.bytes.length;
  while (newest.bytes[end - 1] === 0) end--;
  // Clear of the newest frame, whose own last bytes may be zero.
  const at = end + 3000;
  if (at >= newest.bytes.length) return;
  newest.bytes.fill(0xa5, at, at + 1 + rng.below(newest.bytes.length - at));
  writeFileSync(newest.path, newest.bytes);
}

function logFiles(): { path: string; bytes: Buffer }[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith(".log"))
    .toSorted()
    .map((name) => join(folder, name))
    .map((path) => ({ path, bytes: readFileSync(path) }));
}

describe("the log store", () => {
  it.each(Array.from({ length: 25 }, (_, index) => index + 1))(
    "holds what was appended and not cut, through restarts and torn tails (seed %i)",
    async (seed) => {
      const rng = seededRng(seed);
      const rig = new Rig();
      await rig.open();
      const story: string[] = [];
      try {
        for (let i = 0; i < 60; i++) {
          story.push(await step(rig, rng));
          await rig.check(rng);
        }
      } catch (error) {
        throw new Error(`seed ${seed}: ${story.join(" ")}`, { cause: error });
      }
      await rig.store?.close();
    },
  );

  it("never revives the rest of a write that was torn in front", async () => {
    const rig = new Rig();
    await rig.open();
    const frame = (byte: number) => ({
      epoch: epoch(1),
      timeline: timeline(1),
      payload: Buffer.alloc(1000, byte),
    });
    await rig.log.append([frame(1), frame(2)]);
    await rig.log.close();
    // Of one write of two frames the disk kept only the second.
    const [file] = logFiles();
    if (!file) throw new Error("no log file");
    file.bytes.fill(0, fileHeaderBytes, fileHeaderBytes + frameHeaderBytes + 1000);
    writeFileSync(file.path, file.bytes);
    await rig.open();
    expect([rig.log.scl, rig.log.suspectTail]).toEqual([base, true]);
    await rig.log.append([{ ...frame(3), epoch: epoch(2) }]);
    await rig.reopen();
    expect(rig.log.scl).toBe(advance(base, 1000));
    const runs = await rig.log.read({ from: base, to: rig.log.scl, limitBytes: 5000 });
    expect(runs).toEqual([{ epoch: 2, timeline: 1, bytes: Buffer.alloc(1000, 3) }]);
    await rig.log.close();
  });

  it("takes no flipped bit of synced log for a torn tail", async () => {
    const rng = seededRng(99);
    const rig = new Rig();
    await rig.open();
    for (let i = 0; i < 12; i++) await rig.append(rng);
    rig.noteMark();
    await rig.log.close();
    const { end } = rig;
    const files = logFiles().filter(({ bytes }) => bytes.readUInt32BE(0) !== 0);
    for (let i = 0; i < 60; i++) {
      const file = files.at(-1 - (i % 2));
      if (!file) throw new Error("too few files");
      const used = file.bytes.findLastIndex((byte) => byte !== 0) + 1;
      const flipped = Buffer.from(file.bytes);
      const at = rng.below(used);
      flipped.writeUInt8(flipped.readUInt8(at) ^ (1 << rng.below(8)), at);
      writeFileSync(file.path, flipped);
      let found: LogStore | undefined;
      let refusal: unknown;
      try {
        await rig.open();
        found = rig.log;
      } catch (error) {
        refusal = error;
      }
      const isWhole = found?.rotKnownEnd === undefined && found?.scl === end;
      // Rot is named, or the store refuses to open: never a shorter log that says it is well. A flip in a file before
      // the sync mark's is found by whoever reads it.
      const isHonest = refusal !== undefined || found?.rotKnownEnd === end || isWhole;
      expect(isHonest, `byte ${at} of ${file.path}`).toBe(true);
      if (isWhole && found) {
        const read = found.read({ from: base, to: end, limitBytes: 1_000_000 });
        await expect(read).rejects.toThrow("is damaged");
      }
      await found?.close();
      for (const { path, bytes } of files) writeFileSync(path, bytes);
    }
  });
});
