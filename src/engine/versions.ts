import { BorealisError, sqlState } from "../base/errors.ts";

/** A PostgreSQL release: "15.18" is major 15, minor 18. */
export interface EngineVersion {
  readonly text: string;
  readonly major: number;
  readonly minor: number;
}

const majorMin = 15;
const majorMax = 18;

/**
 * Commits right after a start could skip the wait for the synchronous standby until the checkpointer had looked at
 * synchronous_standby_names for the first time. Fixed in these minor releases (May 2025), and from the start in 18.
 */
const minorMin: Readonly<Record<number, number>> = { 15: 13, 16: 9, 17: 5, 18: 0 };

/** The release that `postgres --version` prints; undefined for betas, development builds and other programs. */
export function findVersion(output: string): EngineVersion | undefined {
  const parts = /\(PostgreSQL\) (\d+)\.(\d+)(?![\d.])/.exec(output);
  if (!parts) return undefined;
  const [, major = "", minor = ""] = parts;
  return { text: `${major}.${minor}`, major: Number(major), minor: Number(minor) };
}

/** The release in `output`, if Borealis can run on it. Raises BorealisError 22023 that names what it found. */
export function requireSupported(output: string, binDir: string): EngineVersion {
  const version = findVersion(output);
  const hint =
    "give --postgres-bin the bin directory of PostgreSQL 15.13, 16.9, 17.5, 18.0 or later minor releases of these";
  if (!version) {
    const found = output.trim().split("\n")[0] ?? "";
    throw new BorealisError(
      sqlState.invalidParameter,
      `${binDir} holds no release of PostgreSQL but "${found}"`,
      { hint },
    );
  }
  const lowest = minorMin[version.major];
  if (lowest === undefined || version.major < majorMin || version.major > majorMax) {
    throw new BorealisError(
      sqlState.invalidParameter,
      `${binDir} is PostgreSQL ${version.text}, not ${majorMin} to ${majorMax}`,
      { hint },
    );
  }
  if (version.minor < lowest) {
    throw new BorealisError(
      sqlState.invalidParameter,
      `${binDir} is PostgreSQL ${version.text}, which may skip the wait for the quorum right after a start`,
      { hint: `install ${version.major}.${lowest} or a later minor release` },
    );
  }
  return version;
}
