import type { Command } from "commander";
import { BorealisError, sqlState } from "../base/errors.ts";
import { printError } from "./print.ts";

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

function isOptions(value: unknown): value is CommonOptions {
  return typeof value === "object" && value !== null && "dataDir" in value;
}
