// What the volume promises, with pgbench's tables: `node scripts/measure-volume.mjs [--scale 70] [--minutes 5] [--only a,b,c]`
// (scale 70: about 1 GB; 5 minutes of pgbench behind the moment of a backtrack). Needs pgbench and psql on the PATH. One line
// of JSON for each figure; `holds` is false where it misses its bound, and where a row is missing or a balance is not
// what it was. It makes clusters of its own, kills them whole,
// deletes what can be lost, and times their next start. Figures mean something on an idle machine: each has the load that it
// was taken under. `--logs DIR` keeps each cluster's logs as they were after each figure.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { verdictOf } from "./volume-verdict.mjs";

const { values: given } = parseArgs({
  options: {
    scale: { type: "string", default: "70" },
    minutes: { type: "string", default: "5" },
    only: { type: "string", default: "snapshots,instances,nodes,clone,backtrack,loss" },
    logs: { type: "string" },
  },
});
const wanted = new Set(given.only.split(","));
const start = fileURLToPath(new URL("start.mjs", import.meta.url));
const root = mkdtempSync(join(tmpdir(), "borealis-measure-"));
chmodSync(root, 0o755);
let nextPort = 10_000 + Math.floor(Math.random() * 17_000);

function run(command, args) {
  const beganMs = performance.now();
  const done = spawnSync(command, args, { encoding: "utf8", maxBuffer: 1 << 28 });
  if (done.status !== 0)
    throw new Error(`${command} ${args.join(" ")}: ${done.stderr}${done.stdout}`);
  return { text: done.stdout.trim(), seconds: (performance.now() - beganMs) / 1000 };
}

function rounded(value) {
  return typeof value === "number" ? Math.round(value * 1000) / 1000 : value;
}

function say(figure, facts, bound) {
  const load = loadavg()[0];
  const told = Object.entries({ ...facts, load }).map(([name, value]) => [name, rounded(value)]);
  const verdict = verdictOf(facts, bound);
  console.log(JSON.stringify({ figure, ...Object.fromEntries(told), ...verdict }));
  if (given.logs === undefined) return;
  for (const name of ["data", "clone"]) {
    const from = join(root, name, "log");
    const to = join(given.logs, figure.replaceAll(/[^a-z0-9]+/gi, "-"), name);
    if (existsSync(from)) cpSync(from, to, { recursive: true });
  }
}

/** A cluster in a directory of its own. */
class Cluster {
  constructor(name) {
    this.dataDir = join(root, name);
    this.port = nextPort;
    // Its readers, instances and the status page follow from it.
    nextPort += 40;
    this.url = "";
  }

  cli(...args) {
    return run(process.execPath, [start, ...args, "--data-dir", this.dataDir]);
  }

  up() {
    const done = this.cli("up", "--detach", "--port", String(this.port), "--readers", "1");
    this.url = this.cli("url").text;
    // What the cluster's directory loses, its user still knows.
    process.env.PGPASSWORD = new URL(this.url).password || process.env.PGPASSWORD;
    return done;
  }

  sql(text) {
    return run("psql", [this.url, "-v", "ON_ERROR_STOP=1", "-qAtc", text]).text;
  }

  status() {
    return JSON.parse(this.cli("status", "--json").text);
  }

  /** The last line of a process's log with this event. */
  lastEvent(name, event) {
    const lines = readFileSync(join(this.dataDir, "log", `${name}.log`), "utf8").split("\n");
    const found = lines.findLast((line) => line.includes(`"event":"${event}"`));
    return found === undefined ? undefined : JSON.parse(found);
  }

  killAll() {
    const report = this.status();
    const file = join(this.dataDir, "control", "runtime.json");
    const { pids } = JSON.parse(readFileSync(file, "utf8"));
    const postgres = report.instances.map((one) => one.postgresPid);
    for (const pid of [report.cluster.supervisorPid, ...pids, ...postgres]) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // Gone already: the supervisor's end is theirs.
      }
    }
  }

  lose(...names) {
    for (const name of names) rmSync(join(this.dataDir, name), { recursive: true, force: true });
  }

  /** Waits until everything runs again, so that the next figure is taken of a whole cluster. */
  async settle() {
    for (;;) {
      const { instances, storage } = this.status();
      const isWhole =
        instances.every((one) => one.state === "available") &&
        storage.every((one) => one.state === "up" && one.health === "ok");
      if (isWhole) return;
      await sleep(500);
    }
  }
}

