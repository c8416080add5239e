// What snapshots cost and give, with pgbench's tables: `node scripts/measure-snapshots.mjs [SCALE]` (70: about 1 GB). Needs
// pgbench and psql on the PATH. Kills a whole cluster of its own, deletes its instances, and times its next start.
import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const scale = Number(process.argv[2] ?? 70);
const port = 10_000 + Math.floor(Math.random() * 17_000);
const start = fileURLToPath(new URL("start.mjs", import.meta.url));
const root = mkdtempSync(join(tmpdir(), "borealis-measure-"));
chmodSync(root, 0o755);
const dataDir = join(root, "data");

function run(command, args) {
  const beganMs = performance.now();
  const { status, stdout, stderr } = spawnSync(command, args, {
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${stderr}${stdout}`);
  return { text: stdout.trim(), seconds: (performance.now() - beganMs) / 1000 };
}
const borealis = (...args) => run(process.execPath, [start, ...args, "--data-dir", dataDir]);
const up = () => borealis("up", "--detach", "--port", String(port), "--readers", "1");
const sql = (text) => run("psql", [url, "-qAtc", text]);
const say = (what, facts) => console.log(`${what}: ${JSON.stringify(facts)}`);

/** The last line of a process's log with this event. */
function lastEvent(name, event) {
  const lines = readFileSync(join(dataDir, "log", `${name}.log`), "utf8").split("\n");
  const found = lines.findLast((line) => line.includes(`"event":"${event}"`));
  return found === undefined ? undefined : JSON.parse(found);
}

function snapshot(id) {
  const { seconds } = borealis("snapshot", "create", id);
  const { mode, reason, readBytes, storedBytes, sharedBytes, tookMs } = lastEvent(
    "keeper",
    "snapshot.taken",
  );
  say(`snapshot ${id}`, { seconds, mode, reason, readBytes, storedBytes, sharedBytes, tookMs });
  return storedBytes;
}

let url = "";
function killAll() {
  const report = JSON.parse(borealis("status", "--json").text);
  const { pids } = JSON.parse(readFileSync(join(dataDir, "control", "runtime.json"), "utf8"));
  const postgres = report.instances.map((one) => one.postgresPid);
  for (const pid of [report.cluster.supervisorPid, ...pids, ...postgres]) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // Gone already: the supervisor's end is theirs.
    }
  }
}

try {
  up();
  url = borealis("url").text;
  say("pgbench -i", {
    scale,
    seconds: run("pgbench", ["-i", "-q", "-s", String(scale), url]).seconds,
  });
  say("size", { bytes: Number(sql("SELECT sum(pg_database_size(oid)) FROM pg_database").text) });
  const full = snapshot("first");
  // A row in each hundredth page; the new ones go to the table's end.
  sql(
    "UPDATE pgbench_accounts SET abalance = 1 WHERE (aid - 1) / 61 % 100 = 3 AND (aid - 1) % 61 = 5",
  );
  const small = snapshot("second");
  say("second to first", { percent: (100 * small) / full });
  sql("CREATE TABLE kept AS SELECT generate_series(1, 1000) n");
  killAll();
  rmSync(join(dataDir, "instances"), { recursive: true, force: true });
  const beganMs = performance.now();
  up();
  sql("INSERT INTO kept VALUES (0)");
  say("up after kill -9 of everything and without instances/", {
    seconds: (performance.now() - beganMs) / 1000,
    rows: Number(sql("SELECT count(*) FROM kept").text),
    accounts: Number(sql("SELECT count(*) FROM pgbench_accounts").text),
    hydrated: lastEvent("instance-1", "cache.hydrated"),
  });
} finally {
  spawnSync(process.execPath, [start, "down", "--data-dir", dataDir]);
  rmSync(root, { recursive: true, force: true });
}
