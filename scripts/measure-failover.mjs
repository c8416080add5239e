// How long nobody can write when the writer's PostgreSQL dies: `node scripts/measure-failover.mjs [ROUNDS] [SIGNAL]` (10,
// SIGKILL). One client writes as fast as it is answered and reconnects when it is not. Prints each round from the signal
// to the next acknowledged write that was sent after it, then p50 and the slowest, and the log lines of the round nearest
// to p50. A cluster of its own, with two readers; run it on a quiet machine, and say how quiet it was.
import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import pg from "pg";

const rounds = Number(process.argv[2] ?? 10);
const signal = process.argv[3] ?? "SIGKILL";
const port = 10_000 + Math.floor(Math.random() * 17_000);
const start = fileURLToPath(new URL("start.mjs", import.meta.url));
const root = mkdtempSync(join(tmpdir(), "borealis-measure-"));
chmodSync(root, 0o755);
const dataDir = join(root, "data");
const args = [`--data-dir=${dataDir}`, `--port=${port}`, "--readers=2", "--password=measured"];
const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const up = spawn(process.execPath, [start, "up", ...args], {
  stdio: ["ignore", "pipe", "inherit"],
});
const gone = new Promise((resolve) => up.once("exit", resolve));
async function end(code) {
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

const { connectRpc } = await import("../dist/io/index.js");
const { layoutOf, runtimeDirOf } = await import("../dist/cluster/index.js");
const { controlSocket } = layoutOf(dataDir, runtimeDirOf(tmpdir(), process.getuid(), dataDir));
const control = await connectRpc({ kind: "unix", path: controlSocket }, { timeoutMs: 2_000 });

async function settled() {
  for (;;) {
    const status = await control.call("status", {}, { timeoutMs: 10_000 });
    const isWhole = status.instances.every((row) => row.state === "available");
    if (status.cluster.state === "available" && isWhole) return status;
    await delay(100);
  }
}

async function connect() {
  const connectionString = `postgresql://postgres:measured@127.0.0.1:${port}/postgres`;
  const client = new pg.Client({ connectionString });
  client.on("error", () => undefined);
  await client.connect();
  return client;
}

let isStopping = false;
/** Told of each acknowledged write: when it was sent, and when it was acknowledged. */
let onAcknowledged = () => undefined;
async function write() {
  let client;
  for (let n = 0; !isStopping; n++) {
    try {
      client ??= await connect();
      const sentMs = performance.now();
      await client.query("INSERT INTO written VALUES ($1)", [n]);
      onAcknowledged(sentMs, performance.now());
      await delay(2);
    } catch {
      client?.end().catch(() => undefined);
      client = undefined;
      await delay(1);
    }
  }
  await client?.end();
}

const first = await connect();
await first.query("CREATE TABLE written (n int)");
await first.end();
const writing = write();
const measured = [];
for (let round = 0; round < rounds; round++) {
  const { instances, cluster } = await settled();
  await delay(1_500);
  const { postgresPid } = instances.find((row) => row.id === cluster.writer);
  const [beganMs, beganAt] = [performance.now(), Date.now()];
  // One that was under way may still be answered: what counts was sent when nobody was there.
  const tookMs = new Promise((resolve) => {
    onAcknowledged = (sentMs, doneMs) => {
      if (sentMs > beganMs + 3 || doneMs > beganMs + 30) resolve(doneMs - beganMs);
    };
  });
  process.kill(postgresPid, signal);
  measured.push({ ms: await tookMs, beganAt });
  console.log(`${round + 1}: ${Math.round(measured.at(-1).ms)} ms from ${cluster.writer}`);
}
isStopping = true;
await writing;
control.close();
const sorted = measured.toSorted((a, b) => a.ms - b.ms);
const middle = sorted[Math.floor((sorted.length - 1) / 2)];
const load = loadavg().map((one) => one.toFixed(1));
console.log(
  `p50 ${Math.round(middle.ms)} ms, slowest ${Math.round(sorted.at(-1).ms)} ms, load ${load.join(" ")}`,
);

/** What every process logged from the signal to the acknowledged write. */
function timeline({ beganAt, ms }) {
  const names = [
    "control-plane",
    "proxy",
    ...[1, 2, 3].flatMap((k) => [`instance-${k}`, `instance-${k}-driver`]),
  ];
  const lines = names.flatMap((name) => {
    const file = join(dataDir, "log", `${name}.log`);
    if (!existsSync(file)) return [];
    return readFileSync(file, "utf8")
      .trim()
      .split("\n")
      .map((line) => ({ ...JSON.parse(line), name }));
  });
  return lines
    .map(({ time, event, name }) => ({ at: new Date(time).getTime() - beganAt, event, name }))
    .filter(({ at }) => at >= 0 && at <= ms + 50)
    .toSorted((a, b) => a.at - b.at);
}
for (const { at, name, event } of timeline(middle)) {
  console.log(`${String(at).padStart(6)}  ${name.padEnd(18)} ${event}`);
}
await end(0);
