/** Borealis itself, as a user starts it: default settings, and no readers unless a benchmark is about them. */
import { mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { StatusReport } from "../../src/cluster/index.ts";
import { readReport } from "../../src/main/commands.ts";
import { Child, runToEnd } from "../child.ts";
import type { Contender, Ground } from "../contender.ts";
import { freePort } from "../machine.ts";
import { sql, type Target } from "../pgbench.ts";

/** This file runs as dist-tools/bench/peers/borealis.js. */
export const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));
const start = join(root, "scripts", "start.mjs");
export const password = "bench-password";

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

/** A cluster's directory and ports. It may run or not. */
export interface BorealisPlace {
  readonly dataDir: string;
  readonly target: Target;
  /** The reader endpoint; the writer behind it if there are no readers. */
  readonly reader: Target;
  /** Of each instance by itself. */
  readonly instances: readonly Target[];
  /** `borealis up`, as our child: who waits for more than the process asks it, or untilReady. */
  readonly launch: () => Child;
  /** Until the `up` that was launched last says that it is ready. */
  readonly untilReady: () => Promise<void>;
  /** Until every instance takes sessions; how all is then. */
  readonly settle: () => Promise<StatusReport>;
  /** Raises with the end of its log if the `up` that was launched last has ended. */
  readonly requireAlive: () => void;
  /** In order; returns when nothing of it runs. */
  readonly stop: () => Promise<void>;
  /** `borealis COMMAND ...` for this cluster, to its end; what it printed. */
  readonly cli: (...args: string[]) => Promise<string>;
  readonly pids: () => readonly number[];
}

export interface BorealisContender extends Contender, BorealisPlace {
  readonly target: Target;
  readonly pids: () => readonly number[];
}

/** A place for a cluster: nothing is there yet, nothing runs. */
export async function placeBorealis(ground: Ground, plan: BorealisPlan): Promise<BorealisPlace> {
  const { name = "ours", readers = 0 } = plan;
  const home = join(ground.dir, `borealis-${name}`);
  mkdirSync(home, { recursive: true, mode: 0o755 });
  // One more than it has: a benchmark may add it.
  const instancePorts = Array.from({ length: readers + 2 }, (_, k) => 11 + k);
  const port = await freePort([0, 1, ...instancePorts, 3000]);
  const dataDir = join(home, "data");
  const target: Target = { host: "127.0.0.1", port, user: "postgres", password };
  const at = (offset: number): Target => ({ ...target, port: port + offset });
  let supervisor: Child | undefined;
  let launches = 0;
  const logFile = (): string => join(home, `up-${launches}.log`);
  const isReady = (): Promise<boolean> =>
    Promise.resolve(/^Borealis is ready/m.test(readFileSync(logFile(), "utf8")));
  ground.cleanup.add(`borealis ${name}`, () => stopChild(supervisor));
  return {
    dataDir,
    target,
    reader: at(1),
    instances: instancePorts.slice(0, -1).map(at),
    launch() {
      launches++;
      supervisor = upOf(plan, { dataDir, port, readers, logFile: logFile() });
      return supervisor;
    },
    untilReady: async () => supervisor?.untilReady(isReady, 180_000, ground.signal),
    async settle() {
      for (;;) {
        ground.signal.throwIfAborted();
        const report = await readReport({ dataDir });
        const isWhole = report.instances.every(({ state }) => state === "available");
        if (report.cluster.state === "available" && isWhole) return report;
        await pause(200);
      }
    },
    requireAlive: () => supervisor?.requireAlive(),
    stop: () => stopChild(supervisor),
    cli: (...args) =>
      runToEnd({
        program: process.execPath,
        args: [start, ...args, "--data-dir", dataDir],
        signal: ground.signal,
      }),
    pids: () => (supervisor ? [supervisor.pid] : []),
  };
}

/** A new cluster that is ready. */
export async function startBorealis(
  ground: Ground,
  plan: BorealisPlan,
): Promise<BorealisContender> {
  const { name = "ours", settings = [], readers = 0 } = plan;
  const place = await placeBorealis(ground, plan);
  place.launch();
  await place.untilReady();
  const version = await sql(ground.tools, place.target, "SHOW server_version");
  return {
    ...place,
    name,
    settings: [
      `Borealis, PostgreSQL ${version}, six storage nodes, 4 of 6, ${settings.join(", ") || "default settings"}`,
      `--readers ${readers}, through the writer endpoint`,
    ],
  };
}

function upOf(
  { postgresBin, settings = [] }: BorealisPlan,
  at: { dataDir: string; port: number; readers: number; logFile: string },
): Child {
  const { dataDir, port, readers, logFile } = at;
  const options = ["--data-dir", dataDir, "--port", String(port), "--readers", String(readers)];
  const engine = postgresBin === undefined ? [] : ["--postgres-bin", postgresBin];
  const chosen = settings.flatMap((setting) => ["--set", setting]);
  return new Child({
    what: "borealis up",
    program: process.execPath,
    args: [start, "up", ...options, ...engine, ...chosen],
    logFile,
    env: { BOREALIS_PASSWORD: password },
    stopSignal: "SIGTERM",
  });
}

async function stopChild(supervisor: Child | undefined): Promise<void> {
  await supervisor?.stop(60_000);
}
