import { styleText } from "node:util";
import { adviceOf, BorealisError, messageOf } from "../base/errors.ts";
import type { StatusReport } from "../cluster/index.ts";
import { describeProgress, formatBytes } from "./progress-meter.ts";

/** What people see on the terminal. Nothing else prints. */

function isTerminal(): boolean {
  return process.stdout.isTTY && process.env["NO_COLOR"] === undefined;
}

export function bold(text: string): string {
  return isTerminal() ? styleText("bold", text) : text;
}

export function dim(text: string): string {
  return isTerminal() ? styleText("dim", text) : text;
}

export function print(line = ""): void {
  process.stdout.write(`${line}\n`);
}

/** What strangers can write into logs and names must not move a terminal's cursor, nor look like another line. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, (sign) => {
    return sign === "\t" ? sign : `\\x${sign.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
}

/** Columns padded to the widest cell; the first line is the head. */
export function tableLines(
  columns: readonly string[],
  raw: readonly (readonly string[])[],
): string[] {
  const rows = raw.map((row) => row.map(printable));
  const widths = columns.map((column, i) =>
    Math.max(column.length, ...rows.map((row) => row[i]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    `  ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join("  ")}`.trimEnd();
  return [columns, ...rows].map(line);
}

export function printTable(columns: readonly string[], rows: readonly (readonly string[])[]): void {
  const [head = "", ...lines] = tableLines(columns, rows);
  print(dim(head));
  for (const one of lines) print(one);
}

/** One line on stderr: what is wrong and what to do. With json, contract.md's error document on stdout. */
export function printError(error: unknown, isJson: boolean): void {
  if (isJson) {
    const known = error instanceof BorealisError ? error : undefined;
    const [code, hint] = [known?.code ?? "XX000", known?.hint ?? null];
    const body = { code, message: messageOf(error), hint };
    process.stdout.write(`${JSON.stringify({ error: body })}\n`);
    return;
  }
  process.stderr.write(`borealis: ${adviceOf(error)}\n`);
}

function orDash(value: string | number | null): string {
  return value === null ? "-" : String(value);
}

function mebibytes(bytes: number | null): string {
  return bytes === null ? "-" : `${(bytes / 1_048_576).toFixed(1)} MiB`;
}

/** `up`, `down` …; and what a node that is up says is wrong with it. */
export function storageState(one: StatusReport["storage"][number]): string {
  return one.health === null || one.health === "ok" ? one.state : `${one.state}, ${one.health}`;
}

export function printStatus(report: StatusReport): void {
  const { cluster } = report;
  print(`${bold(`Borealis cluster is ${cluster.state}`)}  ${dim(cluster.dataDir)}`);
  const facts = [`PostgreSQL ${cluster.engineVersion}`];
  if (cluster.epoch > 0) facts.push(`epoch ${cluster.epoch}`, `timeline ${cluster.timeline}`);
  if (cluster.vdl) facts.push(`VDL ${cluster.vdl}`);
  print(`  ${facts.join(" · ")}`);
  if (cluster.state === "degraded") {
    const unwell = report.storage.filter((one) => one.state !== "up" || one.health !== "ok");
    const named = unwell.map((one) => `${one.id} is ${storageState(one)}`).join(", ");
    print(`  writes wait: fewer than four storage nodes take log (${named}); reads go on`);
  }
  print();
  printTable(
    ["ENDPOINT", "TYPE", "ADDRESS", "MEMBERS"],
    report.endpoints.map((one) => [
      one.id,
      one.type,
      `${one.host}:${one.port}`,
      one.members.join(",") || "-",
    ]),
  );
  print();
  printTable(
    ["INSTANCE", "ROLE", "AZ", "TIER", "STATE", "REPLAYED TO", "LAG", "PID"],
    report.instances.map((one) => [
      one.id,
      one.role,
      one.az,
      String(one.tier),
      one.state,
      orDash(one.replayLsn),
      one.lagMs === null ? "-" : `${one.lagMs.toFixed(1)} ms`,
      orDash(one.postgresPid),
    ]),
  );
  for (const one of report.instances) {
    if (one.building) print(`  ${one.id}: ${buildingLine(one.building)}`);
    if (one.problem) print(`  ${one.id}: ${one.problem}`);
  }
  printFaults(report.instances);
  print();
  printTable(
    ["STORAGE", "AZ", "KIND", "STATE", "COMPLETE TO", "EPOCH", "LOG", "PID"],
    report.storage.map((one) => [
      one.id,
      one.az,
      one.kind,
      storageState(one),
      orDash(one.scl),
      orDash(one.epoch),
      mebibytes(one.bytes),
      orDash(one.pid),
    ]),
  );
  printFaults(report.storage);
  print();
  printVolume(report);
  printArchive(report);
}

/** How far a cache has come. Rate and time left are for who looks on. */
export function buildingLine(
  building: NonNullable<StatusReport["instances"][number]["building"]>,
): string {
  return describeProgress({ ...building, bytesPerSecond: null, secondsLeft: null });
}

function printFaults(
  parts: readonly { readonly id: string; readonly fault?: string | undefined }[],
): void {
  for (const one of parts) if (one.fault) print(`  ${one.id}: ${one.fault}`);
}

function printVolume({ volume }: StatusReport): void {
  printTable(
    ["VOLUME", "LOG", "LOG FROM", "SNAPSHOTS", "EXTENTS", "SHARED WITH CLONES"],
    [
      [
        mebibytes(volume.bytes),
        mebibytes(volume.logBytes),
        orDash(volume.logStart),
        String(volume.snapshots),
        mebibytes(volume.extentBytes),
        mebibytes(volume.sharedBytes),
      ],
    ],
  );
  if (volume.damage !== null) print(`  snapshots: ${volume.damage}`);
  if (volume.problem !== null) print(`  volume: ${volume.problem}`);
}

function printArchive({ volume }: StatusReport): void {
  const { archive } = volume;
  if (!archive) return;
  print(`  ${archiveLine(volume)}`);
  if (archive.problem !== null) print(`  archive: ${archive.problem}`);
}

/**
 * How far the archive is. The last moment that is known to be in it is two to four seconds old, also where nothing is written, or,
 * without a writer, as old as its end: that nothing is missing is what has to be said then.
 */
export function archiveLine({
  archive,
  latestRestorableTime,
}: Pick<StatusReport["volume"], "archive" | "latestRestorableTime">): string {
  const { archivedLsn = null, lagBytes = null } = archive ?? {};
  const facts = [`log archived to ${orDash(archivedLsn)}`];
  if (lagBytes === 0) facts.push("up to date");
  else if (lagBytes !== null) facts.push(`${formatBytes(lagBytes)} behind`);
  if (latestRestorableTime !== null) facts.push(`restorable to ${latestRestorableTime}`);
  return facts.join(", ");
}
