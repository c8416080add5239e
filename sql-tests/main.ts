import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { askFacts } from "./runner/facts.ts";
import { type FileReport, runFile } from "./runner/run-file.ts";

const usage = `npm run sqltest -- --url URL [--with WORD]... [--timeout MS] [FILES]
Runs sqllogictest files (default: all of sql-tests/) against any PostgreSQL; see sql-tests/README.md.
Example: npm run sqltest -- --url postgres://postgres@127.0.0.1:5432/postgres sql-tests/types`;

const defaultTimeoutMs = 60_000;

/** Runs the tool; resolves with the exit code. The last line is `N passed, N failed, N skipped`. */
export async function main(argv: string[]): Promise<number> {
  const options = readOptions(argv);
  if (!options) {
    console.error(usage);
    return 2;
  }
  const { url, words, timeoutMs, files } = options;
  const totals = { passed: 0, failed: 0, skipped: 0 };
  const facts = await askFacts(url, timeoutMs, words).catch((error: unknown) => {
    console.error(`cannot connect to ${withoutPassword(url)}: ${String(error)}`);
    return undefined;
  });
  if (!facts) return 1;
  for (const file of files) {
    const name = relative(process.cwd(), file);
    const startedMs = performance.now();
    const report = await runFile(readFileSync(file, "utf8"), { url, facts, timeoutMs });
    print(name, report, performance.now() - startedMs);
    totals.passed += report.passed;
    totals.failed += report.failures.length;
    totals.skipped += report.skipped;
  }
  console.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
  return totals.failed === 0 ? 0 : 1;
}

interface Options {
  readonly url: string;
  readonly words: readonly string[];
  readonly timeoutMs: number;
  readonly files: readonly string[];
}

/** Undefined, after saying why, if they make no sense. */
function readOptions(argv: string[]): Options | undefined {
  try {
    const { values, positionals } = parseArgs({
      args: argv,
      allowPositionals: true,
      options: {
        url: { type: "string" },
        with: { type: "string", multiple: true, default: [] },
        timeout: { type: "string", default: String(defaultTimeoutMs) },
        help: { type: "boolean", short: "h" },
      },
    });
    if (values.help || values.url === undefined) return undefined;
    const given =
      positionals.length > 0 ? positionals.map((path) => resolve(path)) : [testFolder()];
    const files = given.flatMap(filesUnder);
    if (files.length === 0) throw new Error(`no .slt files in ${given.join(", ")}`);
    return { url: values.url, words: values.with, timeoutMs: Number(values.timeout), files };
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    return undefined;
  }
}

/** sql-tests/ of the checkout, from the sources as from a build in another folder of it. */
function testFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return join(folder, "sql-tests");
}

function filesUnder(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path];
  const entries = readdirSync(path).toSorted();
  return entries
    .map((entry) => join(path, entry))
    .filter((entry) => entry.endsWith(".slt") || statSync(entry).isDirectory())
    .flatMap(filesUnder);
}

function print(name: string, { passed, failures, skipped }: FileReport, elapsedMs: number): void {
  const mark = failures.length === 0 ? "ok  " : "FAIL";
  const skips = skipped > 0 ? `, ${skipped} skipped` : "";
  console.log(
    `${mark} ${name}: ${passed} passed, ${failures.length} failed${skips} (${elapsedMs.toFixed(0)} ms)`,
  );
  for (const { line, sql, reason } of failures) {
    console.log(`\n  ${name}:${line}`);
    if (sql) console.log(sql.replace(/^/gm, "    | "));
    console.log(`${reason.replace(/^/gm, "  ")}\n`);
  }
}

function withoutPassword(url: string): string {
  return url.replace(/:[^:@/]*@/, ":***@");
}
