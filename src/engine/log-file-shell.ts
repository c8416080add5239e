import { copyFile, open, stat, truncate } from "node:fs/promises";

const maxBytes = 16 * 1024 * 1024;

/**
 * Keeps PostgreSQL's log small: beyond 16 MiB its content moves to `FILE.1` and the file starts again. PostgreSQL has
 * it open for appending, so it is emptied rather than replaced; the few lines written meanwhile are lost.
 */
export async function rotateLog(file: string, limitBytes = maxBytes): Promise<void> {
  const sizeBytes = await stat(file).then(
    (found) => found.size,
    () => 0,
  );
  if (sizeBytes < limitBytes) return;
  await copyFile(file, `${file}.1`);
  await truncate(file, 0);
}

/** The last lines of a log, from `startBytes` on: what a process said since it was started. */
export async function lastLines(
  file: string,
  options: { startBytes: number; linesMax: number },
): Promise<string[]> {
  const handle = await open(file, "r").catch(() => undefined);
  if (!handle) return [];
  try {
    const { size } = await handle.stat();
    // After a rotation the file is shorter than where we began: then all of it is new.
    const begin = Math.max(size < options.startBytes ? 0 : options.startBytes, size - 16_384);
    const { buffer, bytesRead } = await handle.read(
      Buffer.alloc(size - begin),
      0,
      size - begin,
      begin,
    );
    const lines = buffer.toString("utf8", 0, bytesRead).split("\n");
    return lines.filter((line) => line.trim() !== "").slice(-options.linesMax);
  } finally {
    await handle.close();
  }
}
