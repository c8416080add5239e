import { describe, expect, it } from "vitest";
import { MemoryStore } from "../../test/helpers/memory-store.ts";
import { BorealisError } from "../base/errors.ts";
import { epoch, timeline, volumeId } from "../base/ids.ts";
import { type Lsn, lsn } from "../base/lsn.ts";
import { openLogger, realClock } from "../io/index.ts";
import { ArchiveIndex, listArchivedLog, logObject, type LogPath } from "../volume/index.ts";
import { inheritArchive } from "./archive-inherit-shell.ts";
import type { KeeperContext } from "./keeper-shell.ts";

const parent = volumeId("11111111-2222-3333-4444-555555555555");
const at = (offset: number): Lsn => lsn(BigInt(offset));
const name = (of: number, from: number, to: number): string =>
  logObject(epoch(of), at(from), at(to));
/** The clone branches off at 800. */
const path: LogPath = [
  { epoch: epoch(2), timeline: timeline(1), start: at(0), kind: "branch", volumeId: parent },
  { epoch: epoch(3), timeline: timeline(2), start: at(800), kind: "branch" },
];

function aClone(
  relative: MemoryStore,
  { store, index } = { store: new MemoryStore("objects"), index: new ArchiveIndex() },
) {
  const context = {
    clock: realClock,
    logger: openLogger({ file: undefined, process: "test" }),
    relatives: () => [{ volumeId: parent, store: relative }],
  } as unknown as KeeperContext;
  const { signal } = new AbortController();
  return { store, index, run: () => inheritArchive(context, { store, index, path, signal }) };
}

describe("a clone's archive", () => {
  it("begins with what is of its path in its parent's", async () => {
    const relative = new MemoryStore("parent");
    const own = [name(2, 0, 500), name(2, 500, 800)];
    for (const one of [...own, name(2, 700, 900), name(3, 800, 900)])
      await relative.put(one, Buffer.from(one));
    const { store, index, run } = aClone(relative);
    await run();
    expect([...store.kept.keys()].toSorted()).toEqual(own);
    expect(Number(index.archivedUpTo(path, at(0)))).toBe(800);
    expect(store.puts).toBe(0);
  });

  it("goes on where a keeper that was killed has left off", async () => {
    const relative = new MemoryStore("parent");
    for (const one of [name(2, 0, 200), name(2, 200, 500), name(2, 500, 800)])
      await relative.put(one, Buffer.from(one));
    const { store, run } = aClone(relative);
    await run();
    // Its parent has merged what it began with; what came last is missing.
    await relative.put(name(2, 0, 500), Buffer.from("merged"));
    await relative.delete([name(2, 0, 200), name(2, 200, 500)]);
    await store.delete([name(2, 500, 800)]);
    const before = store.taken.length;
    const next = aClone(relative, { store, index: await listArchivedLog(store) });
    await next.run();
    expect(store.taken.slice(before)).toEqual([name(2, 500, 800)]);
    expect(Number(next.index.archivedUpTo(path, at(0)))).toBe(800);
  });

  it("begins empty where that cannot be read", async () => {
    const relative = new MemoryStore("parent");
    await relative.put(name(2, 0, 500), Buffer.from("a"));
    relative.failure = new BorealisError("58030", "nobody may list it");
    const { store, index, run } = aClone(relative);
    await run();
    expect(store.kept.size).toBe(0);
    expect(index.epochs).toEqual([]);
  });

  it("waits for its own store", async () => {
    const relative = new MemoryStore("parent");
    await relative.put(name(2, 0, 500), Buffer.from("a"));
    const { store, run } = aClone(relative);
    store.failure = new BorealisError("58030", "it is away");
    await expect(run()).rejects.toThrow("it is away");
  });
});
