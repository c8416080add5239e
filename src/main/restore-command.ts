import { existsSync, writeFileSync, readFileSync } from "node:fs";
import { z } from "zod";
import { BorealisError, sqlState } from "../base/errors.ts";
import { formatLsn } from "../base/lsn.ts";
import { type ClusterState, type Layout, leftFutures } from "../cluster/index.ts";
import { openLogger, realClock } from "../io/index.ts";
import { environment } from "./environment.ts";
import { type Options, printJson, readPassword, requireCluster } from "./commands.ts";
import { resolveSettings, type Settings } from "./config.ts";
import { openEngine } from "./create.ts";
import { resolveLayout } from "./data-dir.ts";
import { asDiskFull, nothingLeft } from "./disk-full.ts";
import { type AskedMoment, formatTimeUs, parseMoment } from "./moment-text.ts";
import { keepObjectStore, objectStoreFlags, objectStoreOf } from "./object-store.ts";
import { print } from "./print.ts";
import { Progress } from "./progress.ts";
import { buildRestored, type Restored } from "./restore-build.ts";
import { pointOfMoment, pointOfSnapshot } from "./restore-point.ts";
import { openClusterSource, type RestoreSource } from "./restore-source.ts";
import {
  openStoreSource,
  reachOf,
  type StoreOptions,
  storePlaceOf,
} from "./restore-store-source.ts";
import { type RestoreTarget, takeTarget } from "./restore-target.ts";
import { passedOverLines } from "./restore-tries.ts";
import { findRemembered, remember } from "./resume.ts";
import { isRunning } from "./running.ts";
import { unnamedFutures } from "../volume/index.ts";

export interface RestoreOptions extends Options, StoreOptions {
  readonly into: string;
  readonly from?: string;
  readonly to?: string;
  readonly readers?: string;
  readonly postgresBin?: string;
}

type Asked =
  | { readonly kind: "snapshot"; readonly id: string }
  | { readonly kind: "moment"; readonly moment: AskedMoment };

const readersSchema = z.coerce.number().int().min(0).max(15);

/**
 * A new cluster in another directory, as this one was at a moment. This one goes on, and is not touched. Repeating the command
 * after it was interrupted begins anew.
 */
export async function restore(options: RestoreOptions): Promise<void> {
  const place = storePlaceOf(options);
  if (!place) return restoreCluster(options);
  await restoreFrom(options, { open: () => openStoreSource(place), cluster: undefined });
}

async function restoreCluster(options: RestoreOptions): Promise<void> {
  const { layout, state } = requireCluster(options);
  const settings = settingsOf(layout);
  const place = { layout, state, settings };
  const open = async (): Promise<RestoreSource> => {
    if (isRunning(layout)) return openClusterSource(place);
    const { objectStoreUrl: url, objectStoreEnv: env } = objectStoreOf(layout, settings);
    const { keyFile } = layout;
    const stored = await openStoreSource({ url, env, volume: state.volumeId, keyFile });
    // It knows of backtracks that its archive may not have heard of, and may have forgotten some that the archive has not.
    const known = leftFutures(state, realClock.wallMs());
    const seen = stored.left.map((future) => ({ ...future, from: future.fork }));
    const source = { ...stored, left: [...known, ...unnamedFutures(known, seen)] };
    if (!options.json) {
      print(`The cluster in ${layout.dataDir} does not run: its object store has it up to`);
      print(`${reachOf(source)}. Start it to reach later moments.`);
    }
    return source;
  };
  await restoreFrom(options, { open, cluster: place });
}

interface From {
  open(): Promise<RestoreSource>;
  /** The cluster itself, if its directory is here: settings and the password come along. */
  readonly cluster:
    | { readonly layout: Layout; readonly state: ClusterState; readonly settings: Settings }
    | undefined;
}

async function restoreFrom(options: RestoreOptions, from: From): Promise<void> {
  const startedMs = realClock.nowMs();
  process.title = "borealis restore";
  const asked = askedOf(options);
  const layout = resolveLayout(options.into);
  const apartFrom = from.cluster?.layout.dataDir;
  const target = await takeTarget(layout, { apartFrom, what: options.from ?? options.to });
  const progress = new Progress({ isJson: options.json ?? false });
  const stop = new AbortController();
  const onSignal = (): void =>
    stop.abort(
      new BorealisError(sqlState.queryCanceled, "interrupted", { hint: "nothing is left of it" }),
    );
  // To the end of the process: a second Ctrl-C must not interrupt the cleaning up.
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, onSignal);
  try {
    const told = await work({ options, from, asked, target, progress, signal: stop.signal });
    target.complete();
    tell(options, { ...told, seconds: (realClock.nowMs() - startedMs) / 1000 });
  } catch (error) {
    progress.close();
    target.discard();
    throw stop.signal.aborted ? stop.signal.reason : asDiskFull(layout, error, nothingLeft);
  } finally {
    progress.close();
    target.release();
  }
}

