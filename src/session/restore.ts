import { encodeMessage, encodeQuery, encodeSync, frontend } from "../wire/index.ts";
import type { Prepared } from "./prepared-book.ts";
import { readingSettings } from "./prepared-book.ts";
import { encodeOwnQuery, jsonLiteral, ownPrefix } from "./readback.ts";

/** Extended messages up to a Sync: ReadyForQuery ends each, and an ErrorResponse before it means that it failed. */
export interface RestoreCycle {
  readonly bytes: Buffer;
  /** For messages: "the settings". */
  readonly what: string;
  /** The prepared statement that it makes. */
  readonly key?: string;
}

/** How a session is made again on a new connection of the same login. All cycles may be sent in one write. */
export interface RestorePlan {
  readonly cycles: readonly RestoreCycle[];
}

export interface Wanted {
  readonly loads: readonly string[];
  /** Null: the connection's own default. Session user and role stand last. */
  readonly settings: readonly (readonly [name: string, value: string | null])[];
  readonly prepared: readonly (readonly [key: string, Prepared])[];
  readonly channels: readonly string[];
}

const readingNames = new Set<string>(readingSettings);
// In force at once they might end the restoration itself.
export const timeouts: ReadonlySet<string> = new Set(["statement_timeout", "transaction_timeout"]);
const own = `${ownPrefix}restore`;
const isAscii = /^[\0-~]*$/;
const asUtf8: Moved = new Map([["client_encoding", "UTF8"]]);

/** By name: what a connection has besides its own defaults. */
export type Settings = ReadonlyMap<string, string | null>;
const noSettings: Settings = new Map();

/** Settings for the time of a group of statements. */
type Moved = ReadonlyMap<string, string | null>;

/**
 * Settings first, because a statement is analysed under the role that the session has now; then each statement under
 * the settings that its text was read with; those settings' own values last. PostgreSQL remembers the search path of
 * an analysis, and does it again at the next use if it is another one by then, here as there.
 * `present` is what the connection has of a session before this one, of the same user and role.
 */
export function planRestore(wanted: Wanted, present: Settings = noSettings): RestorePlan {
  const cycles: RestoreCycle[] = [];
  for (const load of wanted.loads) {
    cycles.push(ownCycle(`LOAD ${quoteLiteral(load)}`, `the library ${load}`));
  }
  const isLast = ([name]: readonly [string, unknown]): boolean =>
    readingNames.has(name) || timeouts.has(name);
  const changed = changedSettings(wanted, present);
  cycles.push(...settingsCycle(changed.filter((setting) => !isLast(setting))));
  const groups = groupByReading(wanted);
  for (const { reading, members } of groups) {
    cycles.push(...settingsCycle([...reading]), ...members);
  }
  const isMoved = groups.some(({ reading }) => reading.size > 0);
  const last = new Map<string, string | null>();
  if (groups.some(({ reading }) => reading.has("search_path"))) {
    last.set("search_path", searchPathOf(wanted));
  }
  if (isMoved) for (const name of readingSettings) last.set(name, null);
  for (const setting of wanted.settings)
    if (isMoved && readingNames.has(setting[0])) last.set(...setting);
  for (const setting of changed) if (isLast(setting)) last.set(...setting);
  cycles.push(...settingsCycle([...last]));
  return { cycles };
}

/** What has to be set where `present` is; null: what the session before had, and this one has not. */
function changedSettings(
  { settings }: Wanted,
  present: Settings,
): (readonly [string, string | null])[] {
  if (present.size === 0) return [...settings];
  const names = new Set(settings.map(([name]) => name));
  const strange = [...present.keys()].filter((name) => !names.has(name));
  return [
    ...strange.map((name) => [name, null] as const),
    ...settings.filter(([name, value]) => present.get(name) !== value),
  ];
}

interface Group {
  readonly reading: Moved;
  readonly members: RestoreCycle[];
}

function groupByReading(wanted: Wanted): Group[] {
  const { prepared, channels } = wanted;
  const searchPath = searchPathOf(wanted);
  const groups = new Map<string, Group>();
  const add = (reading: Moved, cycle: RestoreCycle): void => {
    const id = JSON.stringify([...reading]);
    const group = groups.get(id) ?? { reading, members: [] };
    groups.set(id, group);
    group.members.push(cycle);
  };
  // Without any wish they stand first, where nothing has been moved.
  groups.set("[]", { reading: new Map(), members: [] });
  for (const channel of channels) {
    const cycle = ownCycle(`LISTEN "${channel.replaceAll('"', '""')}"`, `LISTEN ${channel}`);
    add(isAscii.test(channel) ? new Map() : asUtf8, cycle);
  }
  for (const [key, { source, reading: read = [], searchPath: itsPath }] of prepared) {
    const reading = new Map<string, string | null>(read);
    if (itsPath !== searchPath) reading.set("search_path", itsPath);
    const what = key === "" ? "the unnamed statement" : `the prepared statement "${key}"`;
    if (typeof source === "string") {
      const isPlain = isAscii.test(source);
      const cycle = { ...ownCycle(source, what), key };
      add(isPlain ? reading : new Map([...reading, ...asUtf8]), cycle);
    } else {
      const message = encodeMessage(frontend.parse, (body) => body.raw(source));
      add(reading, { bytes: Buffer.concat([message, encodeSync()]), what, key });
    }
  }
  // Behind one that moves the search path, it is not where the others want it.
  const hasPath = ({ reading }: Group): number => (reading.has("search_path") ? 1 : 0);
  return [...groups.values()].toSorted((a, b) => hasPath(a) - hasPath(b));
}

function searchPathOf({ settings }: Wanted): string | null {
  return settings.find(([name]) => name === "search_path")?.[1] ?? null;
}

export function ownCycle(sql: string, what: string): RestoreCycle {
  return { bytes: Buffer.concat([encodeOwnQuery(own, sql), encodeSync()]), what };
}

/** One query; one failure is the failure of all. */
function settingsCycle(settings: readonly (readonly [string, string | null])[]): RestoreCycle[] {
  if (settings.length === 0) return [];
  const element = "e.value OPERATOR(pg_catalog.->>)";
  const sql =
    `SELECT pg_catalog.count(pg_catalog.set_config(${element} 0, ${element} 1, false))` +
    ` FROM pg_catalog.json_array_elements(${jsonLiteral(settings)}) e`;
  return [ownCycle(sql, "the settings")];
}

/** A simple Query of the session's own, as it was: it may be of several statements. */
export function repeating(sql: string): RestoreCycle {
  return { bytes: encodeQuery(sql), what: "what it was last set to" };
}

/** These settings, to what the connection was opened with. */
export function resetting(names: readonly string[]): RestoreCycle[] {
  return settingsCycle(names.map((name) => [name, null]));
}

/** Read the same with standard_conforming_strings on and off. */
function quoteLiteral(text: string): string {
  const quoted = text.replaceAll("'", "''");
  return text.includes("\\") ? `E'${quoted.replaceAll("\\", "\\\\")}'` : `'${quoted}'`;
}
