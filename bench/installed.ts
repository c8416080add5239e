/** The programs of PostgreSQL that the benchmarks use beside the engine. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { delimiter, join } from "node:path";

const debian = "/usr/lib/postgresql";

/** Directories that may hold PostgreSQL's programs, the newest version of Debian's packages first. */
function places(): string[] {
  const versions = existsSync(debian) ? readdirSync(debian) : [];
  const packaged = versions
    .toSorted((a, b) => Number(b) - Number(a))
    .map((version) => join(debian, version, "bin"));
  return [...packaged, ...(process.env["PATH"] ?? "").split(delimiter)];
}

/** The path of a program of PostgreSQL. Undefined if it is not installed. */
export function findProgram(name: string): string | undefined {
  return places()
    .map((place) => join(place, name))
    .find((path) => existsSync(path));
}

/** The path of a program of PostgreSQL. Raises an Error that says what to install. */
export function requireProgram(name: string): string {
  const found = findProgram(name);
  if (found === undefined) {
    throw new Error(
      `${name} is not installed (Debian: apt-get install postgresql postgresql-contrib)`,
    );
  }
  return found;
}

/** What a program says of itself, its first line. */
export function versionOf(program: string): string {
  return execFileSync(program, ["--version"], { encoding: "utf8" }).split("\n")[0] ?? "";
}

/** "pgbench (PostgreSQL) 15.18 (Debian ...)" is 15. */
export function majorOf(program: string): number {
  return Number(/(\d+)(\.|devel|beta|rc)/.exec(versionOf(program))?.[1] ?? 0);
}
