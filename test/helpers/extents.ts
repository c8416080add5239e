/** The extents of a real cluster's volume as they lie in each of its stores, and whether each of them is somebody's. */
import { existsSync, readdirSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import type { Layout } from "../../src/cluster/index.ts";
import { connectRpc } from "../../src/io/index.ts";
import { keeperReportSchema, snapshotRowsSchema } from "../../src/keeper/index.ts";
import {
  extentObject,
  type ExtentSealer,
  FolderStore,
  onlyStore,
  readSnapshot,
  snapshotIds,
} from "../../src/volume/index.ts";
import { type TestCluster, until } from "./cluster.ts";
import { askControl } from "./control.ts";
import { openSealer } from "./volume-sealer.ts";

/** As old as the keeper's grace time and more: an extent that nobody names goes with the next collection. */
const oldSeconds = 3 * 3600;
const answerMs = 120_000;
/** No draft is being written for so long. */
const draftMs = 2_000;

export class StoredExtents {
  private readonly cluster: TestCluster;
  private readonly sealer: ExtentSealer;
  private readonly layout: Layout;
  /** By name: of the three full nodes and the object store. */
  private readonly folders: ReadonlyMap<string, string>;

  /** Of a cluster whose nodes stay the same ones. */
  static async open(cluster: TestCluster): Promise<StoredExtents> {
    return new StoredExtents(cluster, await openSealer(cluster));
  }

  private constructor(
    cluster: TestCluster,
    { layout, state, sealer }: Awaited<ReturnType<typeof openSealer>>,
  ) {
    this.cluster = cluster;
    this.sealer = sealer;
    this.layout = layout;
    const full = state.nodes.filter(({ kind }) => kind === "full");
    this.folders = new Map([
      ["objects", `${layout.objectsDir}/${state.volumeId}`],
      ...full.map(({ id }): [string, string] => [id, `${layout.storageDir}/${id}/objects`]),
    ]);
  }

  create(id: string): Promise<unknown> {
    return askControl(this.cluster, "snapshotCreate", { id }, answerMs);
  }

  remove(id: string): Promise<unknown> {
    return askControl(this.cluster, "snapshotDelete", { id }, answerMs);
  }

  async listed(): Promise<string[]> {
    const rows = await askControl(this.cluster, "snapshotList", {}, answerMs);
    return snapshotRowsSchema.parse(rows).map(({ id }) => id);
  }

  /** What was put before is not young any more, drafts neither. */
  age(): void {
    const nowMs = Date.now();
    const seconds = nowMs / 1000 - oldSeconds;
    for (const folder of this.folders.values()) {
      const drafts = filesIn(folder, "making").filter((path) => {
        const facts = statSync(path, { throwIfNoEntry: false });
        return facts !== undefined && facts.mtimeMs < nowMs - draftMs;
      });
      for (const path of [...filesIn(folder, "extents"), ...drafts])
        utimesSync(path, seconds, seconds);
    }
  }

  /** The keeper knows of each full node that it has all snapshots, and does nothing. */
  async untilAllComplete(): Promise<void> {
    const address = { kind: "unix", path: this.layout.keeperSocket } as const;
    await until(
      "all full nodes have all snapshots",
      async () => {
        const keeper = await connectRpc(address, { timeoutMs: 1_000 });
        try {
          const report = keeperReportSchema.parse(await keeper.call("report", {}));
          return report.nodesComplete.length === 3 && report.job === null;
        } finally {
          keeper.close();
        }
      },
      120_000,
    );
  }

  /** Each snapshot that a store shows is whole there. */
  async expectWhole(): Promise<void> {
    for (const folder of this.folders.values()) await this.namedIn(folder);
  }

  /** Waits for what the last deletion brings about: each store has the extents that its snapshots name, and no other file. */
  async untilCollected(): Promise<void> {
    for (const [name, folder] of this.folders) {
      const isCollected = async (): Promise<boolean> => {
        const named = await this.namedIn(folder);
        const there = [...filesIn(folder, "extents"), ...filesIn(folder, "making")];
        return there.length === named.size && there.every((path) => named.has(path));
      };
      await until(`${name} has the extents that its snapshots name`, isCollected, 60_000);
    }
  }

  /** Ids of the snapshots that each store shows. */
  async shown(): Promise<string[][]> {
    const all: string[][] = [];
    for (const folder of this.folders.values())
      all.push(await snapshotIds(new FolderStore(folder)));
    return all;
  }

  /** Nothing has leaked: a collection that minds nobody's age leaves what snapshots name, and takes all else. */
  async expectNoLeak(): Promise<void> {
    await this.create("for-a-collection");
    await this.untilAllComplete();
    this.age();
    await this.remove("for-a-collection");
    await this.untilCollected();
  }

  /** The files of all extents that the snapshots in a store name, each of which is there. */
  private async namedIn(folder: string): Promise<Set<string>> {
    const store = new FolderStore(folder);
    const names = new Set<string>();
    for (const id of await snapshotIds(store)) {
      const { extents } = await readSnapshot(onlyStore(store), id, this.sealer);
      for (const extent of extents.keys()) names.add(extentObject(extent));
    }
    expect((await store.has([...names])).size).toBe(names.size);
    return new Set([...names].map((name) => join(folder, name)));
  }
}

function filesIn(folder: string, name: string): string[] {
  const dir = join(folder, name);
  if (!existsSync(dir)) return [];
  return readdirSync(dir, { withFileTypes: true, recursive: true }).flatMap((entry) =>
    entry.isFile() ? [join(entry.parentPath, entry.name)] : [],
  );
}
