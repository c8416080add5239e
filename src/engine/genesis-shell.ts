/**
 * The birth of a volume (D1): initdb runs once; a cold copy of what it made is the genesis image. Readers are seeded
 * from it, and the volume's log begins at the segment that holds its checkpoint.
 */
import { lchown, mkdir, mkdtemp, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { BorealisError, sqlState } from "../base/errors.ts";
import type { Timeline } from "../base/ids.ts";
import type { Lsn } from "../base/lsn.ts";
import { type CommandResult, failureOf, isSuccess, runCommand } from "./command-shell.ts";
import { baseLsn, type ControlFile, parseControlFile } from "./control-file.ts";
import type { Engine } from "./find-engine-shell.ts";
import { canReach, type OsUser, relocationRoot } from "./os-user-shell.ts";
import { copyTree, syncPath } from "./owned-files-shell.ts";
import { bootstrapUser } from "./settings.ts";

export interface Genesis {
  readonly systemIdentifier: bigint;
  /** initdb's checkpoint; where redo begins. */
  readonly redoLsn: Lsn;
  readonly timeline: Timeline;
  /** Where the volume's log begins: start of the WAL segment that holds the checkpoint. */
  readonly baseLsn: Lsn;
}

export interface GenesisOptions {
  readonly engine: Engine;
  readonly osUser: OsUser | undefined;
  /** Where the image goes; it is made whole or not at all, and synced. An image that is there already is kept. */
  readonly genesisDir: string;
  /** A directory that the engine's user can reach, if the image's parent is not one. */
  readonly scratchDir?: string;
}

/** Runs initdb and keeps a cold copy. Raises BorealisError 58030 with the line of initdb that tells why. */
export async function createGenesis(options: GenesisOptions): Promise<Genesis> {
  const { genesisDir, osUser } = options;
  if (
    await stat(genesisDir).then(
      () => true,
      () => false,
    )
  )
    return readGenesis(genesisDir);
  await mkdir(dirname(genesisDir), { recursive: true, mode: 0o700 });
  const scratch = await makeScratch(options);
  const draft = `${genesisDir}.making`;
  try {
    const made = join(scratch, "data");
    await initdb(options, made);
    await rm(draft, { recursive: true, force: true });
    await copyTree({ from: made, to: draft, access: "private", isDurable: true });
    await rename(draft, genesisDir);
    await syncPath(dirname(genesisDir));
  } finally {
    await rm(scratch, { recursive: true, force: true });
    await rm(draft, { recursive: true, force: true });
  }
  return readGenesis(genesisDir);

  async function makeScratch({ scratchDir }: GenesisOptions): Promise<string> {
    const near = dirname(genesisDir);
    const parent = (await canReach(near, osUser)) ? near : (scratchDir ?? relocationRoot);
    await mkdir(parent, { recursive: true, mode: 0o711 });
    const dir = await mkdtemp(join(parent, "initdb-"));
    if (osUser) await lchown(dir, osUser.uid, osUser.gid);
    return dir;
  }
}

/** What an existing genesis image says about itself. Raises BorealisError XX001 if it is damaged. */
export async function readGenesis(genesisDir: string): Promise<Genesis> {
  const control = await readControlFile(genesisDir);
  if (control.state !== "shutDown") {
    throw new BorealisError(
      sqlState.dataCorrupted,
      `the genesis image ${genesisDir} was not shut down (${control.state})`,
    );
  }
  const { systemIdentifier, redoLsn, timeline } = control;
  return { systemIdentifier, redoLsn, timeline, baseLsn: baseLsn(control) };
}

/** Reads global/pg_control of a data directory. */
export async function readControlFile(dataDir: string): Promise<ControlFile> {
  return parseControlFile(await readFile(join(dataDir, "global", "pg_control")));
}

/**
 * The locale (D17): builtin C.UTF-8 where there is one (17), over the system's C.UTF-8 for what still asks the system
 * (pg_trgm, text search), else over C; before 17 the system's C.UTF-8, else C.
 */
function localesOf(major: number): string[][] {
  const provider = major >= 17 ? ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] : [];
  return [
    [...provider, "--locale=C.UTF-8"],
    [...provider, "--locale=C"],
  ];
}

async function initdb(options: GenesisOptions, dataDir: string): Promise<void> {
  const { engine, osUser } = options;
  let result: CommandResult | undefined;
  for (const locale of localesOf(engine.major)) {
    const args = [
      "-D",
      dataDir,
      "-U",
      bootstrapUser,
      "--encoding=UTF8",
      "--data-checksums",
      "--no-sync",
      "--no-instructions",
      "--auth=trust",
      ...locale,
    ];
    result = await runCommand(join(engine.binDir, "initdb"), args, {
      user: osUser,
      timeoutMs: 120_000,
    });
    if (isSuccess(result)) return;
    const isLocaleMissing = result.kind === "ended" && /locale/i.test(result.stderr);
    if (!isLocaleMissing) break;
  }
  const why = result ? failureOf(result) : "";
  throw new BorealisError(
    sqlState.ioError,
    `initdb of PostgreSQL ${engine.version} failed: ${why}`,
    {
      hint: /space/i.test(why)
        ? "free some disk space"
        : `try ${join(engine.binDir, "initdb")} by hand`,
    },
  );
}
