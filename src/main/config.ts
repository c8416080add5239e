import { readFileSync } from "node:fs";
import { z } from "zod";
import { BorealisError, sqlState } from "../base/errors.ts";
import { settingsSchema } from "./settings.ts";

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
