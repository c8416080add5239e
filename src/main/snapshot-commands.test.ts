import { expect, it } from "vitest";
import { MemoryStore } from "../../test/helpers/memory-store.ts";
import { aSnapshot } from "../../test/helpers/snapshot-object.ts";
import { volumeId } from "../base/ids.ts";
import { Deletions, ExtentSealer, snapshotObject } from "../volume/index.ts";
import { rowsIn } from "./snapshot-commands.ts";

it("a list shows a snapshot that is damaged, and hides none of the others for it", async () => {
  const store = new MemoryStore("the folder");
  const id = volumeId("11111111-2222-3333-4444-555555555555");
  const sealer = new ExtentSealer({ volumeId: id, keys: undefined });
  const damaged = "auto-20261128t201530z-00000000014a2b78";
  for (const name of ["genesis", "nightly", damaged]) await aSnapshot([store], name, sealer);
  const sealed = store.kept.get(snapshotObject(damaged)) ?? Buffer.alloc(0);
  sealed[sealed.length - 1] = (sealed.at(-1) ?? 0) ^ 1;
  const rows = await rowsIn(store, { sealer, deletions: new Deletions() });
  const mine = rows.find((one) => one.id === damaged);
  const others = rows.filter((one) => one !== mine);
  expect(others.map(({ id: name, problem }) => [name, problem])).toEqual([
    ["genesis", null],
    ["nightly", null],
  ]);
  expect(mine).toEqual({
    id: damaged,
    kind: "automatic",
    startLsn: "0/14A2B78",
    endLsn: null,
    takenAt: "2026-11-28T20:15:30.000Z",
    dataBytes: null,
    storedBytes: null,
    problem: expect.stringMatching(/^it cannot be read: .*the folder/),
  });
});
