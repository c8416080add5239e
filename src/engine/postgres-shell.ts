/**
 * One PostgreSQL as a child process: started in a role, watched, stopped. It dies with us, however we die (a signal
 * from the kernel where there is one, and a watchdog on a pipe), and nothing of it is left running when `onExit` is
 * told: a backend of a dead postmaster would go on writing.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, constants, openSync } from "node:fs";
import { mkdir, readFile, realpath, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { assert } from "../base/assert.ts";
import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { type Logger, realClock, sleep } from "../io/index.ts";
import type { PgAddress } from "../wire/index.ts";
import { plainEnvironment } from "./command-shell.ts";
import {
  type DataDirOptions,
  prepareDataDir,
  prepareSocketDirs,
  writeConfiguration,
  writeParameters,
} from "./data-dir-shell.ts";
import { trustedExtensions } from "./extensions-shell.ts";
import type { Engine } from "./find-engine-shell.ts";
import { lastLines, rotateLog } from "./log-file-shell.ts";
import type { OsUser } from "./os-user-shell.ts";
import { writeOwned } from "./owned-files-shell.ts";
import { Patience } from "./patience.ts";
import { killProcesses, sendSignal } from "./processes-shell.ts";
import { replaySign } from "./replay-sign-shell.ts";
import {
  auroraSettings,
  commandLineSettings,
  type Role,
  type SettingContext,
  socketPort,
} from "./settings.ts";
import { Watchdog } from "./watchdog-shell.ts";

export interface PostgresOptions {
  readonly engine: Engine;
  /** Name of the instance: seen in ps, and by the feed as the reader's name. */
  readonly instance: string;
  readonly dataDir: string;
  readonly socketDir: string;
  /** The directory of the socket at which the agent serves the log. */
  readonly feedDir: string;
  /** PostgreSQL appends to it; kept below 16 MiB. */
  readonly logFile: string;
  readonly osUser: OsUser | undefined;
  /** Settings that the user chose; those that must hold are left out. */
  readonly overrides?: ReadonlyMap<string, string>;
  /** What users have set for the cluster and for this instance; asked at each start. */
  readonly parameters?: () => ReadonlyMap<string, string>;
  /**
   * It recovers from the log in its pg_wal to the end of that, alone, and is then no part of any cluster: these settings
   * outrank those that must hold.
   */
  readonly recovery?: ReadonlyMap<string, string>;
  /** Whether it is started with Aurora's settings. */
  readonly hasAuroraSettings?: boolean;
  readonly forcesTls?: boolean;
  readonly logger: Logger;
}

export interface PostgresExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Whether stop() asked for it. */
  readonly isExpected: boolean;
  /** What it wrote last. */
  readonly logLines: readonly string[];
}

/** PostgreSQL has ended by itself before it was ready: 57P03. Its detail is what it wrote last. */
export class EndedAtStart extends BorealisError {
  override readonly name = "EndedAtStart";
}

/** Of signals only those that its own bugs raise. */
function isByItself({ isExpected, code, signal }: PostgresExit): boolean {
  return !isExpected && code !== 0 && (signal === null || ownSignals.has(signal));
}

const ownSignals: ReadonlySet<NodeJS.Signals> = new Set(["SIGABRT", "SIGBUS", "SIGSEGV", "SIGILL"]);

export type StopMode = "fast" | "immediate";

export interface StopResult {
  /** True after a shutdown checkpoint: the cache is consistent as it is. */
  readonly isClean: boolean;
}

/** Between two looks how far one is that starts. */
const signEveryMs = 200;

interface Running {
  readonly kind: "running";
  readonly child: ChildProcess;
  readonly pid: number;
  /** Settles, never rejects, when the postmaster and all that was its are gone. */
  readonly gone: Promise<PostgresExit>;
}
type Situation = { readonly kind: "down" } | Running;

