/** Clones that cannot be, that are interrupted, that are lost; and the end of a cluster that has some. */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  beside,
  clone,
  count,
  interrupted,
  keptBy,
  pins,
  remove,
  start,
} from "../helpers/clones.ts";
import { documentIn, expectSteps } from "../helpers/json.ts";
import { freeBasePort, runCli, TestCluster, until } from "../helpers/cluster.ts";

let parent: TestCluster;
const others: TestCluster[] = [];
beforeAll(async () => {
  parent = await TestCluster.create({ readers: 0 });
  await parent.query("CREATE TABLE t AS SELECT generate_series(1, 1501) AS n");
});
afterAll(async () => {
  for (const other of others) await other.down();
  await parent.destroy();
});

describe("a clone that cannot be", () => {
  it("is refused in words that say what to do", async () => {
    const into = beside(parent, "no");
    const refused = async (words: RegExp, ...args: string[]): Promise<void> => {
      const { code, stderr } = await parent.cli("clone", ...args);
      expect(stderr).toMatch(words);
      expect(code).toBeGreaterThan(0);
    };
    const outside = /is outside of what can be cloned: 0\/[0-9A-F]+ to 0\/[0-9A-F]+; choose/;
    await refused(outside, "--into", into, "--to", "FF/0");
    await refused(outside, "--into", into, "--to", "0/10");
    const window = /is outside of what can be cloned: 20\d\d-\S+Z to 20\d\d-\S+Z; choose/;
    await refused(window, "--into", into, "--to", "-5d");
    await refused(/neither a time nor a position/, "--into", into, "--to", "yesterday");
    await refused(/lie in each other/, "--into", join(parent.dataDir, "inner"));
    const taken = beside(parent, "taken");
    const made = await parent.cli("clone", "--into", taken, "--readers", "0", "--json");
    expect(made.stderr).toMatch(
      /^\{"progress":\{"step":"sharing the parent's files","doneBytes":[1-9]\d*,"totalBytes":[1-9]/m,
    );
    expect(documentIn(made.stdout)).toMatchObject({ clone: taken });
    await refused(/holds a cluster already/, "--into", taken);
    // Those that had begun have left nothing, nor of the path to it; what was there before is there.
    expect(existsSync(into)).toBe(false);
    await refused(outside, "--into", join(into, "deeper", "data"), "--to", "FF/0");
    expect(existsSync(into)).toBe(false);
    mkdirSync(into);
    await refused(outside, "--into", join(into, "deeper", "data"), "--to", "FF/0");
    await refused(outside, "--into", into, "--to", "FF/0");
    expect(readdirSync(into)).toEqual([]);
    writeFileSync(join(into, "precious"), "");
    await refused(/is not empty/, "--into", into);
    const gone = await runCli(["delete", "--yes", "--json", "--data-dir", taken]);
    expect(documentIn(gone.stdout)).toMatchObject({ deleted: taken });
    expectSteps(gone.stderr, "removing files");
    expect(await pins(parent)).toEqual([]);
  });

  it("leaves nothing that stays for ever when it is interrupted, and is made when it is asked for again", async () => {
    const into = beside(parent, "broken");
    const args = ["clone", "--data-dir", parent.dataDir, "--into", into, "--readers", "0"];
    for (let afterMs = 150; afterMs < 1_500; afterMs += 150) {
      if (await interrupted(afterMs, ...args)) break;
      if (!existsSync(join(into, "control", "clone.json"))) continue;
      if (existsSync(join(into, "control", "state.json"))) break;
      expect((await runCli(["up", "--data-dir", into])).stderr).toMatch(/was not made to its end/);
    }
    if (!existsSync(join(into, "control", "state.json"))) await clone(parent, "broken");
    const broken = await start(into);
    others.push(broken);
    expect(await count(broken)).toBe(1501);
    expect(await pins(parent)).toMatchObject([{ dataDir: into, situation: "in use" }]);
    await until("one pin is left", () => keptBy(parent, "az2-tail").length === 1);
    await broken.down();
    // Its deletion, likewise.
    for (let afterMs = 150; existsSync(into) && afterMs < 2_000; afterMs += 50) {
      await interrupted(afterMs, "delete", "--data-dir", into, "--yes");
      if (existsSync(join(into, "control", "deleting.json"))) {
        const { stderr } = await runCli(["up", "--data-dir", into]);
        expect(stderr).toMatch(/was being deleted/);
      }
    }
    if (existsSync(into)) await runCli(["delete", "--data-dir", into, "--yes"]);
    expect(existsSync(into)).toBe(false);
    await until("no pin is left", () => keptBy(parent, "az2-tail").length === 0);
  });

  it("and one that was removed by hand is shown, and released", async () => {
    const dataDir = await clone(parent, "lost");
    const kept = await parent.cli("storage", "unpin", dataDir);
    expect(kept.stderr).toMatch(/is still there/);
    rmSync(dataDir, { recursive: true });
    expect(await pins(parent)).toMatchObject([{ dataDir, situation: "orphaned" }]);
    expect((await parent.cli("storage", "list")).stdout).toMatch(/orphaned/);
    expect((await parent.cli("storage", "unpin", dataDir)).code).toBe(0);
    expect(await pins(parent)).toEqual([]);
    await until("its log is let go", () => keptBy(parent, "az3-full").length === 0);
  });
});

describe("a clone that is started as it is made", () => {
  it("is told of in one document", async () => {
    const [into, port] = [beside(parent, "ready"), String(await freeBasePort(1))];
    const args = ["--into", into, "--readers", "0", "--port", port, "--json"];
    const made = await parent.cli("clone", ...args);
    try {
      expect(made.code, made.stdout + made.stderr).toBe(0);
      const told = { clone: into, cluster: { state: "available", dataDir: into } };
      expect(documentIn(made.stdout)).toMatchObject(told);
    } finally {
      await runCli(["delete", "--force", "--yes", "--data-dir", into]);
    }
  });
});

describe("a deletion", () => {
  it("asks, does not touch what runs, and leaves clones what they share", async () => {
    const heir = await start(await clone(parent, "heir"));
    others.push(heir);
    expect((await parent.cli("delete")).stderr).toMatch(/is running/);
    expect((await parent.cli("delete", "--force")).stderr).toMatch(/--yes/);
    await parent.cli("config", "archive.enabled", "off");
    const useless = await parent.cli("delete", "--force", "--yes", "--keep-snapshots");
    expect([useless.code, useless.stderr]).toEqual([1, expect.stringContaining("archives no log")]);
    await parent.cli("config", "archive.enabled", "on");
    expect(await count(parent)).toBe(1501);
    const taken = await parent.cli("snapshot", "create", "kept");
    expect(taken.code, taken.stderr).toBe(0);
    const { stdout } = await parent.cli("delete", "--force", "--yes", "--keep-snapshots");
    expect(stdout).toMatch(/1 clone go/);
    // What it prints can be typed.
    const typed = /borealis (restore .*--into) <dir>/.exec(stdout)?.[1]?.split(" ") ?? [];
    const again = beside(parent, "again");
    const restored = await runCli([...typed, again, "--readers", "0"]);
    expect(restored.code, restored.stderr).toBe(0);
    expect(existsSync(join(again, "control/state.json"))).toBe(true);
    const unknown = typed.map((word) => (word === "--to" ? "--from" : word));
    const named = unknown.map((word) => (word === "latest" ? "kept" : word));
    const place = named.slice(named.indexOf("--store"), named.indexOf("--from"));
    const listed = await runCli(["snapshot", "list", "--json", ...place]);
    expect(JSON.parse(listed.stdout)).toContainEqual(expect.objectContaining({ id: "kept" }));
    const dataDir = beside(parent, "of-snapshot");
    const fromKept = await runCli([...named, dataDir, "--readers", "0"]);
    expect(fromKept.code, fromKept.stderr).toBe(0);
    const ofSnapshot = await TestCluster.create({ dataDir, readers: 0 });
    expect(await count(ofSnapshot)).toBe(1501);
    await ofSnapshot.down();
    const refused = await runCli([...unknown, beside(parent, "never")]);
    expect(refused.stderr).toMatch(/no snapshot "latest"; there are .*genesis/);
    expect(readdirSync(parent.dataDir).toSorted()).toEqual(["keys", "objects"]);
    await heir.query("INSERT INTO t VALUES (0)");
    await heir.down();
    await heir.up();
    expect(await count(heir)).toBe(1502);
    await remove(heir);
  });
});
