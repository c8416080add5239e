import { describe, expect, it } from "vitest";
import { VisibilityMaps } from "./visibility-map.ts";

describe("a visibility map in an incremental backup", () => {
  it("is doubted where heap pages were changed and the map's page did not come", () => {
    const maps = new VisibilityMaps();
    maps.noteBlock("base/5/16384", 3);
    maps.noteBlock("base/5/16384", 32_671);
    maps.noteBlock("base/5/16384", 32_672);
    maps.noteBlock("base/5/16384.1", 0);
    expect(maps.doubtfulBlocks("base/5/16384_vm")).toEqual([0, 1, 4]);
    maps.noteBlock("base/5/16384_vm", 1);
    expect(maps.doubtfulBlocks("base/5/16384_vm")).toEqual([0, 4]);
    expect(maps.doubtfulBlocks("base/5/16385_vm")).toEqual([]);
    expect(maps.doubtfulBlocks("base/5/16384")).toEqual([]);
  });

  it("is doubted everywhere where the heap came whole, and nowhere where the map did", () => {
    const maps = new VisibilityMaps();
    maps.noteWhole("base/5/16384", 40_000 * 8_192);
    expect(maps.doubtfulBlocks("base/5/16384_vm")).toEqual([0, 1]);
    maps.noteWhole("base/5/16384_vm", 2 * 8_192);
    expect(maps.doubtfulBlocks("base/5/16384_vm")).toEqual([]);
  });
});
