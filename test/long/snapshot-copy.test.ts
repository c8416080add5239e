/** Copies of a snapshot that a user keeps: made in other stores, restored and deleted there when no cluster is left. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { volumeOf } from "../helpers/archive.ts";
import { makeFolder, runCli, startScript, TestCluster, until } from "../helpers/cluster.ts";
import { documentIn, expectSteps } from "../helpers/json.ts";
import { mayMount, mountMemory, unmount } from "../helpers/mounts.ts";
import { bucket, rightKeys, S3Service } from "../helpers/s3-service.ts";

const folder = makeFolder();
const keys = join(folder, "kept-keys.json");
const rowsMax = 40_000;
let service: S3Service;
let cluster: TestCluster;
let volume = "";

const urlOf = (name: string): string => pathToFileURL(join(folder, name)).href;
const inStore = (url: string): string[] => ["--store", url, "--volume", volume, "--keys", keys];

interface Copied {
  readonly isNew: boolean;
  readonly extents: number;
  readonly putExtents: number;
  readonly putBytes: number;
}

async function copy(...args: string[]): Promise<Copied> {
  const own = args.includes("--store") ? [] : ["--data-dir", cluster.dataDir];
  const result = await runCli(["snapshot", "copy", "kept", "--json", ...own, ...args], rightKeys);
  expect(result.code, result.stdout + result.stderr).toBe(0);
  return documentIn(result.stdout) as Copied;
}

async function idsIn(url: string): Promise<string[]> {
  const result = await runCli(["snapshot", "list", "--json", ...inStore(url)], rightKeys);
  expect(result.code, result.stdout + result.stderr).toBe(0);
  return (documentIn(result.stdout) as { id: string }[]).map(({ id }) => id);
}

async function refused(
  ...args: string[]
): Promise<{ code: string; message: string; hint: string }> {
  const result = await runCli(["snapshot", ...args, "--json"], rightKeys);
  expect(result.code, result.stdout).not.toBe(0);
  const { error } = documentIn(result.stdout) as { error: { code: string; message: string } };
  return { hint: "", ...error };
}

function extentsIn(name: string): string[] {
  const files = readdirSync(join(folder, name, volume, "extents"), {
    recursive: true,
    withFileTypes: true,
  });
  return files.filter((one) => one.isFile()).map((one) => join(one.parentPath, one.name));
}

beforeAll(async () => {
  service = await S3Service.start();
  cluster = await TestCluster.create({ readers: 0 });
  volume = volumeOf(cluster);
  copyFileSync(join(cluster.dataDir, "keys/master.json"), keys);
  await cluster.query(
    `create table history as select n, md5(n::text) as what from generate_series(1, ${rowsMax}) n`,
  );
  const taken = await cluster.cli("snapshot", "create", "kept");
  expect(taken.code, taken.stderr).toBe(0);
  await cluster.query("insert into history values (0, 'later')");
});
afterAll(async () => {
  await cluster?.destroy();
  await service?.stop();
  rmSync(folder, { recursive: true, force: true });
});

describe("a copy of a running cluster's snapshot", () => {
  it("is in the other store whole, tells how far it is, and may be repeated", async () => {
    const args = ["snapshot", "copy", "kept", "--to", urlOf("copies"), "--json"];
    const result = await cluster.cli(...args);
    expect(result.code, result.stdout + result.stderr).toBe(0);
    const copied = documentIn(result.stdout) as Copied;
    expect(copied).toMatchObject({ copied: "kept", store: urlOf("copies"), volume, isNew: true });
    expect(copied.putExtents).toBe(copied.extents);
    expect(extentsIn("copies")).toHaveLength(copied.extents);
    const step = result.stderr.match(/copying snapshot kept to [^"]*/)?.[0] ?? "";
    expectSteps(result.stderr, step);
    expect(await idsIn(urlOf("copies"))).toEqual(["kept"]);
    const again = await copy("--to", urlOf("copies"));
    expect(again).toMatchObject({ isNew: false, putExtents: 0 });
    // Rotten meanwhile.
    writeFileSync(extentsIn("copies")[0] ?? "", "rotten");
    expect(await copy("--to", urlOf("copies"))).toMatchObject({ isNew: false, putExtents: 1 });
  });

  it("that is killed midway is not listed, and goes on when it is repeated", async () => {
    const to = urlOf("midway");
    const args = ["snapshot", "copy", "kept", "--to", to, "--data-dir", cluster.dataDir];
    const child = spawn(process.execPath, [startScript, ...args], { stdio: "ignore" });
    const gone = once(child, "exit");
    const some = (): number => {
      try {
        return extentsIn("midway").length;
      } catch {
        return 0;
      }
    };
    await until("some of it is there", () => some() > 0, 60_000);
    child.kill("SIGKILL");
    await gone;
    expect(await refused("list", ...inStore(to))).toMatchObject({ code: "22023" });
    const copied = await copy("--to", to);
    expect(copied.isNew).toBe(true);
    expect(copied.putExtents).toBeLessThan(copied.extents);
    expect(await idsIn(to)).toEqual(["kept"]);
  });

  it("says what is wrong", async () => {
    const own = ["--data-dir", cluster.dataDir];
    const unknown = await refused("copy", "nonesuch", ...own, "--to", urlOf("copies"));
    expect(unknown).toMatchObject({ code: "22023", message: 'there is no snapshot "nonesuch"' });
    expect(unknown.hint).toContain("kept");
    const list = await cluster.cli("snapshot", "list", "--json");
    const rows = documentIn(list.stdout) as { id: string; kind: string }[];
    const automatic = rows.find(({ kind }) => kind === "automatic");
    if (automatic)
      expect(
        (await refused("copy", automatic.id, ...own, "--to", urlOf("copies"))).message,
      ).toMatch(/is an automatic one/);
    const away = "s3://nowhere/x?endpoint=http://127.0.0.1:1";
    expect(await refused("copy", "kept", ...own, "--to", away)).toMatchObject({ code: "58030" });
    expect((await refused("copy", "kept", ...own, "--to", "here")).code).toBe("22023");
    expect((await refused("copy", "kept", ...own)).message).toBe("say where to");
    const home = pathToFileURL(join(cluster.dataDir, "objects")).href;
    expect((await refused("copy", "kept", ...own, "--to", home)).message).toMatch(
      /is the cluster's own/,
    );
    expect((await refused("copy", "kept", ...own, "--from", urlOf("copies"))).code).toBe("55000");
    const store = ["--store", home, "--volume", volume];
    expect((await refused("delete", "kept", ...own, ...store)).code).toBe("55000");
    // A file where the folder should be: root may write to any folder.
    writeFileSync(join(folder, "file"), "");
    const onto = await refused("copy", "kept", ...own, "--to", urlOf("file"));
    expect(onto.message).toContain(join(folder, "file"));
    expect(onto.hint).not.toBe("");
  });

  it.runIf(mayMount())("says so where there is no room, and shows nothing there", async () => {
    const full = join(folder, "full");
    mkdirSync(full);
    mountMemory(full, 1024 ** 2);
    try {
      const error = await refused(
        "copy",
        "kept",
        "--data-dir",
        cluster.dataDir,
        "--to",
        urlOf("full"),
      );
      expect(error).toMatchObject({ code: "53100" });
      expect(await refused("list", ...inStore(urlOf("full")))).toMatchObject({ code: "22023" });
    } finally {
      unmount(full);
    }
  });
});

