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
      expect(watch.look(parent.pid, 0)).toBeUndefined();
      let percent = 0;
      for (let atMs = 100; percent === 0 && atMs < 60_000; atMs += 100) {
        await new Promise((resolve) => setTimeout(resolve, 100));
        percent = watch.look(parent.pid, atMs) ?? 0;
      }
      expect(percent).toBeGreaterThan(0);
    } finally {
      parent.stdin.end();
      await new Promise((resolve) => parent.once("exit", resolve));
    }
    expect(watch.look(parent.pid, 90_000)).toBeUndefined();
    expect(watch.look(undefined, 91_000)).toBeUndefined();
  },
);
