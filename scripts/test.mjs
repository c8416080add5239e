// `npm test`: prepares as `npm start` does, then checks, unit, system and SQL tests; the last line counts them all.
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildIfStale, checkNode, installIfStale, root } from "./prepare.mjs";

checkNode();
installIfStale({ isDevelopment: true });
buildIfStale();
const totals = { passed: 0, failed: 0, skipped: 0 };
const reports = mkdtempSync(join(tmpdir(), "borealis-tests-"));

function vitest(project) {
  const file = join(reports, `${project}.json`);
  const args = [
    "run",
    "--project",
    project,
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${file}`,
  ];
  return new Promise((resolve) => {
    const child = spawn(join(root, "node_modules", ".bin", "vitest"), args, {
      cwd: root,
      stdio: "inherit",
    });
    child.on("exit", (code) => {
      let report;
      try {
        report = JSON.parse(readFileSync(file, "utf8"));
      } catch {
        report = { numPassedTests: 0, numFailedTests: 0, numPendingTests: 0 };
      }
      totals.passed += report.numPassedTests;
      totals.failed += report.numFailedTests;
      totals.skipped += report.numPendingTests;
      // A file that does not load, or a failing hook, counts no test but fails the run.
      if (code !== 0 && report.numFailedTests === 0) totals.failed += 1;
      resolve();
    });
  });
}

const check = spawnSync(process.execPath, [join(root, "scripts", "check.mjs")], {
  cwd: root,
  stdio: "inherit",
});
totals[check.status === 0 ? "passed" : "failed"] += 1;
await vitest("unit");
// Two thousand seeds count as one test, and so do the mutants that are caught fast.
for (const args of [
  ["--seeds", "2000"],
  ["--mutant", "fast"],
]) {
  const sim = spawnSync(process.execPath, [join(root, "scripts", "run.mjs"), "sim", ...args], {
    cwd: root,
    stdio: "inherit",
  });
  totals[sim.status === 0 ? "passed" : "failed"] += 1;
}
await vitest("system");
rmSync(reports, { recursive: true, force: true });
const skipped = totals.skipped > 0 ? `, ${totals.skipped} skipped` : "";
console.log(`${totals.passed} passed, ${totals.failed} failed${skipped}`);
process.exit(totals.failed === 0 ? 0 : 1);
