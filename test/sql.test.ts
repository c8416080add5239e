/** Every file of sql-tests/ through the writer endpoint, and what readers refuse through the reader endpoint. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { askFacts, type ServerFacts } from "../sql-tests/runner/facts.ts";
import { runFile } from "../sql-tests/runner/run-file.ts";
import { TestCluster } from "./helpers/cluster.ts";

const folder = join(dirname(dirname(fileURLToPath(import.meta.url))), "sql-tests");
const timeoutMs = 60_000;

function filesUnder(path: string): string[] {
  return readdirSync(path)
    .toSorted()
    .map((name) => join(path, name))
    .flatMap((name) => (statSync(name).isDirectory() ? filesUnder(name) : [name]))
    .filter((name) => name.endsWith(".slt"));
}

const files = filesUnder(folder).map((file) => relative(folder, file));
let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.create({ readers: 1 });
});
afterAll(() => cluster.destroy());

async function failuresOf(file: string, url: string, facts: ServerFacts): Promise<string[]> {
  const report = await runFile(readFileSync(join(folder, file), "utf8"), { url, facts, timeoutMs });
  expect(report.passed, `${file} has records that ran`).toBeGreaterThan(0);
  return report.failures.map(({ line, sql, reason }) => `${file}:${line}: ${sql}\n${reason}`);
}

describe("sqllogictest on the writer endpoint", () => {
  it.each(files.filter((file) => !file.startsWith("reader")))("%s", async (file) => {
    const url = cluster.url("writer");
    expect(await failuresOf(file, url, await askFacts(url, timeoutMs, []))).toEqual([]);
  });
});

describe("sqllogictest on the reader endpoint", () => {
  it.each(files.filter((file) => file.startsWith("reader")))("%s", async (file) => {
    const url = cluster.url("reader");
    expect(await failuresOf(file, url, await askFacts(url, timeoutMs, []))).toEqual([]);
  });
});
