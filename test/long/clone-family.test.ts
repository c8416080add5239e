/**
 * As many clones of one parent as there may be, and their parent, deleted one after the other in an order from BOREALIS_SEED.
 * Each is found to have its rows right before its own turn, when all before it are gone; what it has on the disk is never
 * touched by another's deletion; and in the end nothing of it is left, under no name. They run one at a time.
 */
import { closeSync, existsSync, fstatSync, openSync, readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { clonesMax } from "../../src/cluster/index.ts";
import { beside, clone, count, pins, remove, start } from "../helpers/clones.ts";
import { TestCluster } from "../helpers/cluster.ts";
import { randomMoments } from "../helpers/thorough.ts";

const rowsFirst = 2_000;

let parent: TestCluster;
beforeAll(async () => {
  // Small files: several are shared, and no clone takes many of its own.
  parent = await TestCluster.create({
    readers: 0,
    args: ["--set", "storage.segmentBytes=2097152"],
  });
  await parent.query(
    `CREATE TABLE t AS SELECT n, md5(n::text) FROM generate_series(1, ${rowsFirst}) n`,
  );
  await parent.cli("snapshot", "create", "first");
});
afterAll(async () => {
  for (const { fd } of watched) closeSync(fd);
  await parent.destroy();
});

interface Member {
  readonly dataDir: string;
  /** Of t. */
  readonly rows: number;
}

/** A file that the parent had when its last clone was made, known though it has no name any more. */
interface Watched {
  readonly path: string;
  readonly fd: number;
  readonly inode: number;
}
const watched: Watched[] = [];
const family: Member[] = [];

/** What a cluster keeps of the volume: log, pins, objects, the genesis image. */
function filesOf({ dataDir }: Pick<Member, "dataDir">): string[] {
  return ["storage", "objects"].flatMap((folder) => {
    const dir = join(dataDir, folder);
    if (!existsSync(dir)) return [];
    return readdirSync(dir, { withFileTypes: true, recursive: true }).flatMap((entry) =>
      entry.isFile() ? [join(entry.parentPath, entry.name)] : [],
    );
  });
}

const inodeOf = (path: string): number => statSync(path).ino;

/** How many names each file of the parent's has in these. */
function namesIn(members: readonly Member[]): number[] {
  const names = new Map<number, number>();
  for (const inode of members.flatMap(filesOf).map(inodeOf))
    names.set(inode, (names.get(inode) ?? 0) + 1);
  return watched.map(({ inode }) => names.get(inode) ?? 0);
}

const linksNow = (): number[] => watched.map(({ fd }) => fstatSync(fd).nlink);

function pictureOf(member: Member): string[] {
  return filesOf(member)
    .map((path) => `${path} ${inodeOf(path)} ${statSync(path).size}`)
    .toSorted();
}

/** It has its rows, and can write. */
async function expectRows({ dataDir, rows }: Member): Promise<TestCluster> {
  const cluster = await start(dataDir);
  try {
    expect(await count(cluster), dataDir).toBe(rows);
    await cluster.query("INSERT INTO t VALUES (0), (0)");
    expect(await count(cluster), dataDir).toBe(rows + 2);
  } finally {
    await cluster.down();
  }
  return cluster;
}

describe("a parent and its clones", () => {
  it("are as many as there may be, each with the rows that were there at its branch", async () => {
    for (let n = 1; n <= clonesMax; n++) {
      await parent.query(`INSERT INTO t VALUES (-${n})`);
      family.push({ dataDir: await clone(parent, `clone-${n}`), rows: rowsFirst + n });
    }
    const more = await parent.cli("clone", "--into", beside(parent, "one-more"));
    expect([more.code, more.stderr]).toEqual([1, expect.stringMatching(/has 15 clones, which is/)]);
    expect(await pins(parent)).toHaveLength(clonesMax);
    await parent.query("INSERT INTO t VALUES (0)");
    await parent.down();
    family.push({ dataDir: parent.dataDir, rows: rowsFirst + clonesMax + 1 });
    // The image that initdb made has more files than a process may have open everywhere.
    for (const path of filesOf({ dataDir: parent.dataDir }))
      if (!path.includes("/objects/genesis/"))
        watched.push({ path, fd: openSync(path, "r"), inode: inodeOf(path) });
    const links = linksNow();
    expect(links).toEqual(namesIn(family));
    // Log and extents are one file for all of them.
    const isShared = (kind: string): boolean =>
      watched.some(({ path }, at) => path.includes(kind) && (links[at] ?? 0) > clonesMax);
    expect(["/log/", "/extents/"].map(isShared)).toEqual([true, true]);
  });

  it("are deleted in any order: the others keep all they have, and the last leaves nothing", async () => {
    const moments = randomMoments();
    const left = [...family];
    while (left.length > 0) {
      const [next] = left.splice(moments.below(left.length), 1);
      if (!next) break;
      const cluster = await expectRows(next);
      const before = left.map(pictureOf);
      await remove(cluster);
      expect(left.map(pictureOf)).toEqual(before);
      expect(linksNow(), `after ${next.dataDir}`).toEqual(namesIn(left));
    }
    expect(linksNow()).toEqual(watched.map(() => 0));
    expect(readdirSync(dirname(parent.dataDir))).toEqual([]);
  }, 900_000);
});
