import { mkdtempSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { volumeId } from "../base/ids.ts";
import { type Disk, realDisk } from "../io/index.ts";
import {
  extentObject,
  FolderStore,
  openObjectStore,
  snapshotObject,
  volumeObject,
} from "./index.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "borealis-folder-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const volume = volumeId("11111111-2222-3333-4444-555555555555");
const names = [
  extentObject("00".repeat(32)),
  extentObject(`00${"ab".repeat(31)}`),
  extentObject("7f".repeat(32)),
  "log/0000000000000001/0000000000000000-0000000000000010",
  "log/0000000000000012/0000000000000000-0000000000000010",
  snapshotObject("auto-1"),
  snapshotObject("genesis"),
  volumeObject,
];

async function listed(store: FolderStore, prefix: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of store.list(prefix)) found.push(name);
  return found;
}

describe("a folder of objects", () => {
  it("gives back what was put last, lists in order, and forgets what is deleted", async () => {
    const store = new FolderStore(`${root}/not/there/yet/`);
    expect(await listed(store, "")).toEqual([]);
    expect(await store.get(volumeObject)).toBeUndefined();
    await store.delete(names);
    for (const name of names.toReversed()) await store.put(name, Buffer.from(`first ${name}`));
    for (const name of names) await store.put(name, Buffer.from(name));
    expect(await listed(store, "")).toEqual(names);
    for (const prefix of ["extents/", "extents/00/00ab", "log/", "snapshots/auto-", "volume", "x"])
      expect(await listed(store, prefix)).toEqual(names.filter((n) => n.startsWith(prefix)));
    for (const name of names) expect((await store.get(name))?.toString()).toBe(name);
    const half = names.filter((_, i) => i % 2 === 0);
    await store.delete(half);
    expect(await store.has(names)).toEqual(new Set(names.filter((_, i) => i % 2 === 1)));
    const again = await openObjectStore(`file:${root}`, volume);
    await again.put(volumeObject, Buffer.alloc(0));
    expect(readdirSync(root).toSorted()).toEqual([volume, "not"]);
  });

  it("says how big and how old an object is, and makes it young by putting it again", async () => {
    const store = new FolderStore(root);
    const [name = ""] = names;
    await store.put(name, Buffer.alloc(77));
    utimesSync(join(root, name), 1000, 1000);
    const facts = async () => {
      for await (const one of store.list("extents/")) return one;
      return undefined;
    };
    expect(await facts()).toEqual({ name, sizeBytes: 77, putAtMs: 1_000_000, isShared: false });
    await store.put(name, Buffer.alloc(77));
    expect(Math.abs(((await facts())?.putAtMs ?? 0) - Date.now())).toBeLessThan(60_000);
  });

  it("is made again when somebody removed it under a living store", async () => {
    const store = new FolderStore(root);
    await store.put(volumeObject, Buffer.from("a"));
    await store.put(names[0] ?? "", Buffer.from("a"));
    rmSync(root, { recursive: true });
    await store.put(names[0] ?? "", Buffer.from("b"));
    expect(await listed(store, "")).toEqual([names[0]]);
  });

  it("takes away what dead puts left, and nothing that is on its way", async () => {
    const store = new FolderStore(root);
    await store.put(volumeObject, Buffer.from("a"));
    for (const name of ["old", "new"]) writeFileSync(join(root, "making", name), "half");
    utimesSync(join(root, "making/old"), 1000, 1000);
    await store.tidy(Date.now() - 60_000);
    expect(readdirSync(join(root, "making"))).toEqual(["new"]);
    expect(await listed(store, "")).toEqual([volumeObject]);
  });

  it("shows nothing of an object that comes in pieces before it is kept", async () => {
    const store = new FolderStore(root);
    const [name = ""] = names;
    await store.put(name, Buffer.from("before"));
    const read = await store.open(name);
    const draft = await store.draft();
    await draft.write(Buffer.from("in "));
    await draft.write(Buffer.from("two"));
    expect((await store.get(name))?.toString()).toBe("before");
    expect(await listed(store, "")).toEqual([name]);
    await draft.keep(name);
    expect((await store.get(name))?.toString()).toBe("in two");
    // Who has begun to read goes on in what it was.
    const into = Buffer.alloc(20);
    expect([read?.sizeBytes, await read?.read(into, 2)]).toEqual([6, 4]);
    expect(into.toString("utf8", 0, 4)).toBe("fore");
    await read?.close();
    expect(await store.open(snapshotObject("none"))).toBeUndefined();
    const dropped = await store.draft();
    await dropped.write(Buffer.from("half"));
    await dropped.drop();
    expect(readdirSync(join(root, "making"))).toEqual([]);
    expect(await listed(store, "")).toEqual([name]);
  });

  it("keeps a draft though somebody has removed the folder that it is to go to", async () => {
    const store = new FolderStore(root);
    const [name = ""] = names;
    await store.put(name, Buffer.from("a"));
    const draft = await store.draft();
    await draft.write(Buffer.from("b"));
    rmSync(join(root, "extents"), { recursive: true });
    await draft.keep(name);
    expect((await store.get(name))?.toString()).toBe("b");
  });

  it("shares what another folder has: further names of the same files", async () => {
    const [parent, clone] = [new FolderStore(`${root}/parent`), new FolderStore(`${root}/clone`)];
    for (const name of names.slice(0, 4)) await parent.put(name, Buffer.from(`of ${name}`));
    await clone.put(names[1] ?? "", Buffer.from("its own"));
    const shared = await clone.copyFrom({ volumeId: "parent", store: parent }, names.slice(0, 5));
    expect([...shared].toSorted()).toEqual(names.slice(0, 4));
    expect((await clone.get(names[0] ?? ""))?.toString()).toBe(`of ${names[0]}`);
    expect((await clone.get(names[1] ?? ""))?.toString()).toBe("its own");
    const inodes = ["parent", "clone"].map((dir) => statSync(join(root, dir, names[3] ?? "")).ino);
    expect(inodes[0]).toBe(inodes[1]);
    // Either may put it anew, or delete it, and the other does not notice.
    await clone.put(names[0] ?? "", Buffer.from("healed"));
    await parent.delete(names.slice(2, 4));
    expect((await parent.get(names[0] ?? ""))?.toString()).toBe(`of ${names[0]}`);
    expect((await clone.get(names[3] ?? ""))?.toString()).toBe(`of ${names[3]}`);
  });

  it("shares nothing that was put later than is wanted", async () => {
    const [parent, clone] = [new FolderStore(`${root}/parent`), new FolderStore(`${root}/clone`)];
    for (const name of names.slice(0, 2)) await parent.put(name, Buffer.from("a"));
    utimesSync(join(root, "parent", names[0] ?? ""), 1000, 1000);
    const relative = { volumeId: "parent", store: parent, putBeforeMs: 1_000_000 };
    expect([...(await clone.copyFrom(relative, names))]).toEqual([names[0]]);
  });

  it("shares nothing where files cannot have further names", async () => {
    const link: Disk["link"] = () =>
      Promise.reject(Object.assign(new Error("no"), { code: "EXDEV" }));
    const [parent, clone] = [
      new FolderStore(`${root}/parent`),
      new FolderStore(`${root}/clone`, { ...realDisk, link }),
    ];
    await parent.put(names[0] ?? "", Buffer.from("a"));
    expect([...(await clone.copyFrom({ volumeId: "parent", store: parent }, names))]).toEqual([]);
    expect(await clone.has(names)).toEqual(new Set());
  });

  it("lists from any name on", async () => {
    const store = new FolderStore(root);
    for (const name of names) await store.put(name, Buffer.from(name));
    const between = names.flatMap((name) => [name.slice(0, -1), name, `${name}0`]);
    for (const after of ["", "a", "extents", "extents/", "extents/00/", "log0", "z", ...between])
      for (const prefix of ["", "extents/", "log/0000000000000012"]) {
        const found: string[] = [];
        for await (const one of store.list(prefix, after)) found.push(one.name);
        const wanted = names.filter((name) => name.startsWith(prefix) && name > after);
        expect(found, `${prefix} behind ${after}`).toEqual(wanted);
      }
  });

  it("says what is wrong with its disk, and what to do", async () => {
    const failing = (code: string): Disk => ({
      ...realDisk,
      open: () => Promise.reject(Object.assign(new Error(`${code}: no`), { code })),
    });
    for (const [code, sqlState, hint] of [
      ["ENOSPC", "53100", /free some space/],
      ["EDQUOT", "53100", /free some space/],
      ["EACCES", "58030", /may write to it/],
    ] as const) {
      const store = new FolderStore(root, failing(code));
      await expect(store.put(volumeObject, Buffer.from("a"))).rejects.toMatchObject({
        code: sqlState,
        hint: expect.stringMatching(hint),
      });
    }
    writeFileSync(join(root, "file"), "");
    const store = new FolderStore(join(root, "file"));
    await expect(store.put(volumeObject, Buffer.from("a"))).rejects.toMatchObject({
      code: "58030",
    });
  });
});

describe("the URL of an object store", () => {
  it("names a folder in either form, and only what there is", async () => {
    for (const url of [`file:${root}`, `file://${root}`, `file://localhost${root}/`])
      expect((await openObjectStore(url, volume)).label).toBe(`the folder ${root}/${volume}`);
    for (const url of ["", "objects", "file:objects", "file://host/x", "ftp://x/y", "file:/a%zz"])
      await expect(openObjectStore(url, volume), url).rejects.toMatchObject({ code: "22023" });
  });
});
