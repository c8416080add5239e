/** What a cluster's processes warned of, for whoever sees a failed test's output and nothing else: its logs are gone by then. */
import { appendFileSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { expect } from "vitest";

const linesMax = 40;
const charsMax = 240;
/** pino's number for a warning. */
const warning = 40;
/** What is no fault of itself, but what most faults follow. */
const turns = /^(?:role\.ordered|takeover\.|failover\.|writer\.|volume\.yielded|session\.lost)/;

interface Line {
  readonly level: number;
  readonly time: string | number;
  readonly event?: string;
}

/** The last of what `dataDir`'s logs say of faults and of changes of the writer, in the order of time, a line each. */
export function digestOf(dataDir: string): string[] {
  const dir = join(dataDir, "log");
  const found = readdirSync(dir)
    .filter((name) => name.endsWith(".log"))
    .flatMap((name) => readFileSync(join(dir, name), "utf8").split("\n"))
    .flatMap((text) => {
      const line = parsed(text);
      return line && (line.level >= warning || turns.test(line.event ?? "")) ? [line] : [];
    });
  return found
    .toSorted((a, b) => new Date(a.time).getTime() - new Date(b.time).getTime())
    .slice(-linesMax)
    .map((line) => {
      const facts = JSON.stringify({ ...line, level: undefined, time: undefined, pid: undefined });
      return `${new Date(line.time).toISOString().slice(11)} ${facts}`.slice(0, charsMax);
    });
}

function parsed(text: string): Line | undefined {
  try {
    return JSON.parse(text) as Line;
  } catch {
    // PostgreSQL's own lines, or one that a kill cut.
    return undefined;
  }
}

/** Where BOREALIS_DIGESTS names a folder, a file for each file of tests: the runner shows those of files that failed. */
export function keepDigest(dataDir: string): void {
  const folder = process.env["BOREALIS_DIGESTS"];
  const { testPath } = expect.getState();
  if (folder === undefined || testPath === undefined) return;
  try {
    const lines = digestOf(dataDir).map((line) => `  ${line}\n`);
    appendFileSync(join(folder, basename(testPath)), ["A cluster:\n", ...lines].join(""));
  } catch {
    // It has no logs: the test removed them, or it never began.
  }
}
