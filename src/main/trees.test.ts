import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { removeTree, treeBytes } from "./trees.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "borealis-trees-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** 1,500 bytes in three files, and an empty folder. */
function aTree(name: string): string {
  const dir = join(folder, name);
  mkdirSync(join(dir, "inner", "empty"), { recursive: true });
  for (const path of ["one", "inner/two", "inner/three"])
    writeFileSync(join(dir, path), Buffer.alloc(500));
  return dir;
}

describe("a tree", () => {
  it("is removed whole, and tells of as many bytes as it had", () => {
    const dir = aTree("tree");
    expect(treeBytes(dir)).toBe(1_500);
    const told: number[] = [];
    removeTree(dir, (bytes) => told.push(bytes));
    expect(told).toEqual([500, 500, 500]);
    expect(existsSync(dir)).toBe(false);
  });

  it("that is not there is removed already", () => {
    removeTree(join(folder, "none"), () => expect.unreachable());
    expect(treeBytes(join(folder, "none"))).toBe(0);
  });

  it("is left where only a link to it is removed", () => {
    const dir = aTree("elsewhere");
    const owner = aTree("owner");
    symlinkSync(dir, join(owner, "link"));
    symlinkSync(dir, join(folder, "link"));
    removeTree(join(folder, "link"), () => undefined);
    removeTree(owner, () => undefined);
    expect([existsSync(join(folder, "link")), existsSync(owner)]).toEqual([false, false]);
    expect(treeBytes(dir)).toBe(1_500);
  });
});
