/**
 * `npm run bench -- NAME`: one benchmark beside its peers in the same run, on this machine, now. Peers are real
 * processes on free ports in a temporary directory; nothing of them is left when it ends, however it ends.
 */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { messageOf } from "../src/base/errors.ts";
import { chooseOsUser, type Engine, findEngine, type OsUser } from "../src/engine/index.ts";
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
import { findProgram, majorOf, requireProgram } from "./installed.ts";
import { lag } from "./lag.ts";
import { describeMachine } from "./machine.ts";
import { memory } from "./memory.ts";
import { type BenchOptions, parseOptions, usage } from "./options.ts";
import { formatRows, type Row } from "./report.ts";
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
  const bench = benches[options.name ?? ""];
  if (!bench || options.name === undefined) {
    if (options.name !== undefined) console.error(`there is no benchmark "${options.name}"`);
    const names = Object.entries(benches).map(([name, { what }]) => `  ${name.padEnd(11)} ${what}`);
    console.log(`${usage}\n\nbenchmarks:\n${names.join("\n")}`);
    return options.name === undefined ? 0 : 2;
  }
  const cleanup = new Cleanup();
  const stop = new AbortController();
  const onSignal = (name: string): void => stop.abort(new Error(`stopped by ${name}`));
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, onSignal);
  try {
    await runBench({ name: options.name, bench, options, cleanup, signal: stop.signal });
    return 0;
  } catch (error) {
    console.error(messageOf(error));
    return 1;
  } finally {
    await cleanup.run();
    for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.off(name, onSignal);
  }
}

async function runBench(run: {
  name: string;
  bench: Bench;
  options: BenchOptions;
  cleanup: Cleanup;
  signal: AbortSignal;
}): Promise<void> {
  const { name, bench, options, cleanup, signal } = run;
  const dir = makeDir(options.dir, cleanup);
  const machine = describeMachine(dir);
  const date = new Date().toISOString();
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
  if (options.json !== undefined) writeJson(options.json, { name, machine, date, rows });
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

function writeJson(
  file: string,
  result: { name: string; machine: string; date: string; rows: readonly Row[] },
): void {
  writeFileSync(file, `${JSON.stringify(result, null, 2)}\n`);
  console.log(`written to ${file}`);
}
