import { describe, expect, it } from "vitest";
import { type Kept, keptAfter, objectsLeft } from "./kept-objects.ts";

const kept: Kept = {
  store: "s3://b/x",
  volume: "v",
  keys: "/d/keys/master.json",
  isElsewhere: true,
};
const home = { ...kept, isElsewhere: false };

describe("what a deleted cluster leaves", () => {
  it.each([
    ["in a bucket, to be restored", kept, true, kept],
    ["in a bucket, where the keys go", kept, false, { ...kept, keys: null }],
    ["at home, to be restored", home, true, home],
    ["at home, where all goes", home, false, null],
    ["where no state says it", undefined, false, null],
  ])("%s", (_, from, keepSnapshots, told) => {
    expect(keptAfter(from, { keepSnapshots, isEncrypted: true })).toEqual(told);
  });

  it("is said to be unreadable where its keys go", () => {
    const left = { keepSnapshots: false, isEncrypted: true };
    expect(objectsLeft(kept, left, "did")).toMatch(
      /^its objects stay in s3:\/\/b\/x, in the folder v, unreadable without keys\/, which is deleted \(--keep-snapshots/,
    );
    expect(objectsLeft(kept, left, "will")).toMatch(/without keys\/, which goes/);
    expect(objectsLeft(kept, { ...left, isEncrypted: false }, "did")).toMatch(/can restore it/);
  });

  it("is not spoken of where nothing stays, or all is kept", () => {
    const left = { keepSnapshots: false, isEncrypted: true };
    expect(objectsLeft(home, left, "did")).toBeUndefined();
    expect(objectsLeft(kept, { ...left, keepSnapshots: true }, "did")).toBeUndefined();
  });
});
