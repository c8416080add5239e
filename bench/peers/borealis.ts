/** Borealis itself, as a user starts it: default settings, and no readers unless a benchmark is about them. */
import { mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Child } from "../child.ts";
import type { Contender, Ground } from "../contender.ts";
import { freePort } from "../machine.ts";
import { sql, type Target } from "../pgbench.ts";

/** This file runs as dist-tools/bench/peers/borealis.js. */
const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));
const password = "bench-password";

export interface BorealisPlan {
  /** The engine's directory; the embedded one if undefined. */
  readonly postgresBin: string | undefined;
  /** In tables; "ours" unless told. */
  readonly name?: string;
  /** KEY=VALUE, what differs from the defaults. */
  readonly settings?: readonly string[];
  /** 0 unless told. */
  readonly readers?: number;
}

export interface BorealisContender extends Contender {
  readonly dataDir: string;
  /** The reader endpoint; the writer behind it if there are no readers. */
  readonly reader: Target;
}

export async function startBorealis(
  ground: Ground,
  plan: BorealisPlan,
): Promise<BorealisContender> {
  const { name = "ours", settings = [], readers = 0 } = plan;
  const home = join(ground.dir, `borealis-${name}`);
  mkdirSync(home, { recursive: true, mode: 0o755 });
  const instances = Array.from({ length: readers + 1 }, (_, k) => 11 + k);
  const port = await freePort([0, 1, ...instances, 3000]);
  const dataDir = join(home, "data");
  const logFile = join(home, "up.log");
  const options = ["--data-dir", dataDir, "--port", String(port), "--readers", String(readers)];
  const engine = plan.postgresBin === undefined ? [] : ["--postgres-bin", plan.postgresBin];
  const chosen = settings.flatMap((setting) => ["--set", setting]);
  const supervisor = new Child({
    what: "borealis up",
    program: process.execPath,
    args: [join(root, "scripts", "start.mjs"), "up", ...options, ...engine, ...chosen],
    logFile,
    env: { BOREALIS_PASSWORD: password },
    stopSignal: "SIGTERM",
  });
  ground.cleanup.add(`borealis ${name}`, () => supervisor.stop(60_000));
  const isReady = (): Promise<boolean> =>
    Promise.resolve(/^Borealis is ready/m.test(readFileSync(logFile, "utf8")));
  await supervisor.untilReady(isReady, 180_000, ground.signal);
  const target: Target = { host: "127.0.0.1", port, user: "postgres", password };
  const version = await sql(ground.tools, target, "SHOW server_version");
  return {
    name,
    target,
    dataDir,
    reader: { ...target, port: port + 1 },
    settings: [
      `Borealis, PostgreSQL ${version}, six storage nodes, 4 of 6, ${settings.join(", ") || "default settings"}`,
      `--readers ${readers}, through the writer endpoint, without TLS`,
    ],
    pids: () => [supervisor.pid],
  };
}
