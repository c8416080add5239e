import { expect, it } from "vitest";
import { MemoryStore } from "../../test/helpers/memory-store.ts";
import { aSnapshot as put, manifestOf } from "../../test/helpers/snapshot-object.ts";
import { BorealisError } from "../base/errors.ts";
import { volumeId } from "../base/ids.ts";
import {
  Deletions,
  ExtentSealer,
  onlyStore,
  snapshotObject,
  type SnapshotManifest,
} from "../volume/index.ts";
import { SnapshotShelf } from "./snapshot-shelf-shell.ts";

const aSnapshot = (
  id: string,
  kind: SnapshotManifest["kind"],
  takenAtMs: number,
): SnapshotManifest => ({ ...manifestOf(id, { addressing: "a" }, new Map()), kind, takenAtMs });

it("a shelf tells the newest snapshot, and the newest that no user took", () => {
  const shelf = new SnapshotShelf();
  const isAutomatic = (kind: SnapshotManifest["kind"]): boolean => kind !== "manual";
  expect(shelf.newestTime()).toBeUndefined();
  shelf.add(aSnapshot("mine", "manual", 3_000));
  expect(shelf.newestTime(isAutomatic)).toBeUndefined();
  shelf.add(aSnapshot("auto", "automatic", 2_000));
  shelf.add(aSnapshot("genesis", "genesis", 1_000));
  expect(shelf.newestTime()).toBe("1970-01-01T00:00:03.000Z");
  expect(shelf.newestTime(isAutomatic)).toBe("1970-01-01T00:00:02.000Z");
});

it("a shelf shows a snapshot that cannot be read, behind the others, until it is healed", async () => {
  const store = new MemoryStore("a");
  const volume = volumeId("11111111-2222-3333-4444-555555555555");
  const sealer = new ExtentSealer({ volumeId: volume, keys: undefined });
  for (const id of ["broken", "whole"]) await put([store], id, sealer);
  const sealed = store.kept.get(snapshotObject("broken")) ?? Buffer.alloc(0);
  store.kept.set(snapshotObject("broken"), sealed.subarray(1));
  const shelf = new SnapshotShelf();
  const stores = [store];
  const replicas = onlyStore(store);
  const look = (): Promise<unknown> =>
    shelf.look({ stores, replicas, sealer, deletions: new Deletions(), isSafe: () => true });
  await look();
  expect(shelf.rows.map(({ id, endLsn, problem }) => [id, endLsn, problem])).toEqual([
    ["whole", "0/2", null],
    ["broken", null, expect.stringMatching(/^it cannot be read: /)],
  ]);
  store.kept.set(snapshotObject("broken"), sealed);
  await look();
  expect(shelf.rows.map(({ problem }) => problem)).toEqual([null, null]);
});

it("a shelf tells which stores it could not look into, and takes the others' word if that is enough", async () => {
  const [near, far] = [new MemoryStore("near"), new MemoryStore("far")];
  const volume = volumeId("11111111-2222-3333-4444-555555555555");
  const sealer = new ExtentSealer({ volumeId: volume, keys: undefined });
  await put([near, far], "both", sealer);
  await put([near], "one", sealer);
  const shelf = new SnapshotShelf();
  const look = async (isEnough: boolean): Promise<string[]> => {
    const replicas = onlyStore(far);
    const how = { replicas, sealer, deletions: new Deletions(), isSafe: () => isEnough };
    return [...(await shelf.look({ stores: [near, far], ...how })).keys()].map(
      ({ label }) => label,
    );
  };
  near.failure = new BorealisError("58030", "it does not answer");
  expect([await look(true), shelf.has("both"), shelf.has("one")]).toEqual([["near"], true, false]);
  await expect(look(false)).rejects.toThrow("it does not answer");
  near.failure = undefined;
  expect([await look(false), shelf.has("one")]).toEqual([[], true]);
});
