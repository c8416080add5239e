import fs from "node:fs";
import { dirname } from "node:path";
import { BorealisError, sqlState } from "../base/errors.ts";
import { systemCodeOf } from "./disk.ts";

/** Small files that only their owner may read. Not for a data path: these verbs block. */
export interface SecretFiles {
  /** Undefined: no such file. Raises 55000 for one that others could have read or written. */
  read(path: string): string | undefined;
  /** Puts `text` in the file's place as a whole, durably: 0600, in a folder that is made 0700 if it is missing. */
  replace(path: string, text: string): void;
}

const othersMode = 0o077;

export const realSecretFiles: SecretFiles = {
  read(path) {
    let text: string;
    try {
      text = fs.readFileSync(path, "utf8");
    } catch (error) {
      if (systemCodeOf(error) === "ENOENT") return undefined;
      throw error;
    }
    const { mode } = fs.statSync(path);
    if ((mode & othersMode) === 0) return text;
    throw new BorealisError(
      sqlState.notInPrerequisiteState,
      `${path} may be used by others than its owner (mode ${(mode & 0o777).toString(8)})`,
      { hint: `chmod 600 ${path}; if anybody else can have read it, rotate what it holds` },
    );
  },
  replace(path, text) {
    const folder = dirname(path);
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
    const draft = `${path}.new`;
    fs.rmSync(draft, { force: true });
    try {
      fs.writeFileSync(draft, text, { mode: 0o600, flag: "wx", flush: true });
      fs.renameSync(draft, path);
    } catch (error) {
      // Half of a secret is one, too, and nobody would look for it there.
      fs.rmSync(draft, { force: true });
      throw error;
    }
    const fd = fs.openSync(folder, "r");
    try {
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
  },
};
