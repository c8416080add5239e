import { spawn } from "node:child_process";
import type { OsUser } from "./os-user-shell.ts";

export interface CommandOptions {
  /** Run as this user; as ourselves if undefined. */
  readonly user?: OsUser | undefined;
  readonly timeoutMs?: number;
}

export type CommandResult =
  | {
      readonly kind: "ended";
      readonly code: number | null;
      readonly stdout: string;
      readonly stderr: string;
    }
  | { readonly kind: "notStarted"; readonly cause: NodeJS.ErrnoException };

/**
 * The environment of everything that we start: no PGDATA, PGOPTIONS or LD_PRELOAD of the caller's shell reaches the
 * engine, and messages are in English.
 */
export function plainEnvironment(): NodeJS.ProcessEnv {
  const path = process.env["PATH"] ?? "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";
  return { PATH: path, LC_ALL: "C", TZ: "UTC", HOME: "/", ...libraryPath() };
}

/** Users of NixOS and the like find shared libraries through it; an own build of PostgreSQL may need it too. */
function libraryPath(): NodeJS.ProcessEnv {
  const path = process.env["LD_LIBRARY_PATH"];
  return path === undefined ? {} : { LD_LIBRARY_PATH: path };
}

/** Runs a short command to its end and returns what it printed (the first 64 kB). Never raises. */
export function runCommand(
  program: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      cwd: "/",
      env: plainEnvironment(),
      stdio: ["ignore", "pipe", "pipe"],
      timeout: options.timeoutMs ?? 60_000,
      killSignal: "SIGKILL",
      ...(options.user ? { uid: options.user.uid, gid: options.user.gid } : {}),
    });
    const texts = { stdout: "", stderr: "" };
    for (const stream of ["stdout", "stderr"] as const) {
      child[stream].setEncoding("utf8").on("data", (text: string) => {
        if (texts[stream].length < 65_536) texts[stream] += text;
      });
    }
    child.once("error", (cause) => resolve({ kind: "notStarted", cause }));
    child.once("close", (code) => resolve({ kind: "ended", code, ...texts }));
  });
}

/** True if the command ran and ended with 0. */
export function isSuccess(result: CommandResult): boolean {
  return result.kind === "ended" && result.code === 0;
}

/** The one line that says best why a command failed. */
export function failureOf(result: CommandResult): string {
  if (result.kind === "notStarted") return result.cause.message;
  const lines = `${result.stderr}\n${result.stdout}`.split("\n").map((line) => line.trim());
  const telling =
    lines.find((line) => /error|fatal|panic|cannot|denied/i.test(line)) ??
    lines.find((line) => line !== "");
  return telling ?? `exit code ${result.code}`;
}