export class Postgres {
  private readonly options: PostgresOptions;
  private readonly exitListeners: ((exit: PostgresExit) => void)[] = [];
  private readonly dyingListeners: (() => void)[] = [];
  private situation: Situation = { kind: "down" };
  private extensions: readonly string[] | null = null;
  /** The process whose end stop() or killAll() asked for. */
  private stoppingPid: number | undefined;

  constructor(options: PostgresOptions) {
    this.options = options;
  }

  /** The postmaster's, while it runs. */
  get pid(): number | undefined {
    return this.situation.kind === "running" ? this.situation.pid : undefined;
  }

  /** Where to connect to it. */
  get address(): PgAddress {
    const { socketDir, engine } = this.options;
    return { socketDir, port: socketPort, major: engine.major };
  }

  /** Of the process that was started last: what SHOW says of Aurora's settings. */
  get auroraSettings(): ReadonlyMap<string, string> {
    return auroraSettings(this.context);
  }

  /** Calls `listener` at each end of the process, after the last of its children is gone. */
  onExit(listener: (exit: PostgresExit) => void): void {
    this.exitListeners.push(listener);
  }

  /** Calls `listener` as soon as the postmaster has ended unasked; what it left is being ended. onExit follows. */
  onDying(listener: () => void): void {
    this.dyingListeners.push(listener);
  }

  /**
   * Clears what an earlier life left behind, writes the configuration of `role` and starts the process. It does not
   * accept connections yet: see untilReady. Raises BorealisError 58030.
   */
  async start(role: Role): Promise<void> {
    assert(this.situation.kind === "down", "an instance runs one PostgreSQL at a time");
    const { dataDir, logFile, osUser } = this.options;
    await this.clearOrphans();
    if (this.options.hasAuroraSettings)
      this.extensions = await trustedExtensions(this.options.engine);
    await prepareSocketDirs(this.context, osUser);
    await prepareDataDir(this.dataDirOptions(role));
    if (this.options.recovery) await writeOwned(join(dataDir, "recovery.signal"), "", osUser);
    await mkdir(dirname(logFile), { recursive: true, mode: 0o700 });
    await rotateLog(logFile);
    const startBytes = await stat(logFile).then(
      (found) => found.size,
      () => 0,
    );
    const home = await realpath(dataDir);
    const child = this.spawnPostmaster(home);
    const { pid } = child;
    if (pid === undefined) {
      const cause = await new Promise<Error>((resolve) => child.once("error", resolve));
      throw new BorealisError(sqlState.ioError, `PostgreSQL cannot be started: ${cause.message}`, {
        cause,
      });
    }
    this.situation = {
      kind: "running",
      child,
      pid,
      gone: this.watch(child, pid, { home, startBytes }),
    };
  }

  /**
   * Returns when PostgreSQL accepts connections. Raises BorealisError 57P03 when it ended before that, with its own
   * reason (EndedAtStart, if nobody ended it), or when `timeoutMs` has passed in which it has replayed no segment of log, or
   * `signal` aborts; the process is left as it is then. Replay has all the time that it needs: one that is cut short begins where it began before.
   */
  async untilReady(wait: {
    readonly timeoutMs: number;
    readonly signal?: AbortSignal;
  }): Promise<void> {
    const { situation } = this;
    assert(situation.kind === "running", "only a PostgreSQL that was started becomes ready");
    const patience = new Patience(wait.timeoutMs, realClock.nowMs());
    let lookAtMs = 0;
    let isOver = false;
    let exit: PostgresExit | undefined;
    void situation.gone.then((end) => (exit = end));
    // PostgreSQL writes its status to line 8 of postmaster.pid (pidfile.h): "ready" on a hot standby, too.
    while (!(await this.saysReady(situation.pid))) {
      if (exit) {
        const Failure = isByItself(exit) ? EndedAtStart : BorealisError;
        throw this.startFailure("PostgreSQL ended while it started", exit.logLines, Failure);
      }
      const nowMs = realClock.nowMs();
      if (nowMs >= lookAtMs) {
        isOver = patience.isOver(nowMs, replaySign(situation.pid));
        lookAtMs = nowMs + signEveryMs;
      }
      if (wait.signal?.aborted || isOver) {
        const lines = await lastLines(this.options.logFile, { startBytes: 0, linesMax: 5 });
        const why = wait.signal?.aborted
          ? "is no longer waited for"
          : `is not ready after ${wait.timeoutMs} ms`;
        throw this.startFailure(`PostgreSQL ${why}`, lines);
      }
      await sleep(realClock, 5);
    }
  }

