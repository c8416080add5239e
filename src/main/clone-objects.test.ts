import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";
import { aSnapshot, snapshotFacts } from "../../test/helpers/snapshot-object.ts";
import { newState } from "../../test/helpers/cluster-state.ts";
import { lsn } from "../base/lsn.ts";
import {
  Deletions,
  extentObject,
  ExtentSealer,
  FolderStore,
  snapshotIds,
  snapshotObject,
} from "../volume/index.ts";
import { shareObjects } from "./clone-objects.ts";

it("a clone has a snapshot only with its extents, whatever its parent takes meanwhile", async () => {
  const folder = mkdtempSync(join(tmpdir(), "borealis-share-"));
  const [parent, other, clone] = ["parent", "other", "clone"].map((name) => join(folder, name));
  try {
    if (parent === undefined || other === undefined || clone === undefined) return;
    const { volumeId, history } = snapshotFacts("before", "");
    const sealer = new ExtentSealer({ volumeId, keys: undefined });
    const before = await aSnapshot([new FolderStore(parent)], "before", sealer);
    const made = new FolderStore(other);
    const during = await aSnapshot([made], "during", sealer);
    const objects = await Promise.all(
      [extentObject(during), snapshotObject("during")].map(async (name) => {
        return [name, (await made.get(name)) ?? Buffer.alloc(0)] as const;
      }),
    );
    // Log is shared behind the extents: that is when the other one is published.
    const log = "log/0000000000000001/0000000000000000-0000000000000001";
    const put = (name: string, bytes: Buffer): void => {
      mkdirSync(dirname(join(parent, name)), { recursive: true });
      writeFileSync(join(parent, name), bytes);
    };
    put(log, Buffer.from("log"));
    const onShared = (): void => {
      if (existsSync(join(clone, log))) for (const [name, bytes] of objects) put(name, bytes);
    };
    await shareObjects(parent, clone, {
      parent: { ...newState(), volumeId },
      keys: undefined,
      pin: {
        pinId: "11111111-2222-3333-4444-555555555555",
        path: history,
        from: lsn(0n),
        to: lsn(9n),
      },
      sharing: { how: "link", onShared },
      deletions: new Deletions(),
    });
    const shared = new FolderStore(clone);
    expect(await snapshotIds(new FolderStore(parent))).toEqual(["before", "during"]);
    expect(await snapshotIds(shared)).toEqual(["before"]);
    const names = [extentObject(before)];
    expect(await shared.has(names)).toEqual(new Set(names));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
