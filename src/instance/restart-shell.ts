import { formatLsn } from "../base/lsn.ts";
import { dataDirOf, readControlFile } from "../engine/index.ts";

/** Where this cache's PostgreSQL would begin to read log if it started anew; undefined: its control file cannot tell. */
export async function findRestartLsn(instanceDir: string): Promise<string | undefined> {
  try {
    return formatLsn((await readControlFile(dataDirOf(instanceDir))).redoLsn);
  } catch {
    return undefined; // just being replaced: the next look will tell
  }
}