  /**
   * Stops it: "fast" ends sessions and writes a shutdown checkpoint, which waits until the log driver has confirmed
   * it; "immediate" just quits. Past `timeoutMs` it is made to quit, and then killed. Nothing runs when this returns.
   */
  async stop(mode: StopMode, timeoutMs: number): Promise<StopResult> {
    const { situation } = this;
    if (situation.kind === "down") return { isClean: false };
    const { pid, gone } = situation;
    this.stoppingPid = pid;
    const isGoneWithin = async (limitMs: number): Promise<boolean> => {
      const limit = new AbortController();
      const end = gone.then(() => limit.abort());
      await Promise.race([end, sleep(realClock, limitMs, limit.signal)]);
      return limit.signal.aborted;
    };
    sendSignal(pid, mode === "fast" ? "SIGINT" : "SIGQUIT");
    const isInTime = await isGoneWithin(timeoutMs);
    if (!isInTime && mode === "fast") {
      sendSignal(pid, "SIGQUIT");
      await isGoneWithin(3_000);
    }
    if (this.pid === pid) await this.killAll();
    const { code } = await gone;
    return { isClean: mode === "fast" && isInTime && code === 0 };
  }

  /** Kills the postmaster as a bug of its own would: nobody has asked for its end, and what follows is as after one. */
  crash(): void {
    if (this.situation.kind === "running") sendSignal(this.situation.pid, "SIGKILL");
  }

  /** Kills every process of this data directory, as a loss of power would. */
  async killAll(): Promise<void> {
    const { situation } = this;
    if (situation.kind === "running") {
      this.stoppingPid = situation.pid;
      sendSignal(situation.pid, "SIGKILL");
    }
    await killProcesses(this.options.dataDir, this.options.osUser);
    if (situation.kind === "running") await situation.gone;
  }

  /** Promotes a standby as pg_ctl does: for when no connection to it can be had. */
  async promoteBySignal(): Promise<void> {
    const { situation } = this;
    assert(situation.kind === "running", "only a running PostgreSQL can be promoted");
    await writeOwned(join(this.options.dataDir, "promote"), "", this.options.osUser);
    sendSignal(situation.pid, "SIGUSR1");
  }

  /** Takes up the defaults of another role without a restart: after a promotion. */
  async adoptRole(role: Role): Promise<void> {
    const { situation } = this;
    assert(situation.kind === "running", "only a running PostgreSQL takes up a role");
    await writeConfiguration(this.dataDirOptions(role));
    sendSignal(situation.pid, "SIGHUP");
  }

  /** Writes what users have set, and has it read: for when ALTER SYSTEM cannot. */
  async rewriteParameters(): Promise<void> {
    await writeParameters(this.dataDirOptions("reader"));
    if (this.situation.kind === "running") sendSignal(this.situation.pid, "SIGHUP");
  }

  /**
   * Kills what an earlier agent left running in this data directory and removes the lock files, whose pids may be
   * another process's by now. Returns how many processes there were. Only processes of this directory are touched.
   */
  async clearOrphans(): Promise<number> {
    assert(this.situation.kind === "down", "orphans are looked for before a start");
    const { dataDir, socketDir, osUser } = this.options;
    const count = await killProcesses(dataDir, osUser);
    const socket = join(socketDir, `.s.PGSQL.${socketPort}`);
    for (const path of [join(dataDir, "postmaster.pid"), socket, `${socket}.lock`])
      await rm(path, { force: true });
    if (count > 0)
      this.options.logger.warn({
        event: "postgres.orphansKilled",
        instance: this.options.instance,
        count,
      });
    return count;
  }

