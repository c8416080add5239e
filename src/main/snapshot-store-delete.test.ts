import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, expect, it } from "vitest";
import { aSnapshot } from "../../test/helpers/snapshot-object.ts";
import { aStoppedCluster, aVolumeStore } from "../../test/helpers/stopped-cluster.ts";
import type { ClusterState, Layout } from "../cluster/index.ts";
import { type ObjectStore, snapshotObject } from "../volume/index.ts";
import { snapshotCopy } from "./snapshot-copy.ts";
import { snapshotDeleteInStore } from "./snapshot-store-delete.ts";

let folder = "";
let layout: Layout;
let state: ClusterState;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "borealis-delete-"));
  ({ layout, state } = aStoppedCluster(join(folder, "data")));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const newest = "auto-20261128t201530z-0000000001000028";
const workplace = () => ({
  layout,
  progress: { begin: () => undefined, at: () => undefined, end: () => undefined },
  signal: new AbortController().signal,
});
const remove = (url: string) =>
  snapshotDeleteInStore(workplace(), newest, {
    url,
    env: {},
    volume: state.volumeId,
    keyFile: layout.keyFile,
  });

/** With a snapshot in it. */
async function fill(url: string): Promise<ObjectStore> {
  const { store, sealer } = await aVolumeStore(url, state);
  await aSnapshot([store], newest, sealer);
  return store;
}

/** Ways to write where the own objects lie. */
const ways: [string, () => string][] = [
  ["as it is by default", () => pathToFileURL(layout.objectsDir).href],
  ["with one slash", () => `file:${layout.objectsDir}`],
  ["with this machine's name", () => `file://localhost${layout.objectsDir}`],
  ["with a slash behind it", () => `${pathToFileURL(layout.objectsDir).href}/`],
  ["with a letter written by its number", () => `file:${join(folder, "data")}/%6fbjects`],
  [
    "by way of a symbolic link",
    () => {
      symlinkSync(join(folder, "data"), join(folder, "link"));
      return `file:${join(folder, "link", "objects")}`;
    },
  ],
];

it.each(ways)("nothing is deleted in the own store of a cluster, named %s", async (_, url) => {
  const store = await fill(pathToFileURL(layout.objectsDir).href);
  await expect(remove(url())).rejects.toMatchObject({
    code: "55000",
    hint: expect.stringContaining(`start it (borealis up), then borealis snapshot delete`),
  });
  const object = snapshotObject(newest);
  expect(await store.has([object])).toEqual(new Set([object]));
});

it.each(ways)("nothing is copied to the own store of a cluster, named %s", async (_, url) => {
  const copying = snapshotCopy(workplace(), "mine", { dataDir: layout.dataDir, to: url() });
  await expect(copying).rejects.toThrow(/is the cluster's own object store/);
});

it("a copy of the same volume elsewhere is deleted", async () => {
  const url = pathToFileURL(join(folder, "copies")).href;
  const store = await fill(url);
  expect((await remove(url)).document).toMatchObject({ deleted: newest, store: url });
  expect(await store.has([snapshotObject(newest)])).toEqual(new Set());
});
