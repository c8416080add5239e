import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { BorealisError, sqlState } from "../base/errors.ts";
import type { Logger } from "../io/index.ts";
import { ChildLine } from "./child-line.ts";
import { childEnvironment } from "./environment.ts";

/** Restart delays: at once after a long life, then slower and slower while it keeps dying. */
const firstDelayMs = 50;
const maxDelayMs = 5_000;
/** A process that lived this long is not in a crash loop. */
const healthyAfterMs = 10_000;

export interface ProcessPlan {
  readonly name: string;
  /** Entry file beside this one, without its extension. */
  readonly entry: string;
  /** Sent as one line of JSON on stdin; asked for again at each start. */
  readonly config: () => unknown;
  readonly stderrFile: string;
  /** Called after each start: the pid has changed. */
  readonly onStarted: () => void;
  /** Asked before each start; while it is false, nothing is started, and it is asked again in a while. */
  readonly mayStart?: () => Promise<boolean>;
}

/** Between two questions whether a child may start. */
const askAgainMs = 500;

/** What the supervisor may ask of a child, and what it does with it. */
export type ProcessState = "running" | "restarting" | "stopped";

/**
 * One child of the supervisor: started, restarted with bounded back-off when it dies, stopped when asked. It runs in
 * a session of its own, so that Ctrl-C in the terminal reaches the supervisor alone.
 */
export class ManagedProcess {
  readonly name: string;
  private readonly plan: ProcessPlan;
  private readonly logger: Logger;
  private child: ChildProcess | undefined;
  private line: ChildLine | undefined;
  private isWanted = false;
  private asking: Promise<void> | undefined;
  private delayMs = 0;
  private restartTimer: NodeJS.Timeout | undefined;
  restarts = 0;

  constructor(plan: ProcessPlan, logger: Logger) {
    this.name = plan.name;
    this.plan = plan;
    this.logger = logger;
  }

  get pid(): number | undefined {
    return this.child?.pid;
  }

  get state(): ProcessState {
    if (this.child) return "running";
    return this.isWanted ? "restarting" : "stopped";
  }

  start(): void {
    this.isWanted = true;
    clearTimeout(this.restartTimer);
    if (this.child || this.asking) return;
    const { mayStart } = this.plan;
    if (!mayStart) return this.spawn();
    this.asking = mayStart()
      .then((may) => {
        if (!this.isWanted) return;
        if (may) this.spawn();
        else this.restartTimer = setTimeout(() => this.start(), askAgainMs);
      })
      .finally(() => {
        this.asking = undefined;
      });
  }

  private spawn(): void {
    const startedMs = performance.now();
    const entry = fileURLToPath(new URL(`./${this.plan.entry}.js`, import.meta.url));
    const stderr = openSync(this.plan.stderrFile, "a", 0o600);
    const child = spawn(process.execPath, [entry, this.name], {
      env: childEnvironment(),
      stdio: ["pipe", "pipe", stderr],
      detached: true,
    });
    closeSync(stderr);
    this.child = child;
    // A child that died before it read its configuration breaks the pipe; its exit tells the story.
    child.stdin?.on("error", () => undefined);
    child.stdin?.write(`${JSON.stringify(this.plan.config())}\n`);
    this.line = new ChildLine(child);
    child.once("error", (error) =>
      this.logger.error({ event: "process.unstartable", name: this.name }, error.message),
    );
    child.once("exit", (code, signal) => {
      this.child = undefined;
      this.line?.close();
      this.line = undefined;
      this.onExit(code, signal, performance.now() - startedMs);
    });
    this.logger.info({ event: "process.started", name: this.name, pid: child.pid });
    this.plan.onStarted();
  }

  /** Asks the running child. Raises 08006 if there is none, or it does not answer in time. */
  ask(method: string, params: unknown, timeoutMs: number): Promise<unknown> {
    if (this.line) return this.line.ask(method, params, timeoutMs);
    const why = `${this.name} is not running`;
    return Promise.reject(new BorealisError(sqlState.connectionFailure, why));
  }

  /** SIGTERM, then SIGKILL after `timeoutMs`; resolves when it is gone. It is not started again. */
  async stop(timeoutMs: number): Promise<void> {
    this.isWanted = false;
    clearTimeout(this.restartTimer);
    await this.asking;
    const { child } = this;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGTERM");
    const timer = setTimeout(() => {
      this.logger.warn({ event: "process.killed", name: this.name, afterMs: timeoutMs });
      child.kill("SIGKILL");
    }, timeoutMs);
    await gone;
    clearTimeout(timer);
  }

  /** Kills the child if that is still `pid`: it hangs. It is started again, as one that dies by itself. */
  kill(pid: number): void {
    const { child } = this;
    if (child?.pid !== pid) return;
    // First: what is written may wait for a disk.
    child.kill("SIGKILL");
    this.logger.warn({ event: "process.hung", name: this.name, pid });
  }

  private onExit(code: number | null, signal: NodeJS.Signals | null, livedMs: number): void {
    const facts = { name: this.name, code, signal, livedMs: Math.round(livedMs) };
    if (!this.isWanted) {
      this.logger.info({ event: "process.stopped", ...facts });
      return;
    }
    const isHealthy = livedMs > healthyAfterMs;
    this.delayMs = isHealthy
      ? firstDelayMs
      : Math.min(Math.max(this.delayMs * 2, firstDelayMs), maxDelayMs);
    this.restarts++;
    this.logger.warn({ event: "process.died", ...facts, restartInMs: this.delayMs });
    this.restartTimer = setTimeout(() => this.start(), this.delayMs);
  }
}