describe("a copy of a stopped cluster's snapshot", () => {
  it("can be brought back, and made in a bucket", async () => {
    const deleted = await cluster.cli("snapshot", "delete", "kept");
    expect(deleted.code, deleted.stderr).toBe(0);
    await cluster.down();
    expect(await copy("--from", urlOf("copies"))).toMatchObject({ isNew: true });
    expect(await copy("--to", service.urlOf(`${bucket}/copies`))).toMatchObject({ isNew: true });
    await cluster.up();
    await until("the cluster has it again", async () => {
      const { stdout } = await cluster.cli("snapshot", "list", "--json");
      return (documentIn(stdout) as { id: string }[]).some(({ id }) => id === "kept");
    });
    await cluster.down();
  });
});

describe("a copy that is all that is left of a cluster", () => {
  it("is listed, restored, copied further and deleted", async () => {
    const deleted = await cluster.cli("delete", "--yes");
    expect(deleted.code, deleted.stderr).toBe(0);
    const s3 = service.urlOf(`${bucket}/copies`);
    expect(await idsIn(urlOf("copies"))).toEqual(["kept"]);
    expect(await idsIn(s3)).toEqual(["kept"]);
    const dataDir = join(folder, "restored", "data");
    const from = [...inStore(urlOf("copies")), "--from", "kept"];
    const args = ["--into", dataDir, "--readers", "0", "--json"];
    const result = await runCli(["restore", ...from, ...args]);
    expect(result.code, result.stdout + result.stderr).toBe(0);
    const restored = await TestCluster.create({ dataDir, readers: 0 });
    try {
      const { rows } = await restored.query(
        "select count(*)::int as n, bool_and(what = md5(n::text)) as good from history",
      );
      expect(rows[0]).toEqual({ n: rowsMax, good: true });
    } finally {
      await restored.destroy();
    }
    const further = [...inStore(s3), "--to", urlOf("further")];
    expect(await copy(...further)).toMatchObject({ isNew: true });
    expect(await idsIn(urlOf("further"))).toEqual(["kept"]);
    // As if it had been copied yesterday.
    const yesterday = Date.now() / 1_000 - 86_400;
    for (const file of extentsIn("copies")) utimesSync(file, yesterday, yesterday);
    expect(await refused("delete", "nonesuch", ...inStore(s3))).toMatchObject({ code: "22023" });
    for (const url of [urlOf("copies"), s3]) {
      const gone = await runCli(["snapshot", "delete", "kept", ...inStore(url)], rightKeys);
      expect(gone.code, gone.stderr).toBe(0);
      expect(await idsIn(url)).toEqual([]);
    }
    expect(extentsIn("copies")).toEqual([]);
  });
});
