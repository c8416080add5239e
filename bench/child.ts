/** Processes that a benchmark starts: each in its own session, so that Ctrl-C reaches us alone and we end them. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import type { OsUser } from "../src/engine/index.ts";

export interface ChildPlan {
  readonly what: string;
  readonly program: string;
  readonly args: readonly string[];
  /** Where its output goes. */
  readonly logFile: string;
  readonly user?: OsUser | undefined;
  readonly env?: NodeJS.ProcessEnv;
  /** What asks it to end. */
  readonly stopSignal: NodeJS.Signals;
}

export class Child {
  readonly pid: number;
  private readonly process: ChildProcess;
  private readonly plan: ChildPlan;
  /** Resolves in the moment in which its end is told to us, its parent. */
  readonly ended: Promise<void>;

  constructor(plan: ChildPlan) {
    const log = openSync(plan.logFile, "a");
    const [program, args] = withParentDeath(plan.program, plan.args);
    this.process = spawn(program, args, {
      cwd: "/",
      detached: true,
      env: { ...plainEnvironment(), ...plan.env },
      stdio: ["ignore", log, log],
      ...(plan.user ? { uid: plan.user.uid, gid: plan.user.gid } : {}),
    });
    closeSync(log);
    this.plan = plan;
    this.ended = new Promise((resolve) => {
      this.process.once("exit", () => resolve());
      this.process.once("error", () => resolve());
    });
    this.pid = this.process.pid ?? 0;
  }

  get isAlive(): boolean {
    return this.pid > 0 && this.process.exitCode === null && this.process.signalCode === null;
  }

  /** Waits until `isReady`; raises with the end of its log if it ends before, or the time is up. */
  async untilReady(isReady: () => Promise<boolean>, timeoutMs: number, signal: AbortSignal) {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      signal.throwIfAborted();
      this.requireAlive();
      if (await isReady()) return;
      if (Date.now() > deadline) throw this.failure(`is not ready after ${timeoutMs / 1000} s`);
      await pause(50);
    }
  }

  /** Raises with the end of its log if it has ended. */
  requireAlive(): void {
    if (!this.isAlive) throw this.failure("has ended");
  }

  /** kill -9, now; `ended` tells when it is gone. */
  kill(): void {
    this.process.kill("SIGKILL");
  }

  /** Asks it to end, and makes it end if it takes too long. */
  async stop(timeoutMs = 30_000): Promise<void> {
    if (!this.isAlive) return;
    this.process.kill(this.plan.stopSignal);
    const isEnded = this.ended.then(() => true);
    const timer = new AbortController();
    const isLate = pause(timeoutMs, false, { signal: timer.signal }).catch(() => false);
    if (!(await Promise.race([isEnded, isLate]))) {
      this.process.kill("SIGKILL");
      await this.ended;
    }
    timer.abort();
  }

  private failure(why: string): Error {
    const { what, logFile } = this.plan;
    const log = existsSync(logFile) ? readFileSync(logFile, "utf8") : "";
    const end = log.trim().split("\n").slice(-8).join("\n  ");
    return new Error(`${what} ${why}; the end of its log:\n  ${end}`);
  }
}

/** Runs a command to its end and returns what it printed. Raises with its output if it fails. */
export async function runToEnd(options: {
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly user?: OsUser | undefined;
  readonly signal: AbortSignal;
}): Promise<string> {
  const { program, args, user, signal } = options;
  signal.throwIfAborted();
  const child = spawn(program, args, {
    cwd: "/",
    detached: true,
    env: { ...plainEnvironment(), ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
    ...(user ? { uid: user.uid, gid: user.gid } : {}),
  });
  const kill = (): void => void child.kill("SIGKILL");
  signal.addEventListener("abort", kill, { once: true });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  }).finally(() => signal.removeEventListener("abort", kill));
  signal.throwIfAborted();
  if (code !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${code}:\n${output}`);
  return output;
}

/** So that nothing outlives a benchmark that was killed: the kernel ends the child with its parent. */
function withParentDeath(program: string, args: readonly string[]): [string, readonly string[]] {
  const setpriv = "/usr/bin/setpriv";
  if (!existsSync(setpriv)) return [program, args];
  return [setpriv, ["--pdeathsig", "TERM", "--", program, ...args]];
}

function plainEnvironment(): NodeJS.ProcessEnv {
  // Where sockets lie follows from TMPDIR, and we ask a cluster over them, too.
  const { PATH, TMPDIR } = process.env;
  return { PATH, TMPDIR, HOME: "/", LC_ALL: "C", TZ: "UTC" };
}
