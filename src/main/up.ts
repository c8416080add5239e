import { spawn } from "node:child_process";
import { mkdirSync, openSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { BorealisError, sqlState } from "../base/errors.ts";
import { connectRpc, type Logger, openLogger, realClock } from "../io/index.ts";
import {
  type ClusterState,
  type Layout,
  loopbackAddresses,
  type StatusReport,
  statusSchema,
} from "../cluster/index.ts";
import {
  childEnvironment,
  environment,
  keepOutOfCoreDumps,
  ownEnvironment,
} from "./environment.ts";
import { printBanner } from "./banner.ts";
import { BuildingWatch, watchStart } from "./building-watch.ts";
import { childPlans } from "./child-plans.ts";
import { requireWhole } from "./clone-origin.ts";
import { printJson, readPassword } from "./commands.ts";
import { resolveSettings, type Settings } from "./config.ts";
import { createCluster, openEngine } from "./create.ts";
import {
  lockDataDir,
  makeDataDir,
  newClusterBytes,
  readState,
  requireSpace,
  resolveLayout,
  resumedClusterBytes,
} from "./data-dir.ts";
import { openLinkTransport } from "./link-transport.ts";
import { objectStoreFlags, requireObjectStore } from "./object-store.ts";
import { parseUpOptions, type UpOptions } from "./options.ts";
import { requireFreePorts } from "./ports-check.ts";
import { dim, print } from "./print.ts";
import { Progress } from "./progress.ts";
import { requireNoHalfRestore } from "./restore-target.ts";
import {
  findRemembered,
  keepPassword,
  remember,
  requireSameBirth,
  withRemembered,
} from "./resume.ts";
import { noteVolume, resurrect } from "./resurrect.ts";
import { prepareRuntimeDir, Supervisor } from "./supervisor.ts";
import { VolumeKeys } from "./volume-keys.ts";
import { hasLoopbackAddresses } from "./loopback.ts";
import { makeCertificate, readCertificate, type TlsFiles } from "./tls-files.ts";
import { isRunning } from "./running.ts";
import { untilReady } from "./until-ready.ts";
import { wantedPorts } from "./wanted-ports.ts";

/**
 * `borealis up`: creates or resumes the cluster, then stays until it is told to stop. `facts`: what the command that starts it
 * has done before, for the one document that --json prints.
 */
export async function up(given: unknown, facts: Record<string, unknown> = {}): Promise<void> {
  const startedMs = performance.now();
  const parsed = parseUpOptions(withEnvironment(given));
  const layout = resolveLayout(parsed.dataDir);
  const options = withRemembered(parsed, findRemembered(layout));
  process.title = "borealis up";
  keepOutOfCoreDumps();
  if (isRunning(layout)) lockDataDir(layout); // raises: it is running
  const settingsNow = (): Settings =>
    resolveSettings({
      file: layout.configFile,
      env: environment(),
      flags: [...objectStoreFlags(options), ...options.set],
    });
  const isNew = readState(layout) === undefined;
  // Started by a start of the same command, which has told it.
  const isQuiet = process.send !== undefined;
  const { given: named } = options;
  await requireObjectStore(layout, settingsNow(), { given: named, isNew, isQuiet });
  requireWhole(layout);
  const resurrected = await resurrect({ options, layout, settings: settingsNow() });
  const told = resurrected ? { ...facts, resurrected } : facts;
  const settings = settingsNow();
  const known = readState(layout);
  requireNoHalfRestore(layout);
  if (known) requireSameBirth(options, known, readPassword(layout));
  await requireFreePorts(options.host, wantedPorts(options, known));
  if (options.detach) return detach({ options, layout, settings, startedMs, facts: told });
  makeDataDir(layout);
  const unlock = lockDataDir(layout);
  try {
    requireSpace(layout, known ? resumedClusterBytes : newClusterBytes);
    await run({ options, layout, settings, startedMs, facts: told });
  } finally {
    unlock();
  }
}

function withEnvironment(given: unknown): unknown {
  const password = environment()["BOREALIS_PASSWORD"];
  if (typeof given !== "object" || given === null || "password" in given || !password) return given;
  return { ...given, password };
}

interface Run {
  readonly options: UpOptions;
  readonly layout: Layout;
  readonly settings: Settings;
  readonly startedMs: number;
  /** What --json tells beside the report. */
  readonly facts: Record<string, unknown>;
}

async function run({ options, layout, settings, startedMs, facts }: Run): Promise<void> {
  prepareRuntimeDir(layout);
  const logger = openLogger({
    file: `${layout.logDir}/supervisor.log`,
    process: "supervisor",
    level: settings["log.level"],
    maxBytes: settings["log.maxBytes"],
  });
  const existing = readState(layout);
  const engine = await openEngine({ options, layout, settings, ...(existing ? { existing } : {}) });
  if (!existing)
    say(
      `Creating a cluster in ${layout.dataDir} (PostgreSQL ${engine.engine.version}) ...`,
      options.json,
    );
  const state = existing ?? (await createCluster({ options, layout, settings, engine }));
  const keys = await VolumeKeys.open(layout, state, logger);
  const links = await openLinkTransport(settings["storage.transport"], layout, state);
  const tls = await tlsFor(options, layout);
  const hasLoopback =
    settings["loopback.addresses"] === "on" && (await hasLoopbackAddresses(options.host));
  writeNotes({ options, layout, settings }, state);
  // The control plane changes the file while this process runs.
  const stateNow = (): ClusterState => readState(layout) ?? state;
  const at = { options, layout, settings, hasLoopback };
  const plans = childPlans({ ...at, stateNow, engine, tls, keys, links });
  const supervisor = new Supervisor({
    layout,
    state,
    stateNow,
    nodePorts: links.nodePorts,
    logger,
    keys,
    instanceDir: (id) => `${engine.instancesDir}/${id}`,
    osUser: engine.osUser,
    hangMs: settings["process.hangMs"],
    ...plans,
  });
  const asked = untilAsked(supervisor, logger);
  const ready = untilReady(layout, { options, stateNow }).then((report) =>
    announce(report, { options, layout, settings, startedMs, facts }),
  );
  const stopFirst = await Promise.race([asked.then(() => true), ready.then(() => false)]).catch(
    async (error: unknown) => {
      await supervisor.stop(true);
      throw error;
    },
  );
  const isImmediate = await asked;
  if (!options.detach && process.send === undefined)
    say(stopFirst ? "Stopping before it was ready ..." : "\nStopping ...", options.json);
  process.on("SIGINT", () => undefined); // a second Ctrl-C must not leave half a cluster behind
  process.on("SIGTERM", () => undefined);
  await supervisor.stop(isImmediate);
  if (process.send === undefined)
    say("Stopped. Nothing acknowledged is lost; borealis up goes on from here.", options.json);
}

/** Starts it, and resolves when it is to stop: at once, without order, if true. */
function untilAsked(supervisor: Supervisor, logger: Logger): Promise<boolean> {
  return new Promise<boolean>((resolve) => {
    process.once("SIGINT", () => resolve(false));
    process.once("SIGTERM", () => resolve(false));
    process.once("SIGHUP", () => resolve(false));
    supervisor.start(resolve).catch((error: unknown) => {
      logger.error({ event: "supervisor.failed" }, String(error));
      resolve(true);
    });
  });
}

/** What the next start goes by, after a loss too. */
function writeNotes(
  { options, layout, settings }: Pick<Run, "options" | "layout" | "settings">,
  state: ClusterState,
): void {
  remember(layout, options);
  keepPassword(layout, options);
  noteVolume(layout, state, settings["objectStore.url"]);
}

function say(text: string, isJson: boolean): void {
  if (process.send === undefined && !isJson) print(text);
}

async function tlsFor(options: UpOptions, layout: Layout): Promise<TlsFiles | null> {
  if (options.tls === "off") return null;
  const own = { key: layout.tlsKeyFile, cert: layout.tlsCertFile };
  const files =
    options.tlsCert !== undefined && options.tlsKey !== undefined
      ? { cert: options.tlsCert, key: options.tlsKey }
      : own;
  if (files === own)
    await makeCertificate(own, ["localhost", "127.0.0.1", "::1", ...loopbackAddresses()]);
  return readCertificate(files);
}

function announce(report: StatusReport, run: Run): void {
  if (process.send) {
    process.send({ ready: true });
    return;
  }
  printReady(report, run, "Ctrl-C stops it.");
}

/** What a person, or a program (--json), is told when writes are accepted. */
function printReady(report: StatusReport, run: Run, end: string): void {
  const { layout, options, settings, startedMs, facts } = run;
  if (options.json) return printJson({ ...facts, ...report });
  const seconds = (performance.now() - startedMs) / 1000;
  const gate = settings["gate.mode"];
  printBanner({ report, layout, options, password: readPassword(layout), gate });
  print(dim(`  ${end}`));
  print(`Borealis is ready (${seconds.toFixed(1)} s)`);
}

/** Runs the same command as a process of its own, waits until it is ready, prints its banner, and returns. */
async function detach(run: Run): Promise<void> {
  const { options, layout } = run;
  makeDataDir(layout);
  mkdirSync(layout.logDir, { recursive: true, mode: 0o700 });
  mkdirSync(layout.controlDir, { recursive: true, mode: 0o700 });
  const errors = openSync(`${layout.logDir}/supervisor.stderr`, "a", 0o600);
  const entry = fileURLToPath(new URL("./detached.js", import.meta.url));
  const child = spawn(process.execPath, [entry, "borealis-supervisor"], {
    detached: true,
    env: childEnvironment(),
    stdio: ["ignore", errors, errors, "ipc"],
  });
  child.send({ options: { ...options, detach: false }, environment: ownEnvironment() });
  const progress = new Progress({ isJson: options.json });
  const ready = new AbortController();
  void watchStart(layout, new BuildingWatch(progress, realClock.nowMs()), ready.signal);
  const outcome = await new Promise<{
    ready?: boolean;
    error?: { code: string; message: string; hint?: string };
  }>((resolve) => {
    child.once("message", (message) => resolve(message as { ready?: boolean }));
    child.once("exit", () => {
      const message = "the cluster ended before it was ready";
      resolve({
        error: { code: sqlState.internal, message, hint: "borealis logs supervisor tells more" },
      });
    });
  });
  ready.abort();
  progress.close();
  child.disconnect();
  child.unref();
  if (outcome.error) {
    const { code, message, hint } = outcome.error;
    throw new BorealisError(code, message, hint === undefined ? {} : { hint });
  }
  const client = await connectRpc(
    { kind: "unix", path: layout.controlSocket },
    { timeoutMs: 2_000 },
  );
  const report = statusSchema.parse(await client.call("status", {}, { timeoutMs: 5_000 }));
  client.close();
  printReady(report, run, "borealis down stops it.");
}
