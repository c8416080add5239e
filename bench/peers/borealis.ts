/** Borealis itself, as a user starts it: default settings, no readers. */
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
  /** Beside "ours": what differs from the defaults, as `up --set` takes it. */
  readonly variant?: { readonly name: string; readonly set: string };
}

export async function startBorealis(ground: Ground, plan: BorealisPlan): Promise<Contender> {
  const { name, set } = plan.variant ?? { name: "ours" };
  const home = join(ground.dir, `borealis-${name}`);
  mkdirSync(home, { recursive: true, mode: 0o755 });
  const port = await freePort([0, 1, 11, 3000]);
  const logFile = join(home, "up.log");
  const options = ["--data-dir", join(home, "data"), "--port", String(port), "--readers", "0"];
  const engine = plan.postgresBin === undefined ? [] : ["--postgres-bin", plan.postgresBin];
  const changed = set === undefined ? [] : ["--set", set];
  const supervisor = new Child({
    what: "borealis up",
    program: process.execPath,
    args: [join(root, "scripts", "start.mjs"), "up", ...options, ...engine, ...changed],
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
    settings: [
      `Borealis, PostgreSQL ${version}, six storage nodes, 4 of 6, ${set ?? "default settings"}`,
      "--readers 0, through the writer endpoint, without TLS",
    ],
    pids: () => [supervisor.pid],
  };
}
