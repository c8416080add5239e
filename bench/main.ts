/**
 * `npm run bench -- NAME`: one benchmark beside its peers in the same run, on this machine, now. Peers are real
 * processes on free ports in a temporary directory; nothing of them is left when it ends, however it ends.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { messageOf } from "../src/base/errors.ts";
import { chooseOsUser, type Engine, findEngine, type OsUser } from "../src/engine/index.ts";
import { choose, type Outcome, type Result, runAll } from "./all.ts";
import { backtrack } from "./backtrack.ts";
import type { Bench, Plan } from "./bench.ts";
import { boot } from "./boot.ts";
import { bulk } from "./bulk.ts";
import { Cleanup } from "./cleanup.ts";
import { clone } from "./clone.ts";
import { commit } from "./commit.ts";
import { connect } from "./connect.ts";
import type { Ground, Named } from "./contender.ts";
import { encryption } from "./encryption.ts";
import { failover } from "./failover.ts";
import { hydrate } from "./hydrate.ts";
import { findProgram, majorOf, requireProgram, versionOf } from "./installed.ts";
import { lag } from "./lag.ts";
import { describeMachine } from "./machine.ts";
import { memory } from "./memory.ts";
import { type BenchOptions, parseOptions, usage } from "./options.ts";
import { root } from "./peers/borealis.ts";
import { installedPgbouncer } from "./peers/pgbouncer.ts";
import { formatRows, formatTable } from "./report.ts";
import { scale } from "./scale.ts";
import { select } from "./select.ts";
import { snapshot } from "./snapshot.ts";

const benches: Readonly<Record<string, Bench>> = {
  commit,
  bulk,
  connect,
  encryption,
  failover,
  lag,
  memory,
  scale,
  select,
  snapshot,
  hydrate,
  clone,
  backtrack,
  boot,
};

/** Runs what `argv` says; the exit code. */
export async function main(argv: string[]): Promise<number> {
  let options: BenchOptions;
  try {
    options = parseOptions(argv);
  } catch (error) {
    console.error(`${messageOf(error)}\n\n${usage}`);
    return 2;
  }
  const { name } = options;
  if (name === undefined || (name !== "all" && !benches[name])) {
    if (name !== undefined) console.error(`there is no benchmark "${name}"`);
    const names = Object.entries(benches).map(([key, { what }]) => `  ${key.padEnd(11)} ${what}`);
    const all = `  ${"all".padEnd(11)} each of them, in 40 minutes at most`;
    console.log(`${usage}\n\nbenchmarks:\n${[...names, all].join("\n")}`);
    return name === undefined ? 0 : 2;
  }
  const stop = new AbortController();
  const onSignal = (signal: string): void => stop.abort(new Error(`stopped by ${signal}`));
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, onSignal);
  try {
    return await (name === "all" ? runEach : runOne)(options, { argv, signal: stop.signal });
  } catch (error) {
    console.error(messageOf(error));
    return 1;
  } finally {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.off(signal, onSignal);
  }
}

interface Run {
  readonly argv: readonly string[];
  readonly signal: AbortSignal;
}

async function runOne(options: BenchOptions, { signal }: Run): Promise<number> {
  const { name = "", json } = options;
  const date = new Date().toISOString();
  const { machine, rows } = await runBench(name, options, signal);
  if (json !== undefined) writeJson(json, { name, machine, date, rows });
  return 0;
}

/** All of them; a file after each. Fails if one of them did. */
async function runEach(options: BenchOptions, { argv, signal }: Run): Promise<number> {
  const { json, minutes, isQuick } = options;
  const date = new Date().toISOString();
  const beganMs = performance.now();
  const place = options.dir ?? tmpdir();
  mkdirSync(place, { recursive: true });
  const machine = describeMachine(place);
  const given = argv.filter((argument) => argument !== "all");
  const file = (benchesSoFar: readonly Outcome[]): object => {
    const tookSeconds = Math.round((performance.now() - beganMs) / 1000);
    return { name: "all", machine, date, versions: versions(), tookSeconds, benches: benchesSoFar };
  };
  const outcomes = await runAll(choose(options.benches), {
    async run({ name, args }, until) {
      const own = parseOptions([name, ...(isQuick ? [] : args), ...given]);
      console.log(`\n== ${name} (${own.rounds} rounds of ${own.seconds} s)`);
      const { postgres, rows, notes } = await runBench(name, own, until);
      return { postgres, rows, notes };
    },
    deadline: AbortSignal.timeout(minutes * 60_000),
    signal,
    onOutcome(soFar) {
      const last = soFar.at(-1);
      if (last) console.log(`${last.name}: ${"error" in last ? last.error : "done"}`);
      if (json !== undefined) writeJson(json, file(soFar));
    },
  });
  const lines = outcomes.map((one) => [
    one.name,
    String(one.tookSeconds),
    "error" in one ? (one.error.split("\n")[0] ?? "") : `${one.rows.length} rows`,
  ]);
  console.log(`\n${formatTable(["benchmark", "seconds", "result"], lines)}`);
  console.log(`${((performance.now() - beganMs) / 60_000).toFixed(1)} minutes in all`);
  signal.throwIfAborted();
  return outcomes.some((one) => "error" in one) ? 1 : 0;
}

