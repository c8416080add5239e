import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { shareFile, shareTree } from "./share-files.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "borealis-share-"));
  mkdirSync(join(folder, "from", "empty"), { recursive: true });
  mkdirSync(join(folder, "from", "full"));
  writeFileSync(join(folder, "from", "full", "a"), "one");
  writeFileSync(join(folder, "from", "b"), "two", { mode: 0o600 });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("a shared tree", () => {
  it("has the same files, and every folder, empty ones too", async () => {
    const [from, to] = [join(folder, "from"), join(folder, "to")];
    await shareTree(from, to, { how: "link" });
    expect(existsSync(join(to, "empty"))).toBe(true);
    for (const name of ["b", "full/a"])
      expect(statSync(join(to, name)).ino).toBe(statSync(join(from, name)).ino);
    // Again is no failure.
    await shareTree(from, to, { how: "link" });
    await shareTree(join(folder, "none"), join(folder, "other"), { how: "link" });
    expect(existsSync(join(folder, "other"))).toBe(false);
  });

  it("has the same bytes when it is copied, and leaves out what is not wanted", async () => {
    const [from, to] = [join(folder, "from"), join(folder, "to")];
    await shareTree(from, to, { how: "copy" }, (path) => !path.endsWith("/b"));
    expect(readFileSync(join(to, "full", "a"), "utf8")).toBe("one");
    expect(statSync(join(to, "full", "a")).nlink).toBe(1);
    expect(existsSync(join(to, "b"))).toBe(false);
    await expect(
      shareFile(join(from, "b"), join(to, "full", "a"), { how: "copy" }),
    ).rejects.toThrow(/EEXIST/);
  });
});