  private get context(): SettingContext {
    const { instance, socketDir, feedDir, forcesTls = false } = this.options;
    return { instance, socketDir, feedDir, extensions: this.extensions, forcesTls };
  }

  private dataDirOptions(role: Role): DataDirOptions {
    const { dataDir, engine, osUser, overrides, parameters } = this.options;
    return {
      dataDir,
      role,
      major: engine.major,
      context: this.context,
      osUser,
      ...(overrides ? { overrides } : {}),
      ...(parameters ? { parameters: parameters() } : {}),
    };
  }

  private spawnPostmaster(home: string): ChildProcess {
    const { engine, logFile, osUser, recovery } = this.options;
    const args = ["-D", home, ...commandLineSettings(engine.major, this.context)];
    // Of two on the command line the later one counts.
    for (const [name, value] of recovery ?? []) args.push("-c", `${name}=${value}`);
    const [program = "", ...rest] = [...engine.launcher, join(engine.binDir, "postgres"), ...args];
    // A file, not a pipe: a pipe would fill, and would keep us waiting for the last backend that holds it.
    const log = openSync(
      logFile,
      constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW,
      0o600,
    );
    try {
      return spawn(program, rest, {
        cwd: "/",
        env: plainEnvironment(),
        stdio: ["ignore", log, log],
        // Ctrl-C in a terminal reaches its process group; PostgreSQL stops when the agent says so.
        detached: true,
        ...(osUser ? { uid: osUser.uid, gid: osUser.gid } : {}),
      });
    } finally {
      closeSync(log);
    }
  }

  /** Sees to it that the process ends with us, and that nothing of it outlives it. */
  private watch(
    child: ChildProcess,
    pid: number,
    at: { home: string; startBytes: number },
  ): Promise<PostgresExit> {
    const { dataDir, logFile, logger, osUser, instance } = this.options;
    const watchdog = Watchdog.start(pid, at.home, osUser);
    const rotate = (): void => {
      rotateLog(logFile).catch((error: unknown) =>
        logger.warn({ event: "postgresLog.rotateFailed", instance, why: messageOf(error) }),
      );
    };
    const rotation = setInterval(rotate, 10_000).unref();
    const finish = async (
      code: number | null,
      signal: NodeJS.Signals | null,
    ): Promise<PostgresExit> => {
      watchdog.stop();
      clearInterval(rotation);
      if (this.stoppingPid !== pid) for (const listener of this.dyingListeners) listener();
      await killProcesses(dataDir, osUser).catch((error: unknown) => {
        logger.error({ event: "postgres.orphansRemain", instance, why: messageOf(error) });
      });
      const logLines = await lastLines(logFile, { startBytes: at.startBytes, linesMax: 10 });
      const exit = { code, signal, logLines, isExpected: this.stoppingPid === pid };
      this.situation = { kind: "down" };
      for (const listener of this.exitListeners) listener(exit);
      return exit;
    };
    return new Promise((resolve) => {
      child.once("exit", (code, signal) => resolve(finish(code, signal)));
    });
  }

  private async saysReady(pid: number): Promise<boolean> {
    const text = await readFile(join(this.options.dataDir, "postmaster.pid"), "utf8").catch(
      () => "",
    );
    const lines = text.split("\n");
    // One that recovers alone is a "standby" as soon as it begins: it is ready when that is over.
    const wanted = this.options.recovery ? ["ready"] : ["ready", "standby"];
    return lines[0] === String(pid) && wanted.includes(lines[7]?.trim() ?? "");
  }

  private startFailure(
    what: string,
    logLines: readonly string[],
    Failure = BorealisError,
  ): BorealisError {
    const telling =
      logLines.findLast((line) => /FATAL|PANIC/.test(line)) ??
      logLines.at(-1) ??
      "it wrote nothing";
    return new Failure(
      sqlState.cannotConnectNow,
      `${what}: ${telling.replace(/^.*?(?=FATAL|PANIC)/, "")}`,
      {
        detail: logLines.join("\n"),
        hint: `its log is ${this.options.logFile}`,
      },
    );
  }
}
