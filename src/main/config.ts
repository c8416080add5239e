import { readFileSync } from "node:fs";
import { z } from "zod";
import { BorealisError, sqlState } from "../base/errors.ts";

/**
 * The settings of `DIR/borealis.json`, with their units in their names. Sources in rising order: defaults, the file,
 * `BOREALIS_*` (dots become underscores: BOREALIS_LOG_LEVEL), `up --set key=value`.
 */
const settingsSchema = z.strictObject({
  "log.level": z
    .enum(["debug", "info", "warn", "error"])
    .default("info")
    .describe("least level of the log lines that are kept"),
  "log.maxBytes": z
    .number()
    .int()
    .min(65_536)
    .default(16 * 1024 * 1024)
    .describe("size at which a log file is rotated (one old file is kept)"),
  "storage.segmentBytes": z
    .number()
    .int()
    .min(1024 * 1024)
    .max(1024 * 1024 * 1024)
    .default(16 * 1024 * 1024)
    .describe("size of one log segment file on a storage node"),
  "storage.encryption": z
    .enum(["on", "off"])
    .default("on")
    .describe("at creation only: whether storage nodes encrypt what they store"),
  "storage.transport": z
    .enum(["unix", "tls"])
    .default("unix")
    .describe("how processes reach storage nodes: unix sockets, or TCP with mutual TLS"),
  "storage.scrubHours": z
    .number()
    .int()
    .min(1)
    .max(500)
    .default(168)
    .describe(
      "in how long all log and all objects of snapshots are read through once, to find rot",
    ),
  "objectStore.url": z
    .string()
    .default("")
    .describe(
      "where snapshots and the log's archive are kept: file: and a folder, or s3://bucket/prefix; default: objects/ of the data directory",
    ),
  "archive.enabled": z
    .enum(["on", "off"])
    .default("on")
    .describe(
      "whether the log is copied to the object store, so that the volume can be restored from there alone",
    ),
  "archive.intervalMs": z
    .number()
    .int()
    .min(100)
    .max(60_000)
    .default(2_000)
    .describe("how often new log is archived: so much is lost at most when all storage nodes are"),
  "archive.rateMaxBytes": z
    .number()
    .int()
    .min(0)
    .default(128 * 1024 * 1024)
    .describe("bytes of log a second that are archived at most after a break; 0: no bound"),
  "snapshot.logBytes": z
    .number()
    .int()
    .min(1024 * 1024)
    .default(1024 * 1024 * 1024)
    .describe(
      "a snapshot is taken when there is so much log since the last one: an instance that is built again replays about as much",
    ),
  "snapshot.maxAgeMinutes": z
    .number()
    .int()
    .min(1)
    .max(10_080)
    .default(60)
    .describe("or when the last one is so old, and 16 MiB of log have come since"),
  "snapshot.rateMaxBytes": z
    .number()
    .int()
    .min(0)
    .default(64 * 1024 * 1024)
    .describe(
      "bytes a second that a snapshot reads from its instance at most, so that the workload loses little; 0: no bound",
    ),
  "retention.days": z
    .number()
    .int()
    .min(0)
    .max(35)
    .default(1)
    .describe(
      "how far back automatic snapshots and log are kept; 0: only the newest snapshot and the log behind it",
    ),
  "session.holdTimeoutMs": z
    .number()
    .int()
    .min(0)
    .default(30_000)
    .describe(
      "how long a new connection waits while no instance is open for it, and a result while the writer's gate is closed",
    ),
  "pool.mode": z
    .enum(["off", "auto"])
    .default("off")
    .describe(
      "auto: sessions share server connections; one has a connection for as long as something of it lives there. ALTER DATABASE or ROLE ... SET borealis.pool = auto or off decides for its own",
    ),
  "pool.endpoints": z
    .string()
    .regex(/^([a-z][a-z0-9-]*(,[a-z][a-z0-9-]*)*)?$/, "names of endpoints, parted by commas")
    .default("")
    .describe("where pool.mode is meant: names of endpoints, parted by commas; empty: all"),
  "pool.maxConnectionsPercent": z
    .number()
    .int()
    .min(1)
    .max(100)
    .default(90)
    .describe("of the connections that an instance takes, so many are for pools at most"),
  "pool.borrowTimeoutMs": z
    .number()
    .int()
    .min(0)
    .max(3_600_000)
    .default(120_000)
    .describe("how long a statement waits for a server connection of the pool; then 53300"),
  "pool.idleTimeoutMs": z
    .number()
    .int()
    .min(1_000)
    .max(86_400_000)
    .default(600_000)
    .describe("a server connection of a pool that nobody has used for so long is closed"),
  "gate.mode": z
    .enum(["lease", "round", "off"])
    .default("lease")
    .describe(
      "what the writer's results wait for, so that a writer that was fenced shows nothing stale: a lease of three storage nodes, a round to them for each statement, or nothing (off)",
    ),
  "gate.leaseMs": z
    .number()
    .int()
    .min(500)
    .max(10_000)
    .default(2_000)
    .describe(
      "length of the lease; a takeover from a writer that was not seen to die waits so long",
    ),
  "failover.detectionMs": z
    .number()
    .int()
    .min(500)
    .max(600_000)
    .default(2_000)
    .describe(
      "how long the writer, or its agent, may answer nothing before another instance takes over; the end of a process counts at once",
    ),
  "reader.lagMaxMs": z
    .number()
    .int()
    .min(3_000)
    .max(86_400_000)
    .default(10_000)
    .describe(
      "how far a reader may be behind and still get new sessions at the reader endpoint and at custom ones",
    ),
  "reader.warmEveryMs": z
    .number()
    .int()
    .min(0)
    .max(3_600_000)
    .default(30_000)
    .describe(
      "how often readers of tier 0 and 1 read ahead what the writer has in its buffers, so that a promoted one is not cold; 0: never",
    ),
  "session.unauthenticatedMax": z
    .number()
    .int()
    .min(1)
    .max(100_000)
    .default(1_000)
    .describe("connections that may be logging in at the same time"),
  "session.authenticationTimeoutMs": z
    .number()
    .int()
    .min(1_000)
    .default(60_000)
    .describe("how long a client may take to log in"),
  "backtrack.windowHours": z
    .number()
    .int()
    .min(1)
    .max(840)
    .default(24)
    .describe("for how long a future that a backtrack left can be returned to"),
  "sql.aurora": z
    .enum(["on", "off"])
    .default("off")
    .describe(
      "on: Aurora's functions, settings and roles are made in every database, and kept true; off: nothing new is made, and what is there tells nothing",
    ),
  "engine.osUser": z
    .string()
    .default("")
    .describe(
      "user that runs PostgreSQL when started by root (default: borealis, postgres or nobody)",
    ),
});

