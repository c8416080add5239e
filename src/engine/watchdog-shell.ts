import { spawn } from "node:child_process";
import { Socket } from "node:net";
import { plainEnvironment } from "./command-shell.ts";
import type { OsUser } from "./os-user-shell.ts";

/**
 * Waits on a pipe that only we hold: however we die, it reads the end of it, and tells PostgreSQL to quit at once.
 * What has not gone after two seconds is killed, the backends of a killed postmaster included; not what has begun since,
 * which is the next agent's: field 22 of /proc/PID/stat counts hundredths of a second from where /proc/uptime does (proc(5)).
 */
const script = `
  read -r line
  [ "$line" = stand-down ] && exit 0
  kill -QUIT "$0" 2>/dev/null
  read -r now rest </proc/uptime
  now="\${now%.*}\${now#*.}"
  for turn in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$0" 2>/dev/null || break; sleep 0.2; done
  kill -KILL "$0" 2>/dev/null
  for process in /proc/[0-9]*; do
    # Without a fork for each process of the host: on a busy one that took more than ten seconds.
    read -r name 2>/dev/null <"$process/comm" && [ "$name" = postgres ] || continue
    read -r f1 f2 f3 f4 f5 f6 f7 f8 f9 f10 f11 f12 f13 f14 f15 f16 f17 f18 f19 f20 f21 began rest 2>/dev/null <"$process/stat"
    [ "$began" -le "$now" ] 2>/dev/null || continue
    [ "$(readlink "$process/cwd" 2>/dev/null)" = "$1" ] && kill -KILL "\${process#/proc/}" 2>/dev/null
  done`;

/** Ends a PostgreSQL whose agent has died. */
export class Watchdog {
  private readonly standDown: () => void;

  private constructor(standDown: () => void) {
    this.standDown = standDown;
  }

  /** Guards process `pid`, PostgreSQL in `dataDir` (a real path). */
  static start(pid: number, dataDir: string, osUser: OsUser | undefined): Watchdog {
    const child = spawn("/bin/sh", ["-c", script, String(pid), dataDir], {
      cwd: "/",
      env: plainEnvironment(),
      stdio: ["pipe", "ignore", "ignore"],
      // Ctrl-C in our terminal reaches our process group; this one must outlive us.
      detached: true,
      ...(osUser ? { uid: osUser.uid, gid: osUser.gid } : {}),
    });
    child.unref();
    const { stdin } = child;
    // Without a watchdog the launcher's signal and the check at the next start remain; nothing to do here.
    child.on("error", () => {});
    stdin.on("error", () => {});
    if (stdin instanceof Socket) stdin.unref();
    return new Watchdog(() => stdin.end("stand-down\n"));
  }

  /** PostgreSQL is gone: its number may soon be another process's. */
  stop(): void {
    this.standDown();
  }
}
