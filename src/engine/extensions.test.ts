import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { trustedExtensions } from "./extensions-shell.ts";

let home: string;
let folder: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "borealis-extensions-"));
  folder = join(home, "share", "extension");
  mkdirSync(folder, { recursive: true });
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

function found(): Promise<string[]> {
  const binDir = join(home, "bin");
  return trustedExtensions({ binDir, version: "0.0", major: 0, minor: 0, launcher: [] });
}

function put(name: string, text: string): void {
  writeFileSync(join(folder, name), text);
}

test("what is trusted is found by its control file, sorted", async () => {
  put("ltree.control", "comment = 'x'\ntrusted = true\n");
  put("hstore.control", "trusted=on");
  put("dblink.control", "# trusted = true\nrelocatable = true\n");
  put("ltree--1.0.control", "trusted = true");
  put("ltree--1.0.sql", "trusted = true");
  expect(await found()).toEqual(["hstore", "ltree"]);
});

test("what cannot be read, or is no file, is passed over and holds nobody up", async () => {
  put("hstore.control", "trusted = true");
  symlinkSync(join(folder, "nowhere"), join(folder, "gone.control"));
  mkdirSync(join(folder, "a.control"));
  execFileSync("mkfifo", [join(folder, "pipe.control")]);
  expect(await found()).toEqual(["hstore"]);
});

test("nobody knows where they are: there are none", async () => {
  rmSync(join(home, "share"), { recursive: true });
  expect(await found()).toEqual([]);
});
