/** The files in a data directory that are Borealis's: configuration, the signal of a standby, timeline histories. */
import { chmod, readdir, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Timeline } from "../base/ids.ts";
import { autoConfFile } from "./auto-conf.ts";
import type { OsUser } from "./os-user-shell.ts";
import { makeOwnedDir, writeOwned } from "./owned-files-shell.ts";
import { configurationFile, hbaFile, type Role, type SettingContext } from "./settings.ts";

export const autoConfName = "postgresql.auto.conf";

export interface DataDirOptions {
  readonly dataDir: string;
  readonly role: Role;
  readonly major: number;
  readonly context: SettingContext;
  readonly osUser: OsUser | undefined;
  readonly overrides?: ReadonlyMap<string, string>;
  /** What users have set for the cluster and for this instance. */
  readonly parameters?: ReadonlyMap<string, string>;
}

/** Writes all configuration anew: what a base backup or a user left there must not count. */
export async function prepareDataDir(options: DataDirOptions): Promise<void> {
  const { dataDir, osUser } = options;
  const write = (name: string, content: string): Promise<void> =>
    writeOwned(join(dataDir, name), content, osUser);
  await chmod(dataDir, 0o700);
  await writeConfiguration(options);
  await writeParameters(options);
  await write("pg_hba.conf", hbaFile());
  await write("pg_ident.conf", "# Borealis maps no users.\n");
  for (const name of ["recovery.signal", "promote"]) await rm(join(dataDir, name), { force: true });
  if (options.role === "reader") await write("standby.signal", "");
  else await rm(join(dataDir, "standby.signal"), { force: true });
}

/** Writes postgresql.conf alone: for a new role without a restart. */
export async function writeConfiguration(options: DataDirOptions): Promise<void> {
  await writeOwned(
    join(options.dataDir, "postgresql.conf"),
    configurationFile(options),
    options.osUser,
  );
}

/** Writes postgresql.auto.conf alone. */
export async function writeParameters(
  options: Pick<DataDirOptions, "dataDir" | "osUser" | "parameters">,
): Promise<void> {
  const content = autoConfFile(options.parameters ?? new Map<string, string>());
  await writeOwned(join(options.dataDir, autoConfName), content, options.osUser);
}

export interface HistoryFile {
  readonly timeline: Timeline;
  readonly content: string;
}

/** The name of a timeline's history file. */
export function historyFileName(timeline: Timeline): string {
  return `${timeline.toString(16).toUpperCase().padStart(8, "0")}.history`;
}

/**
 * Makes `files` the only timeline histories in pg_wal. Recovery reads every one that it finds: that of a dead branch
 * sends a standby to a wrong timeline, or makes it write a false history (D38).
 */
export async function installHistoryFiles(
  dataDir: string,
  files: readonly HistoryFile[],
  osUser: OsUser | undefined,
): Promise<void> {
  const walDir = join(dataDir, "pg_wal");
  const wanted = new Map(files.map((file) => [historyFileName(file.timeline), file.content]));
  for (const name of await readdir(walDir)) {
    if (/^[0-9A-F]{8}\.history$/.test(name) && !wanted.has(name)) await rm(join(walDir, name));
  }
  for (const [name, content] of wanted) await writeOwned(join(walDir, name), content, osUser);
}

/**
 * Makes the directories of an instance's sockets: PostgreSQL's own and, inside it, that of the log feed. The parent
 * is Borealis's runtime directory; it is opened for passage (o+x) if PostgreSQL runs as another user.
 */
export async function prepareSocketDirs(
  context: Pick<SettingContext, "socketDir" | "feedDir">,
  osUser: OsUser | undefined,
): Promise<void> {
  await makeOwnedDir(context.socketDir, osUser);
  await makeOwnedDir(context.feedDir, osUser);
  if (!osUser) return;
  const runtimeDir = dirname(context.socketDir);
  const { mode, uid } = await stat(runtimeDir);
  if (uid === process.getuid?.()) await chmod(runtimeDir, (mode & 0o7777) | 0o001);
}
