// Types, lint, format and the rooms test: `npm run check`.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { checkNode, installIfStale, root } from "./prepare.mjs";

checkNode();
installIfStale({ isDevelopment: true });
const bin = (name) => join(root, "node_modules", ".bin", name);
const steps = [
  ["format", bin("oxfmt"), ["--check"]],
  ["types", bin("tsc"), ["-p", "tsconfig.check.json", "--noEmit"]],
  ["lint", bin("oxlint"), ["--type-aware"]],
  ["rooms", bin("vitest"), ["run", "--project", "unit", "test/rooms.test.ts", "--reporter=dot"]],
];
let failed = 0;
for (const [name, command, args] of steps) {
  const result = spawnSync(command, args, { cwd: root, encoding: "utf8" });
  const isGood = result.status === 0;
  console.log(`${isGood ? "ok  " : "FAIL"} check: ${String(name)}`);
  if (!isGood) {
    failed++;
    console.log(`${result.stdout ?? ""}${result.stderr ?? ""}`);
  }
}
process.exit(failed === 0 ? 0 : 1);
