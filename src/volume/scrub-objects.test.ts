import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { MemoryStore } from "../../test/helpers/memory-store.ts";
import { passingClock } from "../../test/helpers/passing-clock.ts";
import { manifestOf } from "../../test/helpers/snapshot-object.ts";
import { BorealisError } from "../base/errors.ts";
import { volumeId } from "../base/ids.ts";
import { realClock } from "../io/index.ts";
import type { DataKeys } from "../keys/index.ts";
import {
  deleteSnapshot,
  Deletions,
  encodeManifest,
  extentObject,
  extentPrefix,
  ExtentSealer,
  ObjectScrub,
  type ObjectScrubOptions,
  snapshotObject,
  tombstonePrefix,
} from "./index.ts";

const volume = volumeId("11111111-2222-3333-4444-555555555555");
const keyOne = randomBytes(32);

function keysWith(...more: Buffer[]): DataKeys {
  const all = [keyOne, ...more].map((key, at): [number, Buffer] => [at + 1, key]);
  return { current: all.length, keys: new Map(all), acceptsPlain: false };
}

const plainSealer = new ExtentSealer({ volumeId: volume, keys: undefined });
const encrypting = new ExtentSealer({ volumeId: volume, keys: keysWith() });
const unreachable = new BorealisError("58030", "it does not answer", { hint: "start it" });
/** What both snapshots name, and what each has alone. */
const shared = Buffer.alloc(5_000, "shared");
const alone = { first: Buffer.alloc(2_000, "one"), second: randomBytes(3_000) };
type Id = keyof typeof alone;

/** Three stores with two snapshots, byte for byte alike; `scrub` makes one pass over them. */
class World {
  readonly stores = [
    new MemoryStore("az1-full"),
    new MemoryStore("az2-full"),
    new MemoryStore("objects"),
  ] as const;
  readonly deletions = new Deletions();
  readonly events: string[] = [];
  sealer: ExtentSealer;

  private constructor(sealer: ExtentSealer) {
    this.sealer = sealer;
  }

  static async of(sealer: ExtentSealer): Promise<World> {
    const world = new World(sealer);
    for (const id of ["first", "second"] as const) await world.put(id);
    return world;
  }

  private async put(id: Id): Promise<void> {
    const { sealer } = this;
    const extents = new Map<string, { plainBytes: number; storedBytes: number }>();
    for (const plain of [shared, alone[id]]) {
      const extent = sealer.idOf(plain);
      const name = extentObject(extent);
      const sealed = this.stores[0].kept.get(name) ?? (await sealer.sealExtent(extent, plain));
      for (const store of this.stores) store.kept.set(name, Buffer.from(sealed));
      extents.set(extent, { plainBytes: plain.length, storedBytes: sealed.length });
    }
    const encoded = encodeManifest(manifestOf(id, sealer, extents));
    const sealed = await sealer.sealManifest(id, encoded);
    for (const store of this.stores) store.kept.set(snapshotObject(id), Buffer.from(sealed));
  }

  nameOf(plain: Buffer): string {
    return extentObject(this.sealer.idOf(plain));
  }

  picture(): Map<string, string>[] {
    return this.stores.map(
      ({ kept }) => new Map([...kept].map(([name, bytes]) => [name, bytes.toString("base64")])),
    );
  }

  async delete(id: Id): Promise<void> {
    const { stores, deletions, sealer } = this;
    await deleteSnapshot({ id, stores, deletions, sealer, nowMs: 0 });
  }

  async scrub(changes: Partial<ObjectScrubOptions> = {}): Promise<ObjectScrub> {
    const scrub = new ObjectScrub({
      stores: () => this.stores,
      targets: () => this.stores,
      sealer: () => this.sealer,
      inTurn: (work) => work(this.deletions),
      pace: "now",
      clock: realClock,
      signal: new AbortController().signal,
      events: {
        onHealed: ({ label }, name) => this.events.push(`${label} ${name} healed`),
        onNotHealed: ({ label }, name) => this.events.push(`${label} ${name} not healed`),
        onLost: ({ name, snapshots }) => this.events.push(`${name} lost: ${snapshots.join()}`),
      },
      ...changes,
    });
    await scrub.run();
    return scrub;
  }
}

function flip(store: MemoryStore, name: string, at: number): void {
  const bytes = store.kept.get(name);
  if (!bytes) throw new Error(`no ${name}`);
  bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << (at % 8)), at);
}

