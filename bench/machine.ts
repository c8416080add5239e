/** What the figures depend on: cores, memory, and how long this disk takes to sync. */
import { closeSync, fdatasyncSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { createServer } from "node:net";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import { median } from "./stats.ts";

/** One line that describes the machine and the disk under `dir`. */
export function describeMachine(dir: string): string {
  const model = cpus()[0]?.model.trim() || "CPU";
  const memoryGib = (totalmem() / 2 ** 30).toFixed(1);
  const sync = `fdatasync of 4 kB p50 ${(syncMs(dir) * 1000).toFixed(0)} µs (${fileSystemOf(dir)})`;
  return `${cpus().length} x ${model}, ${memoryGib} GiB, Linux ${release()}, ${sync}, Node ${process.version}`;
}

function syncMs(dir: string): number {
  const file = join(dir, "sync-probe");
  const fd = openSync(file, "w");
  const block = Buffer.alloc(4096, 1);
  const times: number[] = [];
  for (let i = 0; i < 200; i++) {
    const startedMs = performance.now();
    writeSync(fd, block, 0, block.length, i * block.length);
    fdatasyncSync(fd);
    times.push(performance.now() - startedMs);
  }
  closeSync(fd);
  rmSync(file);
  return median(times);
}

function fileSystemOf(dir: string): string {
  const mounts = readFileSync("/proc/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" "))
    .filter(([, path = "/nowhere"]) => path === "/" || `${dir}/`.startsWith(`${path}/`))
    .toSorted((a, b) => (b[1] ?? "").length - (a[1] ?? "").length);
  return mounts[0]?.[2] ?? "unknown file system";
}

/** What was handed out stays its owner's while that one is stopped. */
const handedOut = new Set<number>();

/** A port on loopback that nobody listens on or was given, and nobody at `offsets` above it either. */
export async function freePort(offsets: readonly number[] = [0]): Promise<number> {
  for (let tries = 0; tries < 200; tries++) {
    // Below the range that the kernel hands out to outgoing connections.
    const port = 20_000 + Math.floor(Math.random() * 8_000);
    const ports = offsets.map((offset) => port + offset);
    if (ports.some((one) => handedOut.has(one))) continue;
    const isFree = await Promise.all(ports.map(mayListen));
    if (!isFree.every(Boolean)) continue;
    for (const one of ports) handedOut.add(one);
    return port;
  }
  throw new Error("no free port found between 20000 and 28000");
}

function mayListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