export type Settings = z.infer<typeof settingsSchema>;
export type SettingKey = keyof Settings;

export interface SettingRow {
  readonly key: SettingKey;
  readonly value: unknown;
  readonly isDefault: boolean;
  readonly description: string;
}

function isSettingKey(key: string): key is SettingKey {
  return Object.hasOwn(settingsSchema.shape, key);
}

function refuse(source: string, why: string): BorealisError {
  return new BorealisError(sqlState.invalidParameter, `${source}: ${why}`, {
    hint: "borealis config lists every setting and what it takes",
  });
}

/** Parses one setting's text. Raises BorealisError 22023 naming key, value, source and what is allowed. */
export function parseSetting(key: string, text: string, source: string): [SettingKey, unknown] {
  if (!isSettingKey(key)) throw refuse(source, `there is no setting "${key}"`);
  const schema = settingsSchema.shape[key];
  const asNumber = text.trim() === "" ? Number.NaN : Number(text);
  for (const candidate of Number.isNaN(asNumber) ? [text] : [asNumber, text]) {
    const parsed = schema.safeParse(candidate);
    if (parsed.success) return [key, parsed.data];
  }
  const problem = schema.safeParse(Number.isNaN(asNumber) ? text : asNumber);
  throw refuse(source, `${key} cannot be "${text}": ${problem.error?.issues[0]?.message ?? ""}`);
}

function readFileSettings(file: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch {
    return {}; // no file: defaults
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new BorealisError(sqlState.invalidParameter, `${file} is not JSON`, { cause });
  }
  const parsed = settingsSchema.partial().safeParse(value);
  if (!parsed.success) throw refuse(file, z.prettifyError(parsed.error).replaceAll("\n", " "));
  // Keys that the file does not have must not be filled with defaults here.
  const given = z.record(z.string(), z.unknown()).parse(value);
  return given;
}

/** What the file itself says, for `config KEY VALUE` to change. */
export function fileSettings(file: string): Record<string, unknown> {
  return readFileSettings(file);
}

/** All settings, resolved. Raises BorealisError 22023 that names key, value and source. */
export function resolveSettings(options: {
  file: string;
  env: Readonly<Record<string, string | undefined>>;
  flags: readonly string[];
}): Settings {
  const merged: Record<string, unknown> = readFileSettings(options.file);
  for (const key of Object.keys(settingsSchema.shape)) {
    const name = `BOREALIS_${key
      .replace(/([a-z])([A-Z])/g, "$1_$2")
      .replaceAll(".", "_")
      .toUpperCase()}`;
    const text = options.env[name];
    if (text !== undefined) merged[key] = parseSetting(key, text, name)[1];
  }
  for (const flag of options.flags) {
    const at = flag.indexOf("=");
    if (at < 1) throw refuse("--set", `"${flag}" is not KEY=VALUE`);
    const [key, value] = parseSetting(flag.slice(0, at), flag.slice(at + 1), "--set");
    merged[key] = value;
  }
  return settingsSchema.parse(merged);
}

export function settingRows(settings: Settings): SettingRow[] {
  const defaults = settingsSchema.parse({});
  return Object.keys(settingsSchema.shape)
    .filter(isSettingKey)
    .map((key) => ({
      key,
      value: settings[key],
      isDefault: settings[key] === defaults[key],
      description: settingsSchema.shape[key].description ?? "",
    }));
}