describe.each([
  ["encrypted", encrypting],
  ["plain", plainSealer],
])("a scrub of the objects of a volume that is %s", (_, sealer) => {
  it("finds everything well that is", async () => {
    const world = await World.of(sealer);
    const { tally } = await world.scrub();
    for (const store of world.stores) {
      const checkedBytes = [...store.kept.values()].reduce((sum, { length }) => sum + length, 0);
      const wanted = { checked: 5, checkedBytes, healed: 0, unhealed: 0, problem: null };
      expect(tally.figuresOf(store)).toEqual(wanted);
    }
    expect([tally.lost, world.events]).toEqual([[], []]);
  });

  it("finds a flipped bit of any byte of any object, and heals it", async () => {
    const world = await World.of(sealer);
    const before = world.picture();
    for (const [place, store] of world.stores.entries()) {
      for (let round = 0; round < 40; round++) {
        for (const [name, { length }] of store.kept)
          flip(store, name, round < 32 ? round : (round * 7_919 + place) % length);
        const { tally } = await world.scrub();
        expect(tally.figuresOf(store)).toMatchObject({ healed: 5, unhealed: 0, problem: null });
        expect(world.picture()).toEqual(before);
      }
    }
  });

  it("heals what is cut, empty, missing, or what lies under another's name", async () => {
    const world = await World.of(sealer);
    const before = world.picture();
    const [first, second, third] = world.stores;
    const bytesOf = (plain: Buffer) => first.kept.get(world.nameOf(plain)) ?? Buffer.alloc(0);
    first.kept.set(world.nameOf(shared), Buffer.alloc(0));
    first.kept.set(world.nameOf(alone.first), bytesOf(alone.second));
    second.kept.delete(world.nameOf(shared));
    third.kept.set(world.nameOf(alone.first), Buffer.from("no object"));
    third.kept.set(
      snapshotObject("first"),
      third.kept.get(snapshotObject("second")) ?? Buffer.of(),
    );
    const { tally } = await world.scrub();
    expect(world.stores.map((store) => tally.figuresOf(store).healed)).toEqual([2, 1, 2]);
    expect(world.picture()).toEqual(before);
  });

  it("tells what is good nowhere, and which snapshots are hurt", async () => {
    const world = await World.of(sealer);
    for (const store of world.stores) {
      flip(store, world.nameOf(shared), 40);
      flip(store, snapshotObject("second"), 40);
    }
    world.stores[1].kept.delete(world.nameOf(alone.first));
    for (const store of [world.stores[0], world.stores[2]])
      flip(store, world.nameOf(alone.first), 50);
    const { tally } = await world.scrub();
    // What "second" names nobody can tell: it is lost itself.
    const lost = [
      { name: snapshotObject("second"), snapshots: ["second"] },
      { name: world.nameOf(shared), snapshots: ["first"] },
      { name: world.nameOf(alone.first), snapshots: ["first"] },
    ];
    expect(tally.lost.toSorted((a, b) => (a.name < b.name ? 1 : -1))).toEqual(
      lost.toSorted((a, b) => (a.name < b.name ? 1 : -1)),
    );
    for (const store of world.stores)
      expect(tally.figuresOf(store)).toMatchObject({
        healed: 0,
        unhealed: 3,
        problem: expect.stringContaining("no store has a good copy of snapshots/second.manifest"),
      });
    expect(world.events.filter((event) => event.includes("lost")).length).toBe(3);
  });

  it("names every snapshot that shares what is lost", async () => {
    const world = await World.of(sealer);
    for (const store of world.stores) store.kept.delete(world.nameOf(shared));
    const { tally } = await world.scrub();
    expect(tally.lost).toEqual([{ name: world.nameOf(shared), snapshots: ["first", "second"] }]);
  });
});

