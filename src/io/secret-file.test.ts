import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { realSecretFiles } from "./secret-file.ts";

it("a secret that could not be put in its place does not lie beside it", () => {
  const folder = mkdtempSync(join(tmpdir(), "borealis-secret-"));
  try {
    const path = join(folder, "master.json");
    realSecretFiles.replace(path, "first");
    expect(realSecretFiles.read(path)).toBe("first");
    rmSync(path);
    // No file takes the place of a folder.
    mkdirSync(path);
    expect(() => realSecretFiles.replace(path, "second")).toThrow(/master\.json/);
    expect(readdirSync(folder)).toEqual(["master.json"]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
