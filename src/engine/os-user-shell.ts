/**
 * Who runs PostgreSQL. It refuses to run as root, so a Borealis that root started runs it as an unprivileged user;
 * that user must be able to walk to the files, which lie wherever the user of the machine put the data directory.
 */
import { createHash } from "node:crypto";
import { chmod, lstat, mkdir, readFile, realpath, rm, stat, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { isSuccess, runCommand } from "./command-shell.ts";

export interface OsUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** Where caches and engine copies go that cannot lie under the data directory. */
export const relocationRoot = "/var/lib/borealis";

const candidates = ["borealis", "postgres", "nobody"];

/**
 * The unprivileged user that PostgreSQL runs as: `setting`, else the first of borealis, postgres and nobody that
 * exists (initdb insists on a passwd entry). Undefined when we are not root: then it is ourselves. Raises
 * BorealisError 22023 for a setting that names nobody, or root.
 */
export async function chooseOsUser(setting?: string): Promise<OsUser | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const wanted = setting === undefined ? candidates : [setting];
  for (const name of wanted) {
    const user = await findUser(name);
    if (user?.uid === 0) {
      throw new BorealisError(
        sqlState.invalidParameter,
        `PostgreSQL cannot run as "${name}", which is root`,
      );
    }
    if (user) return user;
  }
  throw new BorealisError(
    sqlState.invalidParameter,
    `there is no user ${wanted.join(", ")} to run PostgreSQL as`,
    {
      hint: "create one, for example: useradd --system borealis",
    },
  );
}

/** A user by name: from the passwd file, or from whatever `id` knows (LDAP, Directory Services). */
async function findUser(name: string): Promise<OsUser | undefined> {
  const passwd = await readFile("/etc/passwd", "utf8").catch(() => "");
  for (const line of passwd.split("\n")) {
    const [entry, , uid, gid] = line.split(":");
    if (entry === name && uid !== undefined && gid !== undefined)
      return { name, uid: Number(uid), gid: Number(gid) };
  }
  const [uid, gid] = await Promise.all([numberOf("-u", name), numberOf("-g", name)]);
  return uid === undefined || gid === undefined ? undefined : { name, uid, gid };
}

async function numberOf(flag: "-u" | "-g", name: string): Promise<number | undefined> {
  const result = await runCommand("id", [flag, "--", name]);
  const text = result.kind === "ended" && result.code === 0 ? result.stdout.trim() : "";
  return /^\d+$/.test(text) ? Number(text) : undefined;
}

/** Whether `user` can walk to `dir`: tried, not computed, so that ACLs and mount options count too. */
export async function canReach(dir: string, user: OsUser | undefined): Promise<boolean> {
  return isSuccess(
    await runCommand("/bin/sh", ["-c", 'cd -- "$0"', dir], { user, timeoutMs: 10_000 }),
  );
}

export interface InstancesPlace {
  readonly dataDir: string;
  readonly osUser: OsUser | undefined;
  /** Stands in for /var/lib/borealis. */
  readonly relocationRoot?: string;
}

/**
 * Makes `DATADIR/instances`, the home of the caches, a place that the engine's user can reach, and returns its real
 * path. The data directory itself may be opened for passage (o+x), never its parents: their modes are somebody's
 * decision. If that is not enough, `instances` becomes a link to a directory under /var/lib/borealis.
 */
export async function placeInstances(place: InstancesPlace): Promise<string> {
  const { dataDir, osUser } = place;
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const instances = join(dataDir, "instances");
  if (!osUser) {
    await mkdir(instances, { recursive: true, mode: 0o700 });
    return realpath(instances);
  }
  if (
    !(await canReach(dataDir, osUser)) &&
    (await canReach(dirname(await realpath(dataDir)), osUser))
  ) {
    const { mode } = await stat(dataDir);
    await chmod(dataDir, (mode & 0o7777) | 0o001);
  }
  if (!(await canReach(dataDir, osUser))) return relocate(place, instances);
  if ((await lstat(instances).catch(() => undefined))?.isSymbolicLink()) await rm(instances);
  await mkdir(instances, { recursive: true, mode: 0o711 });
  await chmod(instances, 0o711);
  return realpath(instances);
}

async function relocate(place: InstancesPlace, instances: string): Promise<string> {
  const { dataDir, osUser } = place;
  const root = place.relocationRoot ?? relocationRoot;
  const key = createHash("sha256")
    .update(await realpath(dataDir))
    .digest("hex")
    .slice(0, 16);
  const target = join(root, key, "instances");
  try {
    await mkdir(root, { recursive: true, mode: 0o755 });
    await mkdir(target, { recursive: true, mode: 0o711 });
    if (!(await canReach(target, osUser)))
      throw new Error(`${osUser?.name ?? "we"} cannot reach ${target} either`);
    if ((await realpath(instances).catch(() => undefined)) !== (await realpath(target))) {
      // What lies here is a cache that the engine's user cannot reach any more: of no use, and of no loss.
      await rm(instances, { recursive: true, force: true });
      await symlink(target, instances);
    }
  } catch (cause) {
    const why = `user "${osUser?.name ?? ""}", who runs PostgreSQL, cannot reach ${dataDir}: ${messageOf(cause)}`;
    throw new BorealisError(sqlState.ioError, why, {
      cause,
      hint: "choose a place that others may pass through, for example --data-dir /var/lib/borealis/data",
    });
  }
  return realpath(target);
}
