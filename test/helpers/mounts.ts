/** Small file systems in memory, for tests that fill them. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export function mountMemory(folder: string, sizeBytes: number): void {
  const options = `size=${sizeBytes},mode=0700`;
  execFileSync("mount", ["-t", "tmpfs", "-o", options, "none", folder], { stdio: "ignore" });
}

/** Somebody makes room. */
export function resizeMemory(folder: string, sizeBytes: number): void {
  const options = `remount,size=${sizeBytes}`;
  execFileSync("mount", ["-o", options, folder], { stdio: "ignore" });
}

export function unmount(folder: string): void {
  execFileSync("umount", [folder], { stdio: "ignore" });
}

/** Whether this machine lets us mount. */
export function mayMount(): boolean {
  const folder = mkdtempSync(join(tmpdir(), "borealis-mount-"));
  try {
    mountMemory(folder, 1024 ** 2);
    unmount(folder);
    return true;
  } catch {
    return false;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
