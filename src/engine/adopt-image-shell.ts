import { lchown, mkdir, readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { systemCodeOf } from "../io/index.ts";
import { copyTree, syncPath } from "./owned-files-shell.ts";

export interface ImagePlace {
  /** Of the engine's user, or ours. Gone when this returns. */
  readonly from: string;
  /** Where the genesis image of a volume lies; must not exist. */
  readonly genesisDir: string;
}

const lanes = 8;

/**
 * Puts an image in its place: ours alone from then on, and on the disk. By its name where the file system is the same, as a
 * copy elsewhere. Raises the disk's own errors.
 */
export async function adoptImage(
  { from, genesisDir }: ImagePlace,
  onProgress: (doneBytes: number) => void = () => {},
): Promise<void> {
  await mkdir(dirname(genesisDir), { recursive: true, mode: 0o700 });
  await makeDurable(from, onProgress);
  const draft = `${genesisDir}.making`;
  await rm(draft, { recursive: true, force: true });
  try {
    await rename(from, genesisDir);
  } catch (error) {
    if (systemCodeOf(error) !== "EXDEV") throw error;
    await copyTree({ from, to: draft, access: "private", isDurable: true });
    await rename(draft, genesisDir);
    await rm(from, { recursive: true, force: true });
  }
  await syncPath(dirname(genesisDir));
}

async function makeDurable(dir: string, onProgress: (doneBytes: number) => void): Promise<void> {
  const [uid, gid] = [process.getuid?.(), process.getgid?.()];
  // The root first: from then on nobody else can put anything in the way.
  const own = async (path: string): Promise<void> => {
    if (uid !== undefined && gid !== undefined) await lchown(path, uid, gid);
  };
  await own(dir);
  const entries = await readdir(dir, { withFileTypes: true, recursive: true });
  const queue = entries.map((entry) => join(entry.parentPath, entry.name));
  let doneBytes = 0;
  await Promise.all(
    Array.from({ length: lanes }, async () => {
      for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
        await own(path);
        const bytes = await syncPath(path);
        // Others have counted meanwhile.
        doneBytes += bytes;
        onProgress(doneBytes);
      }
    }),
  );
  await syncPath(dir);
}
