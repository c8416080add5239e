// What an idle client costs the endpoints where sessions share server connections: `node scripts/measure-pool.mjs [CLIENTS]
// [SERVERS] [off|require]` (5000, 50, TLS off). Prints the proxy's resident memory before, with all clients logged in, after
// each of them has run a transaction with a setting and a prepared statement of its own, and after half a minute of rest;
// how many server connections there were; and how long a statement took while all others were idle. A cluster of its own.
import { spawn } from "node:child_process";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import pg from "pg";

const clientCount = Number(process.argv[2] ?? 5_000);
const serverCount = Number(process.argv[3] ?? 50);
const tls = process.argv[4] ?? "off";
/** What an instance takes for users; see engine/settings.ts. */
const connectionsOfInstance = 290;
const percent = Math.floor((serverCount / connectionsOfInstance) * 100);
const batch = 100;
const port = 10_000 + Math.floor(Math.random() * 17_000);
const start = fileURLToPath(new URL("start.mjs", import.meta.url));
const root = mkdtempSync(join(tmpdir(), "borealis-measure-"));
chmodSync(root, 0o755);
const args = [
  `--data-dir=${join(root, "data")}`,
  `--port=${port}`,
  "--readers=0",
  "--password=measured",
  `--tls=${tls}`,
  "--set=pool.mode=auto",
  `--set=pool.maxConnectionsPercent=${percent}`,
];
const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const up = spawn(process.execPath, [start, "up", ...args], {
  stdio: ["ignore", "pipe", "inherit"],
});
const gone = new Promise((resolve) => up.once("exit", resolve));
let isOver = false;
async function end(code) {
  isOver = true;
  up.kill("SIGINT");
  await gone;
  rmSync(root, { recursive: true, force: true });
  process.exit(code);
}
for (const name of ["SIGINT", "SIGTERM"]) process.once(name, () => void end(1));
await new Promise((resolve, reject) => {
  let output = "";
  up.stdout.on("data", (chunk) => {
    output += String(chunk);
    if (output.includes("Borealis is ready")) resolve();
  });
  void gone.then((code) => reject(new Error(`up ended with ${code}: ${output}`)));
});

/** The proxy among the supervisor's children. */
function proxyPid() {
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const parent = /^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
      const line = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      const isOurs = parent !== undefined && isUnder(Number(parent), up.pid);
      if (isOurs && /proxy/.test(line)) return Number(pid);
    } catch {
      // it has ended meanwhile
    }
  }
  throw new Error("no proxy");
}
function isUnder(pid, ancestor) {
  for (let at = pid; at > 1;) {
    if (at === ancestor) return true;
    at = Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${at}/status`, "utf8"))?.[1] ?? 0);
  }
  return false;
}
const pid = proxyPid();
const residentKiB = () =>
  Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);

async function connect() {
  const client = new pg.Client({
    host: "127.0.0.1",
    port,
    user: "postgres",
    password: "measured",
    database: "postgres",
    ssl: tls === "require" ? { rejectUnauthorized: false } : false,
  });
  client.on("error", (error) => {
    if (!isOver) console.error(`a client was told: ${error.message}`);
  });
  await client.connect();
  return client;
}
async function inBatches(items, run) {
  const results = [];
  for (let at = 0; at < items.length; at += batch)
    results.push(...(await Promise.all(items.slice(at, at + batch).map(run))));
  return results;
}
const numbers = (count) => Array.from({ length: count }, (_, index) => index);
async function use(client, index) {
  await client.query(`set work_mem = '${4 + (index % 4)}MB'`);
  await client.query("begin");
  await client.query({ name: "one", text: "select $1::int + 1 as n", values: [index] });
  await client.query("commit");
}

// Code, caches and buffers that do not depend on the number of clients.
const warm = await inBatches(numbers(200), connect);
await inBatches(warm, (client) => use(client, warm.indexOf(client)));
await Promise.all(warm.map((client) => client.end()));
await delay(10_000);
const before = residentKiB();
const report = (what) => {
  const now = residentKiB();
  const each = ((now - before) / clientCount).toFixed(1);
  console.log(`${what}: ${(now / 1024).toFixed(1)} MiB resident, ${each} KiB a client`);
};
console.log(`before: ${(before / 1024).toFixed(1)} MiB resident`);
const clients = await inBatches(numbers(clientCount), connect);
report(`${clientCount} clients logged in`);
await inBatches(numbers(clientCount), (index) => use(clients[index], index));
report("each has run a transaction");
await delay(30_000);
report("after 30 s of rest");
const { rows } = await clients[0].query(
  "select count(*)::int as n from pg_stat_activity where backend_type = 'client backend' and usename = 'postgres'",
);
const times = [];
for (let round = 0; round < 200; round++) {
  const from = performance.now();
  await clients[(round * 37) % clientCount].query("select 1");
  times.push(performance.now() - from);
}
times.sort((a, b) => a - b);
console.log(`server connections: ${rows[0].n} of at most ${serverCount} asked for`);
console.log(
  `one statement, of another client each time: p50 ${times[100].toFixed(2)} ms, p99 ${times[198].toFixed(2)} ms`,
);
console.log(`load average ${loadavg()[0].toFixed(1)}, Node ${process.version}, TLS ${tls}`);
await end(0);
