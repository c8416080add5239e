import { describe, expect, it } from "vitest";
import { BorealisError } from "../base/errors.ts";
import { volumeId } from "../base/ids.ts";
import { openLogger, realClock } from "../io/index.ts";
import { ExtentSealer, type ObjectStore, snapshotIds } from "../volume/index.ts";
import type { KeeperContext } from "./keeper-shell.ts";
import { SnapshotCopies } from "./snapshot-copies-shell.ts";
import { inEach, isSafeIn, takersOf } from "./stores-shell.ts";
import { MemoryStore } from "../../test/helpers/memory-store.ts";
import { aSnapshot } from "../../test/helpers/snapshot-object.ts";

const volume = volumeId("11111111-2222-3333-4444-555555555555");
const sealer = new ExtentSealer({ volumeId: volume, keys: undefined });

function putSnapshot(store: ObjectStore, id: string): Promise<string> {
  return aSnapshot([store], id, sealer);
}

/** Two full nodes and an object store that has one snapshot. */
async function aKeeper() {
  const [first, second] = [new MemoryStore("az1-full"), new MemoryStore("az2-full")];
  const objects = new MemoryStore("objects");
  await putSnapshot(objects, "auto-1");
  const world = { nodes: [first, second] };
  const context: Omit<KeeperContext, "config" | "world"> = {
    clock: realClock,
    logger: openLogger({ file: undefined, process: "test" }),
    sealer: () => sealer,
    objects: () => objects,
    relatives: () => [],
    nodeStores: () => world.nodes,
    isBehind: (store) => copies.isBehind(store),
    noteHealed: () => undefined,
  };
  const whole = context as KeeperContext;
  const copies: SnapshotCopies = new SnapshotCopies(whole);
  const { signal } = new AbortController();
  return { first, second, objects, world, context: whole, copies, goOn: () => copies.goOn(signal) };
}

describe("snapshots on full nodes", () => {
  it("are copied to whoever lacks some, and again when the members are others", async () => {
    const { first, second, world, context, copies, goOn } = await aKeeper();
    expect([copies.isDue, copies.isBehind(first)]).toEqual([true, true]);
    await goOn();
    for (const store of [first, second]) expect(await snapshotIds(store)).toEqual(["auto-1"]);
    expect([copies.isDue, copies.isBehind(first)]).toEqual([false, false]);
    const successor = new MemoryStore("az2-full");
    world.nodes = [first, successor];
    expect([copies.isDue, copies.isBehind(successor)]).toEqual([true, true]);
    expect(takersOf(context).includes(successor)).toBe(false);
    await goOn();
    expect(await snapshotIds(successor)).toEqual(["auto-1"]);
    expect(takersOf(context)).toEqual([first, successor, context.objects()]);
  });

  it("a node that does not answer is behind until it was looked at again", async () => {
    const { first, second, objects, copies, goOn } = await aKeeper();
    await goOn();
    await putSnapshot(objects, "auto-2");
    second.failure = new BorealisError("58030", "az2-full does not answer", { hint: "look there" });
    copies.lookAgain();
    await goOn();
    expect(copies.whyLeftOut(second)).toBe("az2-full does not answer; look there");
    expect([copies.isBehind(first), copies.isBehind(second), copies.isDue]).toEqual([
      false,
      true,
      false,
    ]);
    second.failure = undefined;
    copies.lookAgain();
    expect(copies.isDue).toBe(true);
    await goOn();
    expect([copies.isBehind(second), copies.whyLeftOut(second)]).toEqual([false, undefined]);
    expect((await snapshotIds(second)).toSorted()).toEqual(["auto-1", "auto-2"]);
  });

  it("what is stopped in the middle is due at once", async () => {
    const { copies } = await aKeeper();
    const stop = new AbortController();
    stop.abort(new Error("the keeper stops"));
    await expect(copies.goOn(stop.signal)).rejects.toThrow("the keeper stops");
    expect(copies.isDue).toBe(true);
  });

  it("are safe in the object store, or in all full members", async () => {
    const { first, second, objects, context } = await aKeeper();
    const isSafe = isSafeIn(context);
    expect([isSafe([objects]), isSafe([first, second]), isSafe([first]), isSafe([])]).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });

  it("what is done in each store may wait for one that is away, if nothing rests on it", async () => {
    const { first, second, objects, context } = await aKeeper();
    second.failure = new BorealisError("58030", "az2-full does not answer");
    const drop = (store: ObjectStore): Promise<void> => store.delete(["x"]);
    await inEach(context, drop, "x");
    objects.failure = new BorealisError("58030", "objects do not answer");
    await expect(inEach(context, drop, "x")).rejects.toThrow("answer");
    second.failure = undefined;
    await inEach(context, drop, "x");
    expect(first.kept.size).toBe(0);
  });
});
