// Runs a development tool (`bench`, `sqltest`, `sim-exhaustive`) from its TypeScript source: builds it when stale, then its main().
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { buildIfStale, checkNode, installIfStale, root } from "./prepare.mjs";

checkNode();
installIfStale({ isDevelopment: true });
buildIfStale();
buildIfStale({
  config: "tsconfig.tools.json",
  out: "dist-tools",
  sources: ["src", "bench", "sql-tests"],
});
const entries = {
  bench: "bench/main.js",
  sqltest: "sql-tests/main.js",
  "sim-exhaustive": "src/sim/exhaustive/main-shell.js",
};
const [tool, ...rest] = process.argv.slice(2);
const entry = entries[tool];
if (!entry) {
  console.error(`no tool "${tool}"; there are: ${Object.keys(entries).join(", ")}`);
  process.exit(2);
}
const { main } = await import(pathToFileURL(join(root, "dist-tools", entry)).href);
process.exitCode = await main(rest);
