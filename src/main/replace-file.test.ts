import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { mayMount, mountMemory, unmount } from "../../test/helpers/mounts.ts";
import { takeLock } from "./dir-lock.ts";
import { replaceFile } from "./replace-file.ts";

describe.skipIf(!mayMount())("on a full disk (skipped where nothing may be mounted)", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "borealis-full-"));
    mountMemory(folder, 1024 ** 2);
    writeFileSync(join(folder, "old"), "old");
    expect(() => writeFileSync(join(folder, "ballast"), Buffer.alloc(2 * 1024 ** 2))).toThrow(
      /ENOSPC/,
    );
  });
  afterEach(() => {
    unmount(folder);
    rmSync(folder, { recursive: true });
  });

  it("a file stays what it was, and nothing is left beside it", () => {
    const put = (): void => replaceFile(join(folder, "old"), "new", { isDurable: true });
    expect(put).toThrow(/ENOSPC/);
    expect(readdirSync(folder).toSorted()).toEqual(["ballast", "old"]);
    expect(readFileSync(join(folder, "old"), "utf8")).toBe("old");
    rmSync(join(folder, "ballast"));
    put();
    expect(readFileSync(join(folder, "old"), "utf8")).toBe("new");
  });

  it("a lock is not taken, and nothing is left of it", () => {
    expect(() => takeLock(join(folder, "lock"))).toThrow(/ENOSPC/);
    expect(readdirSync(folder).toSorted()).toEqual(["ballast", "old"]);
  });
});
