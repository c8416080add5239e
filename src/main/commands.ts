import { existsSync } from "node:fs";
import { BorealisError, sqlState } from "../base/errors.ts";
import { realClock, realRng, retry } from "../io/index.ts";
import {
  type ClusterState,
  type Layout,
  type StatusReport,
  statusSchema,
  stoppedReport,
} from "../cluster/index.ts";
import { environment } from "./environment.ts";
import { fileSettings, parseSetting, resolveSettings, settingRows } from "./config.ts";
import { ask, connectSupervisor } from "./control-calls.ts";
import { diskError, readState, resolveLayout } from "./data-dir.ts";
import { replaceFile } from "./replace-file.ts";
import { findRemembered } from "./resume.ts";
import { isRunning } from "./running.ts";
import { print, printStatus, printTable } from "./print.ts";
import { connectionUrl, findEndpoint, reachableHost } from "./urls.ts";
import { readSecret } from "./secret-file.ts";

export interface Options {
  readonly dataDir: string;
  readonly json?: boolean;
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2));
}

export function requireCluster(options: Options): { layout: Layout; state: ClusterState } {
  const layout = resolveLayout(options.dataDir);
  return { layout, state: stateOf(layout) };
}

/** Raises 55000 where no cluster was created. */
export function stateOf(layout: Layout): ClusterState {
  const state = readState(layout);
  if (state) return state;
  throw new BorealisError(
    sqlState.notInPrerequisiteState,
    `there is no cluster in ${layout.dataDir}`,
    {
      hint: "borealis up creates one; --data-dir names another directory",
    },
  );
}

/** The report of the cluster, running or not. */
export async function readReport(options: Options): Promise<StatusReport> {
  return reportOf(resolveLayout(options.dataDir));
}

export async function reportOf(layout: Layout): Promise<StatusReport> {
  const state = stateOf(layout);
  if (!isRunning(layout)) return stoppedReport(state, lastAddress(layout));
  return statusSchema.parse(await ask(layout, "status"));
}

/** Where the cluster listened when it last ran. */
function lastAddress(layout: Layout): { host: string; port: number; dataDir: string } {
  const { host = "127.0.0.1", port = 5432 } = findRemembered(layout) ?? {};
  return { host, port, dataDir: layout.dataDir };
}

export async function status(options: Options): Promise<void> {
  const report = await readReport(options);
  if (options.json) printJson(report);
  else printStatus(report);
}

export async function url(endpointName: string, options: Options): Promise<void> {
  const { layout, state } = requireCluster(options);
  const report = await readReport(options);
  const endpoint = findEndpoint(report, endpointName);
  if (!endpoint) {
    throw new BorealisError(sqlState.invalidParameter, `there is no endpoint "${endpointName}"`, {
      hint: `there are ${report.endpoints.map((one) => one.id).join(", ")}`,
    });
  }
  const text = connectionUrl({
    user: state.masterUser,
    password: readPassword(layout),
    host: reachableHost(endpoint.host),
    port: endpoint.port,
  });
  if (options.json) printJson({ endpoint: endpoint.id, url: text });
  else print(text);
}

export function readPassword(layout: Layout): string | undefined {
  return existsSync(layout.passwordFile) ? readSecret(layout.passwordFile) : undefined;
}

export async function down(
  options: Options & { immediate?: boolean; quiet?: boolean },
): Promise<void> {
  const { layout } = requireCluster(options);
  const client = await connectSupervisor(layout);
  const gone = new Promise<void>((resolve) => client.onClose(resolve));
  await client.call("down", { immediate: options.immediate ?? false });
  await gone;
  await retry(
    { clock: realClock, rng: realRng, firstDelayMs: 20, maxDelayMs: 100, deadlineMs: 30_000 },
    () =>
      isRunning(layout)
        ? Promise.reject(new BorealisError(sqlState.ioError, "the supervisor does not end"))
        : Promise.resolve(),
  );
  if (options.quiet) return;
  if (options.json) printJson({ state: "stopped" });
  else print("stopped");
}

export async function config(
  key: string | undefined,
  value: string | undefined,
  options: Options,
): Promise<void> {
  const { layout } = requireCluster(options);
  if (key !== undefined && value !== undefined) return changeSetting(layout, key, value, options);
  const settings = resolveSettings({ file: layout.configFile, env: environment(), flags: [] });
  const rows = settingRows(settings).filter((row) => key === undefined || row.key === key);
  if (rows.length === 0) parseSetting(key ?? "", "", "config"); // raises: there is no such setting
  if (options.json) return printJson(Object.fromEntries(rows.map((row) => [row.key, row.value])));
  printTable(
    ["SETTING", "VALUE", "MEANING"],
    rows.map((row) => [
      row.key,
      `${String(row.value)}${row.isDefault ? "" : " *"}`,
      row.description,
    ]),
  );
}

function changeSetting(layout: Layout, key: string, text: string, options: Options): void {
  const [name, value] = parseSetting(key, text, "config");
  const changed = { ...fileSettings(layout.configFile), [name]: value };
  try {
    const text = `${JSON.stringify(changed, null, 2)}\n`;
    replaceFile(layout.configFile, text, { isDurable: true });
  } catch (error) {
    throw diskError(`cannot write ${layout.configFile}`, error);
  }
  if (options.json) printJson({ [name]: value });
  else print(`${name} = ${String(value)}${isRunning(layout) ? "  (from the next start on)" : ""}`);
}