/** What was measured, and with what. */
function versions(): Record<string, string> {
  const pgbouncer = installedPgbouncer();
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    version: string;
  };
  return {
    borealis: version,
    node: process.version,
    pgbench: versionOf(requireProgram("pgbench")),
    ...(pgbouncer === undefined ? {} : { pgbouncer: versionOf(pgbouncer) }),
  };
}

async function runBench(
  name: string,
  options: BenchOptions,
  signal: AbortSignal,
): Promise<Result & { machine: string }> {
  const cleanup = new Cleanup();
  try {
    return await runOn(cleanup, { name, options, signal });
  } finally {
    await cleanup.run();
  }
}

async function runOn(
  cleanup: Cleanup,
  { name, options, signal }: { name: string; options: BenchOptions; signal: AbortSignal },
): Promise<Result & { machine: string }> {
  const bench = benches[name];
  if (!bench) throw new Error(`there is no benchmark "${name}"`);
  const dir = makeDir(options.dir, cleanup);
  const machine = describeMachine(dir);
  const user = await chooseOsUser();
  const { engine, postgresBin, clientProgram } = await chooseEngine(bench, options, user);
  const pgbench = requireProgram("pgbench");
  const tools = { pgbench, psql: requireProgram("psql"), signal };
  const ground: Ground = { dir, engine, user, tools, cleanup, signal };
  const notes: string[] = [];
  const startAll = <C extends Named>(plans: readonly Plan<C>[]): Promise<C[]> =>
    startWanted(plans, options);
  console.log(`${machine}\npgbench ${majorOf(pgbench)}, every run ${options.seconds} s`);
  const note = (text: string): void => void notes.push(text);
  const rows = await bench.run({ ground, options, postgresBin, clientProgram, startAll, note });
  if (rows.length > 0) {
    console.log(formatRows(rows));
    console.log("ratio = ours / peer, the median of the rounds; min and max are of its rounds");
  }
  for (const text of notes) console.log(text);
  return { machine, postgres: engine.version, rows, notes };
}

async function startWanted<C extends Named>(
  plans: readonly Plan<C>[],
  options: BenchOptions,
): Promise<C[]> {
  const names = plans.map((plan) => plan.name);
  const unknown = options.peers?.find((name) => !names.includes(name));
  if (unknown !== undefined)
    throw new Error(`--peers: "${unknown}" is none of ${names.join(", ")}`);
  const contenders: C[] = [];
  for (const { name, isExtra, start } of plans) {
    if (options.peers ? !options.peers.includes(name) : isExtra) continue;
    const contender = await start();
    console.log(`${name}: ${contender.settings.join("; ")}`);
    contenders.push(contender);
  }
  return contenders;
}

interface ChosenEngine {
  readonly engine: Engine;
  /** For Borealis; undefined: its own default, which is the same engine then. */
  readonly postgresBin: string | undefined;
  readonly clientProgram: string | undefined;
}

/** One engine for all contenders: the user's, else the embedded one, else one that the client program can talk to. */
async function chooseEngine(
  bench: Bench,
  options: BenchOptions,
  user: OsUser | undefined,
): Promise<ChosenEngine> {
  const wanted = options.postgresBin;
  const chosen = await findEngine({ postgresBin: wanted, runnableBy: user });
  const program = bench.needs === undefined ? undefined : findProgram(bench.needs);
  const withChosen = { engine: chosen, postgresBin: wanted };
  if (program === undefined) return { ...withChosen, clientProgram: undefined };
  if (majorOf(program) >= chosen.major) return { ...withChosen, clientProgram: program };
  const beside = dirname(program);
  if (wanted !== undefined || !existsSync(join(beside, "postgres"))) {
    return { ...withChosen, clientProgram: undefined };
  }
  console.log(
    `${bench.needs} ${majorOf(program)} refuses PostgreSQL ${chosen.version}: every contender runs on ${beside}`,
  );
  const engine = await findEngine({ postgresBin: beside, runnableBy: user });
  return { engine, postgresBin: beside, clientProgram: program };
}

/** A new directory that the engine's user may pass through; removed at the end. */
function makeDir(parent: string | undefined, cleanup: Cleanup): string {
  if (parent !== undefined) mkdirSync(parent, { recursive: true });
  const dir = mkdtempSync(join(parent ?? tmpdir(), "borealis-bench-"));
  chmodSync(dir, 0o755);
  cleanup.add(dir, () => {
    rmSync(dir, { recursive: true, force: true });
    return Promise.resolve();
  });
  return dir;
}

function writeJson(file: string, result: object): void {
  writeFileSync(file, `${JSON.stringify(result, null, 2)}\n`);
  console.log(`written to ${file}`);
}
