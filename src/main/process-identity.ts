import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";

/** Pids are reused: what a pid is now, before anything is believed of it or done to it. */

/** The command line of a live process, or undefined. */
export function commandOf(pid: number): string | undefined {
  if (!Number.isSafeInteger(pid) || pid < 2) return undefined;
  if (existsSync("/proc/self/cmdline")) {
    try {
      // A zombie has an empty command line: it is gone for every purpose here.
      const text = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
      return text === "" ? undefined : text;
    } catch {
      return undefined; // no such process
    }
  }
  const shown = spawnSync("ps", ["-o", "command=", "-p", String(pid)], { encoding: "utf8" });
  const text = shown.stdout?.trim() ?? "";
  return text === "" ? undefined : text;
}

/** True if `pid` lives and its command line holds `mark`. */
export function isProcessOf(pid: number, mark: string): boolean {
  return commandOf(pid)?.includes(mark) ?? false;
}
