import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  watch,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readOwned, writeOwned } from "./owned-files-shell.ts";

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "borealis-owned-"));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

test("a file is written over whole, and nothing else is left", async () => {
  const path = join(home, "a.json");
  await writeOwned(path, "one", undefined);
  await writeOwned(path, "2", undefined);
  expect(readFileSync(path, "utf8")).toBe("2");
  expect(readdirSync(home)).toEqual(["a.json"]);
});

test("a file that is being written has a name that PostgreSQL's backups pass over", async () => {
  const seen: string[] = [];
  const watcher = watch(home, (_, name) => void seen.push(String(name)));
  try {
    await writeOwned(join(home, "a.json"), "one", undefined);
    await expect.poll(() => seen).toContain("a.json");
  } finally {
    watcher.close();
  }
  const drafts = seen.filter((name) => name !== "a.json");
  expect(drafts.length).toBeGreaterThan(0);
  for (const name of drafts) expect(name).toMatch(/^pgsql_tmp\.a\.json\./);
});

test("a link in the directory's place, or in the file's, leads nowhere", async () => {
  const elsewhere = join(home, "elsewhere");
  const target = join(elsewhere, "a.json");
  mkdirSync(elsewhere);
  writeFileSync(target, "theirs");
  symlinkSync(elsewhere, join(home, "dir"));
  await expect(writeOwned(join(home, "dir", "a.json"), "ours", undefined)).rejects.toThrow();
  symlinkSync(target, join(home, "a.json"));
  await writeOwned(join(home, "a.json"), "ours", undefined);
  expect(readFileSync(join(home, "a.json"), "utf8")).toBe("ours");
  expect(readFileSync(target, "utf8")).toBe("theirs");
  expect(readdirSync(elsewhere)).toEqual(["a.json"]);
});

test("what cannot be put in place leaves no draft", async () => {
  mkdirSync(join(home, "a.json"));
  await expect(writeOwned(join(home, "a.json"), "x", undefined)).rejects.toThrow();
  expect(readdirSync(home)).toEqual(["a.json"]);
});

test("a file is read as it was written; a link, a pipe, a folder or more than that is not", async () => {
  const path = join(home, "a.json");
  await writeOwned(path, "ours", undefined);
  expect(await readOwned(path, 4)).toBe("ours");
  await expect(readOwned(path, 3)).rejects.toThrow("3 bytes");
  symlinkSync(path, join(home, "link"));
  execFileSync("mkfifo", [join(home, "pipe")]);
  for (const name of ["link", "pipe", "none", "."])
    await expect(readOwned(join(home, name), 4), name).rejects.toThrow();
});
