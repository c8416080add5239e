import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { openLogger, realDisk } from "../io/index.ts";
import { extentObject } from "../volume/index.ts";
import { LossBook } from "./loss-book-shell.ts";

const ids = ["1", "2"].map((digit) => digit.repeat(64));
const [first, second] = ids.map(extentObject) as [string, string];
const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

function aFile(): string {
  const folder = mkdtempSync(join(tmpdir(), "borealis-losses-"));
  folders.push(folder);
  return join(folder, "losses.json");
}

/** As the next keeper knows it. */
async function open(file: string): Promise<LossBook> {
  const logger = openLogger({ file: undefined, process: "test" });
  const book = new LossBook({ file, disk: realDisk, logger });
  await book.open();
  return book;
}

/** Of a snapshot that has these extents. */
const holding = (...some: string[]) => ({
  extents: new Map(some.map((id) => [id, { plainBytes: 1, storedBytes: 1 }])),
});

describe("what is lost", () => {
  it("is known to the next keeper, with the snapshots that are hurt, and whether one was taken since", async () => {
    const file = aFile();
    const book = await open(file);
    expect([book.lost, book.isUnmet]).toEqual([[], false]);
    book.note({ name: first, snapshots: ["a", "b"] }, 1);
    await book.settled();
    const next = await open(file);
    expect(next.lost).toEqual([{ name: first, snapshots: ["a", "b"] }]);
    expect([[...next.hurt], next.isUnmet]).toEqual([["a", "b"], true]);
    // Met again by a scrub: the next snapshot knows of it.
    next.note({ name: first, snapshots: ["a", "b"] }, 2);
    next.noteStored(holding(), { mark: next.mark, isAnew: true });
    next.note({ name: first, snapshots: ["a", "b"] }, 3);
    await next.settled();
    const last = await open(file);
    expect([[...last.hurt], last.isUnmet]).toEqual([["a", "b"], false]);
    expect(readdirSync(join(file, ".."))).toEqual(["losses.json"]);
  });

  it("while a snapshot is taken is nothing that it knew of", async () => {
    const book = await open(aFile());
    const { mark } = book;
    book.note({ name: first, snapshots: ["a"] }, 1);
    book.noteStored(holding(ids[1] ?? ""), { mark, isAnew: false });
    expect(book.isUnmet).toBe(true);
  });

  it("is good again when it was stored anew, and is not when it was only named", async () => {
    const book = await open(aFile());
    for (const name of [first, second]) book.note({ name, snapshots: ["a"] }, 1);
    book.noteStored(holding(...ids), { mark: book.mark, isAnew: false });
    expect(book.lost.length).toBe(2);
    book.noteStored(holding(ids[0] ?? ""), { mark: book.mark, isAnew: true });
    expect(book.lost).toEqual([{ name: second, snapshots: ["a"] }]);
  });

  it("is forgotten when a scrub has decided that it is well, also if an earlier keeper found it", async () => {
    const file = aFile();
    const book = await open(file);
    const third = extentObject("3".repeat(64));
    for (const name of [first, second, third]) book.note({ name, snapshots: ["a"] }, 1_000);
    await book.settled();
    const next = await open(file);
    next.note({ name: second, snapshots: ["a"] }, 20);
    next.forgetBefore(10, { undecided: new Set([third]), isWhole: false });
    await next.settled();
    expect((await open(file)).lost.map(({ name }) => name)).toEqual([second, third]);
  });

  it("is forgotten with the snapshots that it hurt, and the next one is stored anew all the same", async () => {
    const file = aFile();
    const book = await open(file);
    book.note({ name: first, snapshots: ["a", "b"] }, 1);
    book.note({ name: second, snapshots: ["b"] }, 1);
    book.keepOf((id) => id !== "b");
    await book.settled();
    const next = await open(file);
    expect(next.lost).toEqual([{ name: first, snapshots: ["a"] }]);
    next.keepOf(() => false);
    await next.settled();
    const last = await open(file);
    // Its bad copies lie about until they are collected.
    expect([last.lost, last.isUnmet]).toEqual([[], true]);
  });

  it("is more than was written down: only a scrub that has seen everything makes what it hurt sound", async () => {
    const file = aFile();
    const book = await open(file);
    const many = Array.from({ length: 10_000 }, (_, n) => `auto-${n}`);
    book.note({ name: first, snapshots: many }, 1);
    book.note({ name: second, snapshots: ["auto-7"] }, 1);
    await book.settled();
    const next = await open(file);
    expect(next.lost.map(({ name }) => name)).toEqual([first]);
    next.keepOf((id) => id === "auto-7");
    next.noteStored(holding(ids[0] ?? ""), { mark: next.mark, isAnew: true });
    await next.settled();
    const last = await open(file);
    expect([[...last.hurt], last.isUnmet]).toEqual([["auto-7"], false]);
    const undecided = new Set<string>();
    last.forgetBefore(2, { undecided, isWhole: false });
    expect([...last.hurt]).toEqual(["auto-7"]);
    // It meets the other one, too.
    last.note({ name: second, snapshots: ["auto-7"] }, 3);
    last.forgetBefore(2, { undecided, isWhole: true });
    expect(last.lost.map(({ name }) => name)).toEqual([second]);
    last.noteStored(holding(ids[1] ?? ""), { mark: last.mark, isAnew: true });
    await last.settled();
    expect((await open(file)).lost).toEqual([]);
  });

  it("and was more than was written down is forgotten with the snapshots that it hurt", async () => {
    const file = aFile();
    const text = { format: 1, isMet: true, isCut: true, lost: [{ name: first, snapshots: ["a"] }] };
    writeFileSync(file, JSON.stringify(text));
    const book = await open(file);
    book.keepOf(() => false);
    book.note({ name: second, snapshots: ["b"] }, 1);
    book.noteStored(holding(ids[1] ?? ""), { mark: book.mark, isAnew: true });
    expect(book.lost).toEqual([]);
  });

  it.each([
    ["is damaged", "{"],
    ["is of a newer version", '{"format":2}'],
    ["is far too long", " ".repeat(17 * 1024 * 1024)],
  ])("and its record %s: the next snapshot rests on nothing before it", async (_, text) => {
    const file = aFile();
    writeFileSync(file, text);
    const book = await open(file);
    expect([book.lost, book.isUnmet]).toEqual([[], true]);
    expect(readFileSync(file, "utf8")).toContain('"isMet":false');
  });

  it("stays known while it cannot be written, and is written later", async () => {
    const file = aFile();
    rmSync(join(file, ".."), { recursive: true });
    const book = await open(file);
    book.note({ name: first, snapshots: ["a"] }, 1);
    await book.settled();
    expect([...book.hurt]).toEqual(["a"]);
    await realDisk.createFolder(join(file, ".."));
    book.keepOf(() => true);
    await book.settled();
    expect((await open(file)).lost).toEqual([{ name: first, snapshots: ["a"] }]);
  });
});
