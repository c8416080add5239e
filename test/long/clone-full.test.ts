/** Clones for which there is no room: told in words that say what is left of them, which is nothing; and the parent goes on. */
import { spawn } from "node:child_process";
import {
  existsSync,
  readdirSync,
  rmdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { count, keptBy, pins, remove, start } from "../helpers/clones.ts";
import { makeFolder, runCli, startScript, TestCluster, until } from "../helpers/cluster.ts";
import { documentIn } from "../helpers/json.ts";
import { mayMount, mountMemory, unmount } from "../helpers/mounts.ts";

const mebi = 1024 ** 2;

interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

/** Takes all the room that is left in a file system, but for so many bytes. */
function fill(disk: string, spareBytes: number): void {
  const ballast = join(disk, "ballast");
  try {
    for (;;) writeFileSync(ballast, Buffer.alloc(64 * 1024, 1), { flag: "a" });
  } catch {
    // There is no space, which is what it is for.
  }
  truncateSync(ballast, Math.max(0, statSync(ballast).size - spareBytes));
}

/** Runs a clone that is refused; when it tells of `step`, it is stopped until the disk is full. */
async function refused(
  args: readonly string[],
  full?: { readonly disk: string; readonly step: string; readonly spareBytes: number },
): Promise<Refusal> {
  const child = spawn(process.execPath, [startScript, "clone", "--json", ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  let told = "";
  let isFull = false;
  child.stdout.on("data", (chunk) => (output += String(chunk)));
  child.stderr.on("data", (chunk) => {
    told += String(chunk);
    if (isFull || !full || !told.includes(`"step":"${full.step}"`)) return;
    isFull = true;
    child.kill("SIGSTOP");
    fill(full.disk, full.spareBytes);
    child.kill("SIGCONT");
  });
  const code = await new Promise((resolve) => child.once("close", resolve));
  expect([code, isFull], output + told).toEqual([1, full !== undefined]);
  // Nothing but progress: all could be undone.
  expect(told).not.toMatch(/^borealis/m);
  return (documentIn(output) as { error: Refusal }).error;
}

describe.skipIf(!mayMount())("without room (skipped where nothing may be mounted)", () => {
  let parent: TestCluster;
  let disk: string;
  let into: string;
  beforeAll(async () => {
    parent = await TestCluster.create({ readers: 0 });
    await parent.query("CREATE TABLE t AS SELECT generate_series(1, 3000) AS n");
    await parent.cli("snapshot", "create", "first");
    disk = makeFolder();
    into = join(disk, "deep", "copy");
  });
  afterAll(async () => {
    rmSync(disk, { recursive: true, force: true });
    await parent.destroy();
  });

  async function withDisk(sizeBytes: number, work: () => Promise<void>): Promise<void> {
    mountMemory(disk, sizeBytes);
    try {
      await work();
    } finally {
      unmount(disk);
    }
  }

  const copy = (): string[] => {
    const from = ["--data-dir", parent.dataDir];
    return ["--copy", "--readers", "0", "--into", into, ...from];
  };

  async function expectUntouched(): Promise<void> {
    expect(readdirSync(disk).filter((name) => name !== "ballast")).toEqual([]);
    expect(await pins(parent)).toEqual([]);
    await until("the parent keeps nothing", () => keptBy(parent, "az2-tail").length === 0);
    expect(await count(parent)).toBe(3000);
  }

  it("a copy on a small disk is refused before anything is made", async () => {
    await withDisk(100 * mebi, async () => {
      expect(await refused(copy())).toEqual({
        code: "53100",
        message: expect.stringMatching(
          /^\S+\/copy has \d+ MiB of disk space left; at least 600 MiB are needed$/,
        ),
        hint: "free some space, or choose another directory",
      });
      await expectUntouched();
    });
  });

  it.each([
    { step: "keeping the parent's log", spareBytes: 0 },
    { step: "keeping the parent's log", spareBytes: mebi },
    { step: "copying the files", spareBytes: 0 },
    { step: "copying the files", spareBytes: 20 * mebi },
  ])(
    "nor is anything left of one whose disk fills up: $step, $spareBytes bytes left",
    async (at) => {
      await withDisk(700 * mebi, async () => {
        expect(await refused(copy(), { disk, ...at })).toEqual({
          code: "53100",
          message: `the disk of ${into} is full`,
          hint: "nothing is left of it there; free some space, or choose another directory with --into",
        });
        await expectUntouched();
      });
    },
  );

  it("it is made there when there is room; and one of it, by links on the same full disk, is refused likewise", async () => {
    await withDisk(1_500 * mebi, async () => {
      const made = await runCli(["clone", ...copy()]);
      expect(made.code, made.stderr).toBe(0);
      const second = join(disk, "second");
      const links = ["--readers", "0", "--into", second, "--data-dir", into];
      fill(disk, 64 * 1024);
      expect(await refused(links)).toMatchObject({
        code: "53100",
        message: expect.stringMatching(/has \d+ MiB of disk space left; at least 600 MiB/),
      });
      expect(existsSync(second)).toBe(false);
      rmSync(join(disk, "ballast"));
      const cluster = await start(into);
      expect(await pins(cluster)).toEqual([]);
      expect(await count(cluster)).toBe(3000);
      await remove(cluster);
      rmdirSync(join(disk, "deep"));
      await expectUntouched();
    });
  });
});
