import { spawn } from "node:child_process";
import { expect, test } from "vitest";
import { CpuWatch } from "./cpu-watch-shell.ts";

const isLinux = process.platform === "linux";

test.runIf(isLinux)(
  "counts what a process and its children take, also those that have ended",
  async () => {
    const watch = new CpuWatch();
    // A parent that waits for its children, as a postmaster does: two that work a little, one after the other.
    const work = "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done";
    const parent = spawn("/bin/sh", ["-c", `(${work}); (${work}); read -r line`], {
      stdio: ["pipe", "ignore", "ignore"],
    });
    try {
      expect(watch.look(parent.pid, 0)).toBe(0);
      let percent = 0;
      for (let atMs = 100; percent === 0 && atMs < 60_000; atMs += 100) {
        await new Promise((resolve) => setTimeout(resolve, 100));
        percent = watch.look(parent.pid, atMs);
      }
      expect(percent).toBeGreaterThan(0);
      // Another one, of which there is one look yet.
      expect(watch.look(process.pid, 80_000)).toBe(percent);
    } finally {
      parent.stdin.end();
      await new Promise((resolve) => parent.once("exit", resolve));
    }
    expect(watch.look(undefined, 91_000)).toBe(0);
    // Nobody knows: it has ended, or this is no Linux.
    expect(watch.look(parent.pid, 92_000)).toBe(0);
  },
);