describe("a scrub", () => {
  it("of some stores reads the others for good copies only", async () => {
    const world = await World.of(encrypting);
    const [first, second, third] = world.stores;
    for (const store of [first, third]) flip(store, world.nameOf(shared), 60);
    const { tally } = await world.scrub({ targets: () => [third] });
    expect(tally.figuresOf(third)).toMatchObject({ checked: 5, healed: 1, unhealed: 0 });
    expect(tally.figuresOf(second).checked).toBe(0);
    expect(third.kept.get(world.nameOf(shared))).toEqual(second.kept.get(world.nameOf(shared)));
  });

  it("brings no manifest where there is none: its extents may not be there", async () => {
    const world = await World.of(encrypting);
    const [first] = world.stores;
    first.kept.delete(snapshotObject("first"));
    await world.scrub();
    expect(first.kept.has(snapshotObject("first"))).toBe(false);
  });

  it("lets go what was deleted while it ran, and brings none of it back", async () => {
    const world = await World.of(encrypting);
    let turns = 0;
    const { tally } = await world.scrub({
      inTurn: async (work) => {
        const result = await work(world.deletions);
        // Its manifests have been read by now, its extents have not.
        if (++turns === 2) {
          await world.delete("first");
          for (const store of world.stores) store.kept.delete(world.nameOf(alone.first));
        }
        return result;
      },
    });
    expect(tally.lost).toEqual([]);
    for (const store of world.stores) {
      expect(tally.figuresOf(store)).toMatchObject({ healed: 0, unhealed: 0, problem: null });
      const extents = [...store.kept.keys()].filter((name) => name.startsWith(extentPrefix));
      expect(extents.length).toBe(2);
      expect(store.kept.has(snapshotObject("first"))).toBe(false);
    }
  });

  it("does not give a store an older snapshot of an id that was deleted", async () => {
    const world = await World.of(encrypting);
    const [first, second] = world.stores;
    const sealed = second.kept.get(snapshotObject("first"));
    if (!sealed) throw new Error("no manifest");
    await world.delete("first");
    // One store was away, and has it still; the copy of another is rotten.
    second.kept.set(snapshotObject("first"), sealed);
    first.kept.set(snapshotObject("first"), Buffer.from("rot"));
    const { tally } = await world.scrub();
    expect(first.kept.get(snapshotObject("first"))?.toString()).toBe("rot");
    expect(tally.figuresOf(first)).toMatchObject({ healed: 0, unhealed: 0 });
  });

  it("heals tombstones, and misses none that is good nowhere", async () => {
    const world = await World.of(encrypting);
    await world.delete("first");
    const before = world.picture();
    const [name = ""] = [...world.stores[0].kept.keys()].filter((one) =>
      one.startsWith(tombstonePrefix),
    );
    flip(world.stores[1], name, 50);
    const { tally } = await world.scrub();
    expect(tally.figuresOf(world.stores[1]).healed).toBe(1);
    // Each store's is sealed for itself; the content is the same.
    expect(world.stores[1].kept.get(name)).toEqual(world.stores[0].kept.get(name));
    expect(world.picture()[0]).toEqual(before[0]);
    for (const store of world.stores) flip(store, name, 50);
    const again = await world.scrub();
    expect(again.tally.lost).toEqual([]);
  });

  it("passes over a store that does not answer, says so, and is not held up by it", async () => {
    const world = await World.of(encrypting);
    const [first, second, third] = world.stores;
    flip(first, world.nameOf(shared), 60);
    second.failure = unreachable;
    const { tally } = await world.scrub();
    expect(tally.figuresOf(first)).toMatchObject({ healed: 1, unhealed: 0, problem: null });
    expect(tally.figuresOf(second)).toEqual({
      checked: 0,
      checkedBytes: 0,
      healed: 0,
      unhealed: 0,
      problem: "5 objects were not read: it does not answer",
    });
    // Without it there is no good copy: it may have one, so nothing is lost.
    flip(first, world.nameOf(alone.second), 60);
    flip(third, world.nameOf(alone.second), 60);
    const again = await world.scrub();
    expect(again.tally.lost).toEqual([]);
    expect(again.tally.figuresOf(first)).toMatchObject({
      unhealed: 1,
      problem: "it does not answer",
    });
    second.failure = undefined;
    const last = await world.scrub();
    expect(world.stores.map((store) => last.tally.figuresOf(store).healed)).toEqual([1, 0, 1]);
  });

  it("tells of a store that does not take the good copy", async () => {
    const world = await World.of(encrypting);
    const [first] = world.stores;
    flip(first, world.nameOf(shared), 60);
    first.put = () => Promise.reject(new BorealisError("53100", "it is full"));
    const { tally } = await world.scrub();
    expect(tally.figuresOf(first)).toMatchObject({ healed: 0, unhealed: 1, problem: "it is full" });
    expect(world.events).toEqual([`az1-full ${world.nameOf(shared)} not healed`]);
  });

  it("touches nothing that it has no key for", async () => {
    const world = await World.of(encrypting);
    const newer = new ExtentSealer({ volumeId: volume, keys: keysWith(randomBytes(32)) });
    const id = newer.idOf(shared);
    world.stores[1].kept.set(extentObject(id), await newer.sealExtent(id, shared));
    const before = world.picture();
    const { tally } = await world.scrub();
    expect(tally.figuresOf(world.stores[1])).toMatchObject({
      healed: 0,
      unhealed: 0,
      problem: expect.stringContaining("1 objects were not read"),
    });
    expect(world.picture()).toEqual(before);
  });

  it("decides of suspects only what it has seen", async () => {
    const world = await World.of(encrypting);
    const { stores } = world;
    const named = [world.nameOf(shared), world.nameOf(alone.first), snapshotObject("second")];
    const unnamed = [extentObject("0".repeat(64)), snapshotObject("gone")];
    const suspects = [...named, ...unnamed];
    const undecided = async (changes: Partial<ObjectScrubOptions> = {}): Promise<string[]> => [
      ...(await world.scrub({ suspects, ...changes })).undecided,
    ];
    expect(await undecided()).toEqual([]);
    // There is nothing to be looked at: stores are being filled.
    const none = await undecided({ targets: () => [] });
    expect(none.toSorted()).toEqual([...suspects, snapshotObject("first")].toSorted());
    // Who is away may show a snapshot that no other one does.
    stores[1].failure = unreachable;
    expect(await undecided()).toEqual(unnamed);
    // What it heals it has seen.
    for (const name of named) flip(stores[0], name, 60);
    expect(await undecided({ targets: () => [stores[0]] })).toEqual(unnamed);
    stores[1].failure = undefined;
    // What was lost is told, and nobody knows what else this manifest names.
    for (const store of stores) {
      flip(store, snapshotObject("second"), 40);
      flip(store, world.nameOf(alone.first), 40);
    }
    const { tally, undecided: left } = await world.scrub({ suspects });
    expect([...left]).toEqual(unnamed);
    expect(tally.lost.map(({ name }) => name)).toEqual([
      snapshotObject("second"),
      world.nameOf(alone.first),
    ]);
  });

  it("is whole when all that is lost was found", async () => {
    const world = await World.of(encrypting);
    const [first, second, third] = world.stores;
    const isWhole = async (...targets: readonly MemoryStore[]): Promise<boolean> =>
      (await world.scrub({ targets: () => targets })).isWhole;
    expect([await isWhole(...world.stores), await isWhole()]).toEqual([true, false]);
    for (const store of world.stores) flip(store, world.nameOf(shared), 60);
    expect(await isWhole(first, second)).toBe(true);
    for (const store of world.stores) flip(store, world.nameOf(shared), 60);
    // It is good where nobody looks; then nobody knows.
    const good = first.kept.get(world.nameOf(alone.first)) ?? Buffer.alloc(0);
    for (const store of [first, second]) store.kept.delete(world.nameOf(alone.first));
    third.failure = unreachable;
    expect(await isWhole(first, second)).toBe(false);
    first.kept.set(world.nameOf(alone.first), good);
    // What that one alone shows nobody knows either.
    expect(await isWhole(first, second)).toBe(false);
    third.failure = undefined;
    expect(await isWhole(first, second)).toBe(true);
    // There are no stores any more to look for the extents in.
    let looks = 0;
    const scrub = await world.scrub({ targets: () => (++looks > 3 ? [] : [first]) });
    expect([scrub.tally.figuresOf(first).checked, scrub.isWhole]).toEqual([2, false]);
  });

  it("decides of suspects what nobody names any more when it comes to it", async () => {
    const world = await World.of(encrypting);
    const suspects = [world.nameOf(shared), world.nameOf(alone.first)];
    const [first] = world.stores;
    const { get } = first;
    first.get = async (name) => {
      if (name === world.nameOf(alone.first)) {
        await world.delete("first");
        for (const store of world.stores) store.kept.delete(name);
      }
      return get.call(first, name);
    };
    const { tally, undecided } = await world.scrub({ suspects });
    expect([[...undecided], tally.lost]).toEqual([[], []]);
  });

  it("in the background rests between objects, for as long as it is to take", async () => {
    const world = await World.of(encrypting);
    const clock = passingClock();
    const intervalMs = 1_000_000;
    await world.scrub({ clock, pace: { intervalMs } });
    // And a second for each manifest.
    expect(Math.round(clock.nowMs())).toBe(intervalMs + 2_000);
  });

  it("ends when it is told to", async () => {
    const world = await World.of(encrypting);
    const stop = new AbortController();
    stop.abort(new Error("the keeper stops"));
    await expect(world.scrub({ signal: stop.signal })).rejects.toThrow("the keeper stops");
  });
});