const sleep = (ms) => new Promise((resolve) => void setTimeout(resolve, ms));

/** Bytes on the disk of files under `dir` that are not also under `than`. */
function ownBytes(dir, than) {
  const known = than === undefined ? new Map() : filesUnder(than);
  let bytes = 0;
  for (const [inode, size] of filesUnder(dir)) if (!known.has(inode)) bytes += size;
  return bytes;
}

function filesUnder(dir) {
  const found = new Map();
  for (const entry of readdirSync(dir, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue;
    const { ino, blocks } = statSync(join(entry.parentPath, entry.name), { throwIfNoEntry: true });
    found.set(ino, blocks * 512);
  }
  return found;
}

const main = new Cluster("data");

function snapshot(id) {
  const { seconds } = main.cli("snapshot", "create", id);
  const taken = main.lastEvent("keeper", "snapshot.taken");
  const { mode, reason, readBytes, storedBytes, sharedBytes, tookMs } = taken;
  say(`snapshot ${id}`, { seconds, mode, reason, readBytes, storedBytes, sharedBytes, tookMs });
  return storedBytes;
}

/**
 * Until the archive has what has been acknowledged. What comes in its last seconds may be lost with all nodes (the start says
 * of how many): with that in the count, a row that is missing could be one or a fault.
 */
async function archived() {
  const now = Date.parse(main.sql("SELECT to_json(clock_timestamp())").replaceAll('"', ""));
  for (let tries = 0; tries < 120; tries++) {
    const { latestRestorableTime } = main.status().volume;
    if (Date.parse(latestRestorableTime ?? "") >= now) return;
    await sleep(500);
  }
  throw new Error("the archive has not come to the last row in a minute");
}

/**
 * Kills everything, deletes what `lose` says, and times the start, to the first row that is written. `before`: what is waited
 * for before the kill.
 */
async function comeBack(figure, lose, before = () => Promise.resolve()) {
  await main.settle();
  main.sql("INSERT INTO kept SELECT max(n) + 1 FROM kept");
  await before();
  const rowsBefore = Number(main.sql("SELECT count(*) FROM kept"));
  main.killAll();
  lose();
  const beganMs = performance.now();
  const { text } = main.up();
  main.sql("INSERT INTO kept SELECT max(n) + 1 FROM kept");
  const seconds = (performance.now() - beganMs) / 1000;
  const rows = Number(main.sql("SELECT count(*) FROM kept")) - 1;
  const { tookMs } = main.lastEvent("instance-1", "cache.hydrated") ?? {};
  const told = text.split("\n").filter((line) => /gone but|Back up to|committed after/.test(line));
  const facts = { seconds, acknowledged: rowsBefore, missing: rowsBefore - rows };
  const more = told.length > 0 ? { told } : { hydrationMs: tookMs };
  say(figure, { ...facts, ...more }, { of: "seconds", below: 15 });
}

async function measureSnapshots() {
  const full = snapshot("first");
  // A row in each hundredth page; the new ones go to the table's end.
  main.sql(
    "UPDATE pgbench_accounts SET abalance = 1 WHERE (aid - 1) / 61 % 100 = 3 AND (aid - 1) % 61 = 5",
  );
  const small = snapshot("second");
  const percent = (100 * small) / full;
  say("incremental snapshot, 1 % of the pages changed", { percent }, { of: "percent", below: 5 });
}

async function measureClone() {
  await main.settle();
  const parentBytes = ownBytes(join(main.dataDir, "storage"), undefined);
  const clone = new Cluster("clone");
  const beganMs = performance.now();
  const { seconds: commandSeconds } = main.cli(
    "clone",
    "--into",
    clone.dataDir,
    "--port",
    String(clone.port),
    "--readers",
    "1",
  );
  const ownAtFirst = ["storage", "objects"].map((name) =>
    ownBytes(join(clone.dataDir, name), join(main.dataDir, name)),
  );
  const lookedMs = performance.now();
  clone.url = clone.cli("url").text;
  clone.sql("INSERT INTO kept SELECT max(n) + 1 FROM kept");
  const seconds = commandSeconds + (performance.now() - lookedMs) / 1000;
  const wall = (performance.now() - beganMs) / 1000;
  say("clone, to the first row", { seconds, commandSeconds, wall }, { of: "seconds", below: 10 });
  const bytes = ownAtFirst[0] + ownAtFirst[1];
  const percent = (100 * bytes) / parentBytes;
  say("clone, bytes in storage", { bytes, parentBytes, percent }, { of: "percent", below: 1 });
  clone.cli("delete", "--force", "--yes");
}

const balances =
  "SELECT (SELECT sum(hashint8((aid::bigint << 32) + abalance)::bigint) FROM pgbench_accounts), " +
  "(SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(tbalance) FROM pgbench_tellers), " +
  "(SELECT sum(bbalance) FROM pgbench_branches), (SELECT count(*) FROM pgbench_history)";

async function measureBacktrack() {
  await main.settle();
  run("pgbench", ["-n", "-c", "8", "-T", "20", main.url]);
  const before = main.sql(balances);
  await sleep(1500);
  const moment = main.sql('SELECT to_char(clock_timestamp(), \'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\')');
  await sleep(1500);
  const seconds = Math.round(Number(given.minutes) * 60);
  const args = ["-n", "-c", "8", "-T", String(seconds), main.url];
  const bench = spawn("pgbench", args, { stdio: ["ignore", "pipe", "ignore"] });
  let report = "";
  bench.stdout.on("data", (chunk) => (report += String(chunk)));
  await once(bench, "close");
  const undone = Number(/transactions actually processed: (\d+)/.exec(report)?.[1] ?? 0);
  const beganMs = performance.now();
  const job = spawn(
    process.execPath,
    [start, "backtrack", "--to", moment, "--json", "--data-dir", main.dataDir],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  let text = "";
  let firstRowSeconds;
  job.stdout.on("data", (chunk) => (text += String(chunk)));
  job.stderr.on("data", (chunk) => {
    // What is left to be done needs nobody to wait.
    if (firstRowSeconds !== undefined || !String(chunk).includes("counting")) return;
    main.sql("INSERT INTO kept SELECT max(n) + 1 FROM kept");
    firstRowSeconds = (performance.now() - beganMs) / 1000;
  });
  await once(job, "close");
  const tookSeconds = (performance.now() - beganMs) / 1000;
  const { done, undone: said } = JSON.parse(text);
  const isEqual = main.sql(balances) === before;
  const facts = {
    seconds: firstRowSeconds ?? tookSeconds,
    commandSeconds: tookSeconds,
    heldMs: done.heldMs,
    isEqual,
    undone,
    said: said.transactions,
    benchSeconds: seconds,
  };
  say("backtrack, to the first row", facts, { of: "seconds", below: 15 });
}

const everything = (cluster) => {
  const kept = new Set(["objects", "keys"]);
  return readdirSync(cluster.dataDir).filter((name) => !kept.has(name));
};

try {
  main.up();
  const { scale } = given;
  const { seconds } = run("pgbench", ["-i", "-q", "-s", scale, main.url]);
  const bytes = Number(main.sql("SELECT sum(pg_database_size(oid)) FROM pg_database"));
  say("pgbench -i", { scale: Number(scale), seconds, bytes });
  main.sql("CREATE TABLE kept AS SELECT generate_series(1, 1000) n");
  if (wanted.has("snapshots")) await measureSnapshots();
  else main.cli("snapshot", "create", "first");
  if (wanted.has("instances"))
    await comeBack("up after kill -9, without instances/", () => main.lose("instances"));
  if (wanted.has("nodes"))
    await comeBack("up after kill -9, without instances/ and two storage nodes", () =>
      main.lose("instances", "storage/az1-full", "storage/az2-tail"),
    );
  if (wanted.has("clone")) await measureClone();
  if (wanted.has("backtrack")) await measureBacktrack();
  if (wanted.has("loss"))
    await comeBack(
      "up with the object store and keys/ alone",
      () => main.lose(...everything(main)),
      archived,
    );
} finally {
  for (const name of ["data", "clone"])
    spawnSync(process.execPath, [start, "down", "--data-dir", join(root, name)]);
  rmSync(root, { recursive: true, force: true });
}
