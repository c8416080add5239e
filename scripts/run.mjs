// Runs a development tool (`bench`, `sqltest`, `sim`, `sim-exhaustive`) from its TypeScript source: builds it when stale,
// then its main().
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { buildIfStale, checkNode, installIfStale, root } from "./prepare.mjs";

// The simulator is built with the product; the others have a build of their own.
const entries = {
  bench: "dist-tools/bench/main.js",
  sqltest: "dist-tools/sql-tests/main.js",
  sim: "dist/main/sim.js",
  "sim-exhaustive": "dist/sim/exhaustive/main-shell.js",
};
const [tool, ...rest] = process.argv.slice(2);
const isTool = !tool?.startsWith("sim");
checkNode();
installIfStale({ isDevelopment: isTool });
buildIfStale();
if (isTool)
  buildIfStale({
    config: "tsconfig.tools.json",
    out: "dist-tools",
    sources: ["src", "bench", "sql-tests"],
  });
const entry = entries[tool];
if (!entry) {
  console.error(`no tool "${tool}"; there are: ${Object.keys(entries).join(", ")}`);
  process.exit(2);
}
const { main } = await import(pathToFileURL(join(root, entry)).href);
process.exitCode = await main(rest);
