import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";

/**
 * Identifies this start of the operating system's kernel: drawn anew at each, the same in every container on it, and
 * untouched by whoever sets the clock (which moves macOS's kern.boottime and Linux's btime). Undefined where the system
 * does not tell: then nobody can know that it has not restarted.
 */
export function findBootId(): string | undefined {
  if (process.platform === "linux") {
    try {
      return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim() || undefined;
    } catch {
      return undefined; // a sandbox without that part of /proc
    }
  }
  const shown = spawnSync("sysctl", ["-n", "kern.bootsessionuuid"], { encoding: "utf8" });
  return shown.status === 0 ? shown.stdout.trim() || undefined : undefined;
}