interface Work {
  readonly options: RestoreOptions;
  readonly from: From;
  readonly asked: Asked;
  readonly target: RestoreTarget;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

interface Told {
  readonly target: RestoreTarget;
  readonly restored: Restored;
}

async function work({ options, from, asked, target, progress, signal }: Work): Promise<Told> {
  const { layout } = target;
  const source = await from.open();
  try {
    const search = { source, progress, signal };
    const point =
      asked.kind === "snapshot"
        ? await pointOfSnapshot(search, asked.id)
        : await pointOfMoment(search, asked.moment);
    const { identity } = source;
    inheritSettings(from, layout);
    const settings = settingsOf(layout);
    const remembered = from.cluster && findRemembered(from.cluster.layout);
    const postgresBin = options.postgresBin ?? remembered?.postgresBin;
    const engine = await openEngine({
      options: { postgresBin },
      layout,
      settings,
      existing: { engineVersion: identity.engineVersion },
    });
    const logger = openLogger({ file: `${layout.logDir}/restore.log`, process: "restore" });
    const restored = await buildRestored({
      source,
      point,
      target,
      engine,
      readers: readersOf(options, identity.readers),
      password: from.cluster && readPassword(from.cluster.layout),
      progress,
      logger,
      signal,
    });
    if (postgresBin !== undefined)
      remember(layout, { host: "127.0.0.1", port: 5432, tls: "prefer", postgresBin });
    return { target, restored };
  } finally {
    await source.close();
  }
}

function askedOf({ from, to }: RestoreOptions): Asked {
  if (from !== undefined && to === undefined) return { kind: "snapshot", id: from };
  if (to !== undefined && from === undefined)
    return { kind: "moment", moment: parseMoment(to, "--to", realClock.wallMs()) };
  throw new BorealisError(
    sqlState.invalidParameter,
    from === undefined ? "say what to restore" : "--from and --to exclude each other",
    { hint: "--from SNAPSHOT, or --to TIME, LSN or latest" },
  );
}

function readersOf({ readers }: RestoreOptions, inherited: number): number {
  if (readers === undefined) return inherited;
  const parsed = readersSchema.safeParse(readers);
  if (parsed.success) return parsed.data;
  throw new BorealisError(sqlState.invalidParameter, `--readers: "${readers}" cannot be used`, {
    hint: "give a number from 0 to 15",
  });
}

function settingsOf(layout: Layout): Settings {
  const flags = objectStoreFlags(findRemembered(layout) ?? {});
  return resolveSettings({ file: layout.configFile, env: environment(), flags });
}

function inheritSettings({ cluster }: From, target: Layout): void {
  if (!cluster) return;
  const { configFile } = cluster.layout;
  if (existsSync(configFile))
    writeFileSync(target.configFile, readFileSync(configFile), { mode: 0o600 });
  // It may have been given at a start, which later ones remember.
  keepObjectStore(target, cluster.settings["objectStore.url"]);
}

function tell(options: RestoreOptions, told: Told & { readonly seconds: number }): void {
  const { target, restored, seconds } = told;
  const { dataDir } = target.layout;
  const { state, point, passedOver, timeline, lastCommitUs } = restored;
  const lsn = formatLsn(point.end);
  const lastCommitTime = lastCommitUs === undefined ? null : formatTimeUs(lastCommitUs);
  if (options.json) {
    return printJson({
      restored: {
        dataDir,
        volumeId: state.volumeId,
        snapshot: point.snapshot,
        passedOver,
        lsn,
        lastCommitTime,
        timeline,
        seconds: Math.round(seconds * 1000) / 1000,
      },
    });
  }
  for (const line of passedOverLines(restored)) print(line);
  const upTo = lastCommitTime === null ? "" : `, last commit at ${lastCommitTime}`;
  print(`restored into ${dataDir}: the log up to ${lsn}${upTo} (${seconds.toFixed(1)} s)`);
  print(`start it:  borealis up --data-dir ${dataDir} --port <port>`);
}
