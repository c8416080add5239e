import type { Command } from "commander";
import { present } from "../base/assert.ts";
import { BorealisError, sqlState } from "../base/errors.ts";
import type { CommandReport, Workplace } from "./command-report.ts";
import { dim, print, printError } from "./print.ts";

/** What the commands of the command line have in common. */
export interface CommonOptions {
  readonly dataDir: string;
  readonly json?: boolean;
}

const defaultDataDir = process.env["BOREALIS_DATA_DIR"] ?? "./.borealis";

/** The options that every command takes, and an example below its help. */
export function withCommon(command: Command, example: string): Command {
  return command
    .option(
      "--data-dir <dir>",
      "the cluster's data directory (env: BOREALIS_DATA_DIR)",
      defaultDataDir,
    )
    .option("--json", "print one JSON document")
    .addHelpText("after", `\nExample:\n  ${example}`);
}

/** Runs a command's work; a failure is one line (or one JSON document) and exit code 1, or 2 for wrong usage. */
export function running<Args extends unknown[]>(
  work: (...args: Args) => Promise<void>,
): (...args: Args) => Promise<void> {
  return async (...args) => {
    // Timers of rooms keep no process alive; a command that waits for its next attempt must not end by itself.
    const alive = setInterval(() => undefined, 60_000);
    try {
      await work(...args);
    } catch (error) {
      const options = args.find((arg): arg is Args[number] & CommonOptions => isOptions(arg));
      printError(error, options?.json ?? false);
      const isUsage = error instanceof BorealisError && error.code === sqlState.invalidParameter;
      process.exitCode = isUsage ? 2 : 1;
    } finally {
      clearInterval(alive);
    }
  };
}

/** Likewise work that says what it came to, which is then printed. */
export function reporting<Args extends unknown[]>(
  work: (place: Workplace, ...args: Args) => Promise<CommandReport>,
): (...args: Args) => Promise<void> {
  return running(async (...args: Args) => {
    const [{ Progress }, { resolveLayout }] = await Promise.all([
      import("./progress.ts"),
      import("./data-dir.ts"),
    ]);
    const { dataDir, json: isJson = false } = present(
      args.find(isOptions),
      "commands have options",
    );
    const progress = new Progress({ isJson });
    try {
      // Ctrl-C ends the process, and so the waiting.
      const { signal } = new AbortController();
      const report = await work({ layout: resolveLayout(dataDir), progress, signal }, ...args);
      progress.close();
      printReport(report, isJson);
    } finally {
      progress.close();
    }
  });
}

function printReport({ document, head, lines, failure }: CommandReport, isJson: boolean): void {
  if (isJson) print(JSON.stringify(document, null, 2));
  else {
    if (head !== undefined) print(dim(head));
    for (const line of lines) print(line);
  }
  if (!failure) return;
  // An error's document after the report's would be a second one.
  if (isJson) process.exitCode = 1;
  else throw failure;
}

function isOptions(value: unknown): value is CommonOptions {
  return typeof value === "object" && value !== null && "dataDir" in value;
}
