/** The audit on real disks: it is rotated, survives a kill, and a full disk costs nothing silently. */
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AuditLog, type AuditLogOptions } from "../src/audit/index.ts";
import { openLogger, realClock, realDisk } from "../src/io/index.ts";
import { until } from "./helpers/cluster.ts";
import { mayMount, mountMemory, unmount } from "./helpers/mounts.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "borealis-audit-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function openAudit(options: Partial<AuditLogOptions> = {}): AuditLog {
  return new AuditLog({
    disk: realDisk,
    clock: realClock,
    logger: openLogger({ file: join(folder, "proxy.log"), process: "test" }),
    file: join(folder, "own", "audit.log"),
    maxBytes: 1024 * 1024,
    filesMax: 3,
    ...options,
  });
}

interface Line {
  readonly event: string;
  readonly number?: number;
  readonly lost?: number;
}

function linesOf(name = "audit.log", dir = join(folder, "own")): Line[] {
  const text = readFileSync(join(dir, name), "utf8");
  expect(text.endsWith("\n")).toBe(true);
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Line);
}

function record(audit: AuditLog, from: number, to: number, filler = ""): void {
  for (let number = from; number < to; number++) audit.record("statement", { number, filler });
}

describe("the audit", () => {
  it("is one document a line, for its owner alone, and goes on where another process left it", async () => {
    const first = openAudit();
    record(first, 0, 3);
    await first.close();
    const second = openAudit();
    record(second, 3, 5);
    await second.close();
    expect(linesOf().map(({ number }) => number)).toEqual([0, 1, 2, 3, 4]);
    expect(statSync(join(folder, "own", "audit.log")).mode & 0o777).toBe(0o600);
  });

  it("has no half of a line that a killed process left", async () => {
    const first = openAudit();
    record(first, 0, 2);
    await first.close();
    appendFileSync(join(folder, "own", "audit.log"), `{"event":"${"x".repeat(500)}`);
    const second = openAudit();
    record(second, 2, 3);
    await second.close();
    expect(linesOf().map(({ number }) => number)).toEqual([0, 1, 2]);
  });

  it("is rotated by size, keeps so many files, and loses nothing between them", async () => {
    const audit = openAudit({ maxBytes: 100_000 });
    for (let batch = 0; batch < 80; batch++) {
      record(audit, batch * 10, batch * 10 + 10, "x".repeat(1_000));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await audit.close();
    const names = readdirSync(join(folder, "own")).toSorted();
    expect(names).toEqual(["audit.log", "audit.log.1", "audit.log.2"]);
    for (const name of names)
      expect(statSync(join(folder, "own", name)).size).toBeLessThanOrEqual(100_000);
    const numbers = names.toReversed().flatMap((name) => linesOf(name).map(({ number }) => number));
    const first = numbers[0] ?? 0;
    expect(first).toBeGreaterThan(0);
    expect(numbers).toEqual(Array.from({ length: 800 - first }, (_, k) => first + k));
    expect(audit.lostCount).toBe(0);
  });

  it("keeps no more files than it is told, where it was told of more before", async () => {
    const own = join(folder, "own");
    mkdirSync(own);
    for (const age of [1, 2, 3, 4, 5]) writeFileSync(join(own, `audit.log.${age}`), "{}\n");
    const audit = openAudit({ maxBytes: 2_000 });
    record(audit, 0, 3, "x".repeat(1_500));
    await audit.close();
    expect(readdirSync(own).toSorted()).toEqual(["audit.log", "audit.log.1", "audit.log.2"]);
  });

  it.each([
    ["took the old one away", (file: string) => rmSync(file)],
    ["gave the old one another name", (file: string) => renameSync(file, `${file}.mine`)],
  ])("begins a new file where somebody %s", async (_what, take) => {
    const audit = openAudit();
    record(audit, 0, 1);
    await until("it is there", () => linesOf().length === 1);
    take(join(folder, "own", "audit.log"));
    let number = 1;
    await until("it is there again", () => {
      record(audit, number, ++number);
      return linesOf().length > 0;
    });
    await audit.close();
  });

  it("keeps what it cannot write for as long as there is room, then counts it, and says so", async () => {
    // A file in place of its folder: nothing can be opened.
    writeFileSync(join(folder, "own"), "");
    const audit = openAudit({ queueBytesMax: 10_000 });
    record(audit, 0, 1_000);
    expect(audit.lostCount).toBeGreaterThan(500);
    await until("the log says so", () => {
      const text = readFileSync(join(folder, "proxy.log"), "utf8");
      return text.includes('"audit.losing"') && text.includes('"audit.failed"');
    });
    rmSync(join(folder, "own"));
    const { lostCount } = audit;
    await until("it has been written", () => linesOf().length > 1);
    await audit.close();
    const lines = linesOf();
    expect(lines.at(-1)).toMatchObject({ event: "audit.gap", lost: lostCount });
    expect(lines.slice(0, -1).map(({ number }) => number)).toEqual(
      Array.from({ length: 1_000 - lostCount }, (_, k) => k),
    );
  });

  it.skipIf(!mayMount())(
    "goes on when a full disk has room again, without half of a line",
    async () => {
      const disk = join(folder, "disk");
      await realDisk.createFolder(disk);
      mountMemory(disk, 512 * 1024);
      try {
        const filler = join(disk, "filler");
        writeFileSync(filler, Buffer.alloc(480 * 1024));
        const audit = openAudit({ file: join(disk, "audit.log") });
        record(audit, 0, 200, "x".repeat(1_000));
        await until("the log says so", () =>
          readFileSync(join(folder, "proxy.log"), "utf8").includes('"code":"ENOSPC"'),
        );
        rmSync(filler);
        await until("all is written", () => linesOf("audit.log", disk).length === 200);
        await audit.close();
        const numbers = linesOf("audit.log", disk).map(({ number }) => number);
        expect(numbers).toEqual(Array.from({ length: 200 }, (_, k) => k));
        expect(audit.lostCount).toBe(0);
      } finally {
        unmount(disk);
      }
    },
  );
});
