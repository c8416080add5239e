import { type Disk, type DiskFile, type FileFacts, systemCodeOf } from "../io/index.ts";

/**
 * A file that lost its name would take acknowledged log with it at the process's end (decisions.md D9). `passing` are
 * files that change while this looks: one that is no longer in use may be closed, or go.
 */
export async function findVanished(
  disk: Disk,
  lasting: readonly DiskFile[],
  passing: () => readonly DiskFile[],
): Promise<DiskFile | undefined> {
  for (const file of [...lasting, ...passing()]) {
    const isGone = await hasVanished(disk, file);
    if (isGone && (lasting.includes(file) || passing().includes(file))) return file;
  }
  return undefined;
}

async function hasVanished(disk: Disk, file: DiskFile): Promise<boolean> {
  let own: FileFacts;
  try {
    own = await file.facts();
  } catch (error) {
    if (systemCodeOf(error) === "EBADF") return true; // closed meanwhile
    throw error;
  }
  const named = await disk.factsOf(file.path);
  return named?.inode !== own.inode || own.links === 0;
}
