import fs from "node:fs";
import { basename, dirname, join } from "node:path";
import { systemCodeOf } from "./disk.ts";

/**
 * An absolute path without symbolic links, so that two names of one place are the same. What is not there, or may not be looked
 * at, is as it is named, below what is there.
 */
export async function realPath(path: string): Promise<string> {
  try {
    return await fs.promises.realpath(path);
  } catch (error) {
    const parent = dirname(path);
    if (systemCodeOf(error) === undefined || parent === path) throw error;
    return join(await realPath(parent), basename(path));
  }
}
