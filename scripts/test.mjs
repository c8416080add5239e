// `npm test`: prepares as `npm start` does, then checks, unit, system and SQL tests; with --all (`npm run test:all`) the long
// ones, too. The last line counts them all.
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, relative } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { buildIfStale, checkNode, installIfStale, root } from "./prepare.mjs";

const isWhole = process.argv.includes("--all");
checkNode();
installIfStale({ isDevelopment: true });
buildIfStale();
const totals = { passed: 0, failed: 0, skipped: 0 };
/** Of what runs one after the other: name, and seconds. */
const took = [];
const slowestFiles = [];
/** One line each, for whoever sees only the end of the output. */
const failures = [];
/** What is shown of clusters whose tests failed. */
const digests = [];
const failureCharsMax = 300;
const failuresMax = 20;
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
      env: { BOREALIS_TEST: isWhole ? "all" : "", ...process.env, BOREALIS_DIGESTS: reports },
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
      for (const result of report.testResults ?? []) {
        const file = relative(root, result.name);
        slowestFiles.push([file, (result.endTime - result.startTime) / 1000]);
        const failed = failuresOf(file, result);
        failures.push(...failed);
        if (failed.length > 0) digests.push(...digestOf(file));
      }
      // A file that does not load, or a failing hook, counts no test but fails the run.
      if (code !== 0 && report.numFailedTests === 0) {
        totals.failed += 1;
        failures.push(failureLine(project, `vitest ended with ${code}, though no test failed`));
      }
      resolve();
    });
  });
}

/** What the clusters of a file that failed warned of. */
function digestOf(file) {
  try {
    return [`Clusters of ${file}:`, readFileSync(join(reports, basename(file)), "utf8").trimEnd()];
  } catch {
    return [];
  }
}

/** What failed in a file: its tests, or else the file itself (it does not load, or a hook of its own fails). */
function failuresOf(file, { status, message, assertionResults }) {
  const failed = assertionResults.filter((one) => one.status === "failed");
  if (failed.length === 0)
    return status === "failed" ? [failureLine(file, message || "a hook failed, see above")] : [];
  return failed.map(({ ancestorTitles, title, failureMessages }) =>
    failureLine([file, ...ancestorTitles, title].join(" > "), failureMessages?.[0]),
  );
}

function failureLine(what, message) {
  const why = stripVTControlCharacters(message ?? "").trim();
  const [first] = why.split("\n");
  return `Failed: ${what}: ${first}`.replace(/\s+/g, " ").slice(0, failureCharsMax);
}

/** What is one test to the totals. */
function count(what, { status }) {
  totals[status === 0 ? "passed" : "failed"] += 1;
  if (status !== 0) failures.push(failureLine(what, `ended with ${status}`));
}

async function timed(name, work) {
  const beganMs = performance.now();
  await work();
  took.push([name, (performance.now() - beganMs) / 1000]);
}

function told(list) {
  return list.map(([name, seconds]) => `${name} ${Math.round(seconds)} s`).join(", ");
}

const check = spawnSync(process.execPath, [join(root, "scripts", "check.mjs")], {
  cwd: root,
  stdio: "inherit",
});
count("npm run check", check);
await timed("unit", () => vitest("unit"));
// Two thousand seeds count as one test, and so do the mutants that are caught fast.
for (const args of [
  ["--seeds", "2000"],
  ["--mutant", "fast"],
]) {
  await timed(`sim ${args.join(" ")}`, () => {
    const sim = spawnSync(process.execPath, [join(root, "scripts", "run.mjs"), "sim", ...args], {
      cwd: root,
      stdio: "inherit",
    });
    count(`npm run sim -- ${args.join(" ")}`, sim);
  });
}
await timed("system", () => vitest("system"));
if (isWhole) await timed("long", () => vitest("long"));
rmSync(reports, { recursive: true, force: true });
slowestFiles.sort((a, b) => b[1] - a[1]);
console.log(`Took: ${told(took)}`);
console.log("Files by their time:");
const slow = slowestFiles.filter(([, seconds]) => seconds >= 3);
for (let at = 0; at < slow.length; at += 5) console.log(`  ${told(slow.slice(at, at + 5))}`);
for (const line of digests) console.log(line);
for (const line of failures.slice(0, failuresMax)) console.log(line);
if (failures.length > failuresMax) console.log(`and ${failures.length - failuresMax} more`);
const skipped = totals.skipped > 0 ? `, ${totals.skipped} skipped` : "";
console.log(`${totals.passed} passed, ${totals.failed} failed${skipped}`);
process.exit(totals.failed === 0 ? 0 : 1);
