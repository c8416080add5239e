/** What tests of clones do again and again. */
import { spawn } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "vitest";
import { startScript, TestCluster } from "./cluster.ts";

/** A data directory beside the cluster's. */
export function beside(cluster: TestCluster, name: string): string {
  return join(dirname(cluster.dataDir), name);
}

/** Makes a clone without readers; gives its data directory. */
export async function clone(from: TestCluster, name: string, ...args: string[]): Promise<string> {
  const dataDir = beside(from, name);
  const result = await from.cli("clone", "--into", dataDir, "--readers", "0", ...args);
  expect(result.stderr).toBe("");
  expect(result.code).toBe(0);
  return dataDir;
}

export function start(dataDir: string): Promise<TestCluster> {
  return TestCluster.create({ readers: 0, dataDir });
}

/** Rows of t. */
export async function count(cluster: TestCluster): Promise<number> {
  const { rows } = await cluster.query("SELECT count(*)::int AS n FROM t");
  return rows[0].n;
}

/** Stops and deletes a cluster. */
export async function remove(cluster: TestCluster): Promise<void> {
  await cluster.down();
  const { code, stderr } = await cluster.cli("delete", "--yes");
  expect(stderr).toBe("");
  expect(code).toBe(0);
  expect(existsSync(cluster.dataDir)).toBe(false);
}

export interface PinRow {
  readonly pinId: string;
  readonly dataDir: string | null;
  readonly situation: string;
}

/** The clones that the cluster keeps log for. */
export async function pins(cluster: TestCluster): Promise<PinRow[]> {
  const { stdout } = await cluster.cli("storage", "list", "--json");
  return (JSON.parse(stdout) as { pins: PinRow[] }[])[0]?.pins ?? [];
}

/** Folders of pins that a node of the cluster has on its disk. */
export function keptBy(cluster: TestCluster, node: string): string[] {
  return readdirSync(join(cluster.dataDir, "storage", node, "pins"));
}

/** Bytes that files under `dir` take which are not also under `than`. */
export function ownBytes(dir: string, than: string): number {
  const known = new Set(filesUnder(than).map(({ inode }) => inode));
  const own = new Map(filesUnder(dir).map((file) => [file.inode, file.bytes]));
  return [...own].reduce((sum, [inode, bytes]) => (known.has(inode) ? sum : sum + bytes), 0);
}

function filesUnder(dir: string): { inode: number; bytes: number }[] {
  return readdirSync(dir, { withFileTypes: true, recursive: true }).flatMap((entry) => {
    if (!entry.isFile()) return [];
    // What is being made gets its name, or goes, while others look.
    const facts = statSync(join(entry.parentPath, entry.name), { throwIfNoEntry: false });
    return facts ? [{ inode: facts.ino, bytes: facts.blocks * 512 }] : [];
  });
}

/** Starts a command and kills it after a while; resolves when it is gone, with true if it had come to its end before. */
export async function interrupted(afterMs: number, ...args: string[]): Promise<boolean> {
  const command = startedCommand(...args);
  const timer = setTimeout(command.kill, afterMs);
  const code = await command.over;
  clearTimeout(timer);
  return code !== null;
}

/** A command that runs; `over` gives its exit code, or null if it was killed. */
export function startedCommand(...args: string[]): {
  readonly over: Promise<number | null>;
  kill(): void;
} {
  const child = spawn(process.execPath, [startScript, ...args], { stdio: "ignore" });
  return {
    over: new Promise((resolve) => child.once("close", resolve)),
    kill: () => void child.kill("SIGKILL"),
  };
}
