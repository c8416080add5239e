import { expect, it } from "vitest";
import { MemoryStore } from "../../test/helpers/memory-store.ts";
import { aSnapshot } from "../../test/helpers/snapshot-object.ts";
import { BorealisError, sqlState } from "../base/errors.ts";
import { volumeId } from "../base/ids.ts";
import { extentObject, ExtentSealer, readSnapshot, Replicas, TriedReplicas } from "./index.ts";

const sealer = new ExtentSealer({
  volumeId: volumeId("11111111-2222-3333-4444-555555555555"),
  keys: undefined,
});

async function aWorld() {
  const stores = [new MemoryStore("az1-full"), new MemoryStore("objects")];
  const replicas = new Replicas({ stores, isSafe: () => true });
  const [older, newer] = [
    await aSnapshot(stores, "older", sealer),
    await aSnapshot(stores, "newer", sealer),
  ];
  const tried = new TriedReplicas(replicas);
  const failureOf = (extent: string): Promise<unknown> =>
    tried
      .get(extentObject(extent), (sealed) => sealer.openExtent(extent, sealed))
      .then(
        () => undefined,
        (error: unknown) => error,
      );
  const manifestOf = (id: string) => readSnapshot(replicas, id, sealer);
  return { stores, tried, older, newer, failureOf, manifestOf };
}

it("an extent that no store has whole is the snapshot's fault, and that of each that needs it", async () => {
  const { stores, tried, older, newer, failureOf, manifestOf } = await aWorld();
  const [node, objects] = stores;
  node?.kept.delete(extentObject(newer));
  expect(await failureOf(newer)).toBeUndefined();
  objects?.kept.set(extentObject(newer), Buffer.from("rotten"));
  node?.kept.delete(extentObject(newer));
  const error = await failureOf(newer);
  expect(error).toMatchObject({ code: "XX001" });
  expect(tried.isOfSnapshot(error)).toBe(true);
  expect(tried.lostBy(error as BorealisError)).toBe(extentObject(newer));
  expect(await failureOf(older)).toBeUndefined();
  expect(tried.lacks(await manifestOf("newer"))).toBe(true);
  expect(tried.lacks(await manifestOf("older"))).toBe(false);
  // PostgreSQL's own list of files is in no cache.
  const { files, ...facts } = await manifestOf("newer");
  const list = files.map((file) => ({ ...file, name: "backup_manifest" }));
  expect(tried.lacks({ ...facts, files: list })).toBe(false);
});

it("so is one that the stores which answer do not have, but not a disk of ours", async () => {
  const { stores, tried, newer, failureOf, manifestOf } = await aWorld();
  const [node, objects] = stores;
  const manifest = await manifestOf("newer");
  const away = new BorealisError(sqlState.ioError, "az1-full does not answer");
  if (node) node.failure = away;
  objects?.kept.delete(extentObject(newer));
  const error = await failureOf(newer);
  expect(error).toMatchObject({ code: "58030" });
  expect([tried.isOfSnapshot(error), tried.lacks(manifest)]).toEqual([true, true]);
  // The one that is away may have it.
  expect(tried.lostBy(error as BorealisError)).toBeUndefined();
  const ours = new BorealisError(sqlState.ioError, "cannot write the data directory");
  const full = new BorealisError(sqlState.diskFull, "cannot write the data directory");
  const odd = new TypeError("a bug");
  expect([ours, full, odd].map((one) => tried.isOfSnapshot(one))).toEqual([false, false, false]);
});
