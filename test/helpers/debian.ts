/** Programs of Debian's that tests use where they are there, or can be had: installed where we are root. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { promisify } from "node:util";

const run = promisify(execFile);

export function didRun(running: Promise<unknown>): Promise<boolean> {
  return running.then(
    () => true,
    () => false,
  );
}

/** Tries to; whoever needs them looks whether they are there. BOREALIS_TEST_INSTALL=off installs nothing. */
export async function installPackages(packages: readonly string[]): Promise<void> {
  const isPossible = process.getuid?.() === 0 && existsSync("/usr/bin/apt-get");
  const mayInstall = process.env["BOREALIS_TEST_INSTALL"] !== "off";
  if (packages.length === 0 || !isPossible || !mayInstall) return;
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const apt = async (...args: string[]): Promise<boolean> => {
    const all = ["-y", "-o", "DPkg::Lock::Timeout=120", ...args];
    return didRun(run("apt-get", all, { env, timeout: 240_000 }));
  };
  const take = (...names: string[]): Promise<boolean> =>
    apt("install", "--no-install-recommends", ...names);
  if (await take(...packages)) return;
  // The lists may be missing, or old; or one of the packages is not in them.
  await apt("update");
  for (const name of packages) await take(name);
}

export const jdbcJar = "/usr/share/java/postgresql.jar";
export const jdbcPackages = ["libpostgresql-jdbc-java", "default-jdk-headless"];
/** Ends with 0 if PostgreSQL's driver is there, and what runs it. */
export const jdbcCheck = ["sh", "-c", `test -e ${jdbcJar} && javac -version`] as const;

/** Installs it if it is not there. */
export async function hasJdbc(): Promise<boolean> {
  const [program, ...args] = jdbcCheck;
  const isThere = (): Promise<boolean> => didRun(run(program, args));
  if (await isThere()) return true;
  await installPackages(jdbcPackages);
  return isThere();
}
