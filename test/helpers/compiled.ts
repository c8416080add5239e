import { execFile } from "node:child_process";
import { chmod, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

const repository = resolve(import.meta.dirname, "../..");

/** Where the build of this checkout is, which is made if it is older than the sources: what clusters run, threads and all. */
export async function builtDir(): Promise<string> {
  const start = join(repository, "scripts", "start.mjs");
  await promisify(execFile)(process.execPath, [start, "--version"], { cwd: repository });
  return join(repository, "dist");
}

/**
 * Compiles `rooms` and what they import, for tests that start plain Node processes, into a folder of their own that
 * any user may read. Returns the directory that stands for `src`, and a function that removes it.
 */
export async function compileRooms(
  rooms: readonly string[],
): Promise<{ dir: string; remove: () => Promise<void> }> {
  const root = await mkdtemp(join(tmpdir(), "borealis-compiled-"));
  const remove = (): Promise<void> => rm(root, { recursive: true, force: true });
  try {
    await chmod(root, 0o755);
    await symlink(join(repository, "node_modules"), join(root, "node_modules"));
    await writeFile(join(root, "package.json"), '{"type":"module"}\n');
    const dir = join(root, "src");
    const config = {
      extends: join(repository, "tsconfig.base.json"),
      compilerOptions: { rootDir: join(repository, "src"), outDir: dir },
      files: rooms.map((room) => join(repository, "src", room, "index.ts")),
    };
    await writeFile(join(root, "tsconfig.json"), JSON.stringify(config));
    const tsc = join(repository, "node_modules/.bin/tsc");
    await promisify(execFile)(tsc, ["-p", join(root, "tsconfig.json")], { cwd: repository });
    return { dir, remove };
  } catch (error) {
    await remove();
    throw error;
  }
}
