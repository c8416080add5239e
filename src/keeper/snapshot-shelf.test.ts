import { expect, it } from "vitest";
import { manifestOf } from "../../test/helpers/snapshot-object.ts";
import type { SnapshotManifest } from "../volume/index.ts";
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
