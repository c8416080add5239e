import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Engine } from "./find-engine-shell.ts";

/** A control file has some hundred bytes. */
const controlBytesMax = 65_536;

/** Where control files lie, seen from the programs: PostgreSQL's own build, a package's, Debian's. */
function extensionDirs({ binDir, major }: Engine): string[] {
  return [
    join(binDir, "..", "share", "postgresql", "extension"),
    join(binDir, "..", "share", "extension"),
    `/usr/share/postgresql/${major}/extension`,
  ];
}

/**
 * The extensions that somebody may create who is no superuser (`trusted` in their control files), by name. None if nobody
 * knows where this installation has its extensions. Never raises: what cannot be read now (a package is being put in) is not
 * in the list, and PostgreSQL starts all the same.
 */
export async function trustedExtensions(engine: Engine): Promise<string[]> {
  for (const dir of extensionDirs(engine)) {
    const files = await readdir(dir).catch(() => []);
    const found: string[] = [];
    for (const file of files.filter(isControlFile)) {
      const text = await readControl(join(dir, file)).catch(() => "");
      if (/^\s*trusted\s*=\s*(true|on|yes|1)\b/im.test(text))
        found.push(file.slice(0, -".control".length));
    }
    if (files.length > 0) return found.toSorted();
  }
  return [];
}

/** Only of a file: a pipe would be waited for. */
async function readControl(path: string): Promise<string> {
  const found = await stat(path);
  return found.isFile() && found.size <= controlBytesMax ? readFile(path, "utf8") : "";
}

/** Those of one version alone (`NAME--VERSION.control`) do not say whether it is trusted. */
function isControlFile(name: string): boolean {
  return name.endsWith(".control") && !name.includes("--");
}
