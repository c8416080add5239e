// What must be true before anything of ours can run: a Node that can, dependencies, a build. Node built-ins only,
// and syntax that an old Node can parse, so that it gets a sentence and not a stack trace.
import { spawnSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

export function checkNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major > 20 || (major === 20 && minor >= 20)) return;
  console.error(
    `Borealis needs Node.js 20.20 or newer; this is ${process.versions.node}. Install a newer one and run this again.`,
  );
  process.exit(1);
}

function run(command, args, what) {
  const result = spawnSync(command, args, {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
    encoding: "utf8",
    shell: process.platform === "win32",
  });
  if (result.status === 0) return;
  console.error(`${what} failed:\n${result.stdout ?? ""}${result.stderr ?? result.error ?? ""}`);
  process.exit(1);
}

function modifiedMs(file) {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

function newestMs(folder) {
  let newest = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    newest = Math.max(newest, entry.isDirectory() ? newestMs(path) : modifiedMs(path));
  }
  return newest;
}

/** Installs when node_modules' copy of the lock is older than package-lock.json or lacks what a build needs. */
export function installIfStale({ isDevelopment }) {
  // A link is somebody else's folder: npm ci would empty it.
  if (lstatSync(join(root, "node_modules"), { throwIfNoEntry: false })?.isSymbolicLink()) return;
  const installed = modifiedMs(join(root, "node_modules", ".package-lock.json"));
  const isFresh = installed > 0 && installed >= modifiedMs(join(root, "package-lock.json"));
  const compiler = join(root, "node_modules", "typescript");
  if (isFresh && (!isDevelopment || existsSync(compiler))) return;
  console.error("Installing dependencies ...");
  run("npm", ["ci", "--no-audit", "--no-fund", "--include=dev", "--include=optional"], "npm ci");
}

/** Where the package for this platform is missing, the modules are run as they are: a start only takes longer. */
function bundle() {
  const { status, stderr } = spawnSync(process.execPath, [join(root, "scripts", "bundle.mjs")], {
    cwd: root,
    encoding: "utf8",
  });
  if (status === 0) return;
  rmSync(join(root, "dist", "app"), { recursive: true, force: true });
  console.error(`Joining the modules failed; they are run one by one:\n${stderr ?? ""}`);
}

/** Builds when a source is newer than the stamp of the last build. tsc leaves its own file untouched when content is the same, so the stamp is ours. */
export function buildIfStale({ config = "tsconfig.json", out = "dist", sources = ["src"] } = {}) {
  if (!existsSync(join(root, "src"))) return; // a published package: dist is all there is
  const stamp = join(root, out, ".stamp");
  const newest = Math.max(
    ...sources.map((folder) => newestMs(join(root, folder))),
    modifiedMs(join(root, config)),
    modifiedMs(join(root, "scripts", "bundle.mjs")),
  );
  if (modifiedMs(stamp) > newest) return;
  console.error(out === "dist" ? "Building ..." : "Building the tools ...");
  run(
    process.execPath,
    [join(root, "node_modules", "typescript", "bin", "tsc"), "-p", config],
    "The build",
  );
  if (out === "dist") bundle();
  mkdirSync(join(root, out), { recursive: true });
  writeFileSync(stamp, "");
}
