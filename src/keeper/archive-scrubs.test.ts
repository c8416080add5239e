import { describe, expect, it } from "vitest";
import { MemoryStore } from "../../test/helpers/memory-store.ts";
import { BorealisError } from "../base/errors.ts";
import { epoch, volumeId } from "../base/ids.ts";
import { advance, lsn } from "../base/lsn.ts";
import { openLogger, realClock } from "../io/index.ts";
import {
  ExtentSealer,
  type Healing,
  logObject,
  type LogRange,
  type ObjectStore,
  openArchivedLog,
  putArchivedLog,
  ScrubTally,
  volumeObject,
} from "../volume/index.ts";
import { ArchiveHealing } from "./archive-heal-shell.ts";
import { ArchiveScrubs } from "./archive-scrubs-shell.ts";
import type { KeeperContext } from "./keeper-shell.ts";

const sealer = new ExtentSealer({
  volumeId: volumeId("11111111-2222-3333-4444-555555555555"),
  keys: undefined,
});
const start = lsn(0x100_0000n);
const rangeOf = (from: number, to: number): LogRange => {
  return { epoch: epoch(3), from: advance(start, from), to: advance(start, to) };
};
const nameOf = ({ epoch: of, from, to }: LogRange): string => logObject(of, from, to);
const bytesOf = (from: number, to: number): Buffer =>
  Buffer.from(Array.from({ length: to - from }, (_, k) => (from + k) % 251));

/** An archive of these ranges, no storage node that answers, and what a healing comes to if it is said. */
async function anArchive(spans: readonly (readonly [number, number])[], says?: Healing) {
  const store = new MemoryStore("objects");
  for (const [from, to] of spans)
    await putArchivedLog(store, sealer, rangeOf(from, to), bytesOf(from, to));
  const context = {
    clock: realClock,
    logger: openLogger({ file: undefined, process: "test" }),
    config: { az: "az1", volumeId: "11111111-2222-3333-4444-555555555555" },
    world: () => ({
      nodes: [],
      instances: [],
      durable: null,
      unreadable: [],
      futures: [],
      left: [],
    }),
    sealer: () => sealer,
    noteHealed: () => undefined,
  } as unknown as KeeperContext;
  const healing = new ArchiveHealing(context, () => []);
  const records: string[] = [];
  const scrubs = new ArchiveScrubs({
    context,
    archiver: {
      healLog: (at, range, signal) =>
        says ? Promise.resolve(says) : healing.heal(at, range, signal),
      healRecord: async () => {
        records.push("asked");
        return "gone";
      },
    },
    onChange: () => undefined,
  });
  const scrub = async () => {
    const tally = new ScrubTally<ObjectStore>();
    const { signal } = new AbortController();
    await scrubs.pass({ store, tally, pace: "now", signal });
    return tally.figuresOf(store);
  };
  const rot = (from: number, to: number): void =>
    void store.kept.set(nameOf(rangeOf(from, to)), Buffer.of(1));
  return { store, scrubs, scrub, rot, records };
}

describe("a scrub of the archive", () => {
  it("reads all of it, and asks after a record that is not there", async () => {
    const { scrub, records, scrubs } = await anArchive([
      [0, 100],
      [100, 300],
    ]);
    expect(await scrub()).toMatchObject({ checked: 2, healed: 0, unhealed: 0, problem: null });
    expect(records).toEqual(["asked"]);
    expect(scrubs.damage).toBeNull();
  });

  it("makes a damaged object again from others that have its bytes", async () => {
    const { store, scrub, rot } = await anArchive([
      [0, 100],
      [50, 150],
      [90, 300],
    ]);
    rot(50, 150);
    expect(await scrub()).toMatchObject({ checked: 3, healed: 1, unhealed: 0, problem: null });
    expect(await openArchivedLog(store, sealer, rangeOf(50, 150))).toEqual(bytesOf(50, 150));
  });

  it("does not call lost what it cannot know: no storage node answers", async () => {
    const { scrub, rot, scrubs } = await anArchive([
      [0, 100],
      [100, 200],
    ]);
    rot(100, 200);
    expect(await scrub()).toMatchObject({
      healed: 0,
      unhealed: 1,
      problem: "no storage node says which log it has",
    });
    expect(scrubs.damage).toBeNull();
  });

  it("tells what nobody has any more, until it is good, or dropped", async () => {
    const { store, scrub, rot, scrubs } = await anArchive([[0, 100]], "lost");
    rot(0, 100);
    const told =
      `${nameOf(rangeOf(0, 100))} is damaged, and nobody has its content: ` +
      "no restore replays over it, only one that begins behind it";
    expect(await scrub()).toMatchObject({ unhealed: 1, problem: told });
    expect(scrubs.damage).toBe(told);
    store.kept.delete(nameOf(rangeOf(0, 100)));
    expect(await scrub()).toMatchObject({ unhealed: 0, problem: null });
    expect(scrubs.damage).toBeNull();
  });

  it("stops asking a store that is away", async () => {
    const spans = Array.from({ length: 9 }, (_, k) => [k * 10, k * 10 + 10] as const);
    const { store, scrub } = await anArchive(spans);
    const { get } = store;
    let asked = 0;
    store.get = async (name) => {
      if (name === volumeObject) return get.call(store, name);
      asked++;
      throw new BorealisError("58030", "it is away");
    };
    expect(await scrub()).toMatchObject({
      checked: 0,
      problem: expect.stringMatching(/it is away/),
    });
    expect(asked).toBe(3);
  });
});
