/**
 * Which processes belong to a data directory, and their end. PostgreSQL's processes have the data directory as their
 * working directory; after a kill -9 of the postmaster the busy ones go on, and go on writing.
 */
import { readlinkSync } from "node:fs";
import { readdir, readFile, readlink, realpath } from "node:fs/promises";
import { basename } from "node:path";
import { BorealisError, sqlState } from "../base/errors.ts";
import { realClock, sleep } from "../io/index.ts";
import { runCommand } from "./command-shell.ts";
import type { OsUser } from "./os-user-shell.ts";

/**
 * The live processes of PostgreSQL whose working directory is `dataDir`. If PostgreSQL has a user of its own, then
 * all processes of that user in there (children of COPY TO PROGRAM); otherwise only programs named postgres, because
 * the shell of somebody who looks around in there is none of ours.
 */
export async function findProcesses(
  dataDir: string,
  osUser: OsUser | undefined,
): Promise<number[]> {
  const dir = await realpath(dataDir).catch(() => dataDir);
  if (process.platform !== "linux") return findByLsof(dir);
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  const found: number[] = [];
  for (const pid of pids) {
    if (pid === process.pid) continue;
    const cwd = workingDirectory(pid);
    if (cwd !== dir && cwd !== `${dir} (deleted)`) continue;
    if (await isOurs(pid, osUser)) found.push(pid);
  }
  return found;
}

/** At once: there are hundreds, each takes a few microseconds, and a failover waits. */
function workingDirectory(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return ""; // it has just ended, or is somebody else's: then it is not the one
  }
}

async function isOurs(pid: number, osUser: OsUser | undefined): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  if (/^State:\s+[ZX]/m.test(status)) return false;
  const program = basename(await readlink(`/proc/${pid}/exe`).catch(() => "")).replace(
    / \(deleted\)$/,
    "",
  );
  if (program === "postgres") return true;
  const uid = /^Uid:\s+(\d+)/m.exec(status)?.[1];
  return osUser !== undefined && uid === String(osUser.uid);
}

/** Where there is no /proc (macOS): `lsof` prints a line `p<pid>` and `n<working directory>` for each process. */
async function findByLsof(dir: string): Promise<number[]> {
  const result = await runCommand("lsof", ["-w", "-a", "-c", "postgres", "-d", "cwd", "-Fpn"], {
    timeoutMs: 20_000,
  });
  if (result.kind !== "ended") {
    throw new BorealisError(
      sqlState.ioError,
      "cannot look for processes: there is neither /proc nor lsof",
      { hint: "install lsof" },
    );
  }
  const found: number[] = [];
  let pid = 0;
  for (const line of result.stdout.split("\n")) {
    if (line.startsWith("p")) pid = Number(line.slice(1));
    else if (line === `n${dir}` && pid !== process.pid) found.push(pid);
  }
  return found;
}

/**
 * Kills all that live in `dataDir` and returns when they are gone; how many there were. Raises BorealisError 58030
 * if one does not die (a process in an uninterruptible wait).
 */
export async function killProcesses(dataDir: string, osUser: OsUser | undefined): Promise<number> {
  const deadlineMs = realClock.nowMs() + 10_000;
  const seen = new Set<number>();
  for (;;) {
    const pids = await findProcesses(dataDir, osUser);
    if (pids.length === 0) return seen.size;
    for (const pid of pids) {
      seen.add(pid);
      sendSignal(pid, "SIGKILL");
    }
    if (realClock.nowMs() > deadlineMs) {
      throw new BorealisError(
        sqlState.ioError,
        `process ${pids.join(", ")} of ${dataDir} does not end`,
        {
          hint: "it probably waits for a disk that does not answer",
        },
      );
    }
    // They end within a millisecond or two, and a failover waits for it.
    await sleep(realClock, 2);
  }
}

/** Sends a signal to a process that may have ended already; whether it was there. */
export function sendSignal(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ESRCH") return false;
    throw error;
  }
}
