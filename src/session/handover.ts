import { encodeMessage, encodeQuery, encodeSync, frontend } from "../wire/index.ts";
import type { Prepared } from "./prepared-book.ts";
import {
  ownCycle,
  planRestore,
  resetting,
  type RestoreCycle,
  type RestorePlan,
  type Settings,
  timeouts,
  type Wanted,
} from "./restore.ts";

/** What a server connection has of the session that used it last. Blank ones have nothing: see blank. */
export interface Carried {
  /** By name; those with a prefix, too. */
  readonly settings: ReadonlyMap<string, string>;
  /** It has another session user or role than its login. */
  readonly hasOtherRole: boolean;
  /** By the bytes of their names; the unnamed one as "". */
  readonly prepared: ReadonlyMap<string, Prepared>;
  /** Some of them may be refused there, and not where they are made anew. */
  readonly isStale: boolean;
  /** currval and lastval may know something. */
  readonly hasDrawn: boolean;
  /** Code was run there that may have done to it what nobody saw: settings, LISTEN, locks, temporary objects. */
  readonly isDoubtful: boolean;
  /** Settings with a prefix that exist there: no command of PostgreSQL's takes such a one away. */
  readonly customNames: ReadonlySet<string>;
}

export const blank: Carried = {
  settings: new Map(),
  hasOtherRole: false,
  prepared: new Map(),
  isStale: false,
  hasDrawn: false,
  isDoubtful: false,
  customNames: new Set(),
};

const identity = new Set(["session_authorization", "role"]);

/** How a session is made again on another connection. */
export interface RestoreWishes {
  readonly carried?: Carried | undefined;
  readonly skipsUnnamed?: boolean | undefined;
  readonly hasUnnamed?: boolean;
}

/**
 * How a connection that has `carried` comes to be that of a session that has `wanted`: with nothing of the other's left that
 * the client could see, and all of its own. Nothing at all where the two are the same.
 *
 * `skipsUnnamed`: the first message that follows replaces or destroys the unnamed statement, so that it need not be made.
 */
export function planHandover(
  wanted: Wanted,
  carried: Carried,
  { skipsUnnamed }: { readonly skipsUnnamed: boolean },
): RestorePlan {
  if (isNothing(wanted) && isBlank(carried)) return nothing;
  const prepared = wanted.prepared.filter(([key]) => key !== "" || !skipsUnnamed);
  // Who may set what depends on the role that sets it.
  if (carried.hasOtherRole || hasOtherRole(wanted)) {
    const { cycles } = planRestore({ ...wanted, prepared });
    return { cycles: [discardAll, ...cycles] };
  }
  const resets: RestoreCycle[] = [];
  if (carried.hasDrawn) {
    resets.push(ownCycle("DISCARD SEQUENCES", "values of sequences"));
  }
  if (carried.isDoubtful) resets.push(...unseen);
  const mine = new Map(prepared);
  const strange = [...carried.prepared].filter(([key, theirs]) => {
    if (key === "" && skipsUnnamed) return false;
    const entry = mine.get(key);
    return carried.isStale || !entry || !isSame(entry, theirs);
  });
  if (strange.length > 0) resets.push(closing(strange.map(([key]) => key)));
  const missing: Wanted = {
    loads: wanted.loads,
    channels: wanted.channels,
    settings: wanted.settings.filter(([name]) => !identity.has(name)),
    prepared: prepared.filter(([key, entry]) => {
      const theirs = carried.prepared.get(key);
      return carried.isStale || !theirs || !isSame(entry, theirs);
    }),
  };
  // After RESET ALL there are none.
  const settings: Settings = carried.isDoubtful ? new Map() : carried.settings;
  const untimed = new Map([...settings].filter(([name]) => !timeouts.has(name)));
  const { cycles } = planRestore(missing, settings);
  const timed = [...carried.settings.keys()].filter((name) => timeouts.has(name));
  if (timed.length === 0 || resets.length + cycles.length === 0)
    return { cycles: [...resets, ...cycles] };
  // How long the other session's statements may take is not for what is done here.
  return { cycles: [...resetting(timed), ...resets, ...planRestore(missing, untimed).cycles] };
}

const nothing: RestorePlan = { cycles: [] };

function isNothing({ loads, settings, prepared, channels }: Wanted): boolean {
  return loads.length + settings.length + prepared.length + channels.length === 0;
}

function isBlank({
  settings,
  prepared,
  hasOtherRole: isOther,
  hasDrawn,
  isDoubtful,
}: Carried): boolean {
  return settings.size + prepared.size === 0 && !isOther && !hasDrawn && !isDoubtful;
}

/** Whether a session that has `custom` for its settings with a prefix can be on it: it would see names that it never made. */
export function mayTakeOver(
  { customNames }: Pick<Carried, "customNames">,
  custom: (name: string) => boolean,
): boolean {
  for (const name of customNames) if (!custom(name)) return false;
  return true;
}

/** The session has another user or role than its login. */
export function hasOtherRole({ settings }: Pick<Wanted, "settings">): boolean {
  return settings.some(
    ([name, value]) => identity.has(name) && !(name === "role" && value === "none"),
  );
}

// As a simple Query: within extended messages PostgreSQL may take it for a part of something larger.
const discardAll: RestoreCycle = {
  bytes: encodeQuery("DISCARD ALL"),
  what: "what another session left",
};

/** DISCARD ALL but for prepared statements, which messages or a readback have told, and what else is known. */
const unseen: readonly RestoreCycle[] = [
  "CLOSE ALL",
  "RESET ALL",
  "UNLISTEN *",
  "SELECT pg_catalog.pg_advisory_unlock_all()",
  "DISCARD TEMP",
].map((sql) => ownCycle(sql, "what another session left"));

function closing(keys: readonly string[]): RestoreCycle {
  const messages = keys.map((key) =>
    encodeMessage(frontend.close, (body) => body.text("S").raw(Buffer.from(`${key}\0`, "latin1"))),
  );
  return {
    bytes: Buffer.concat([...messages, encodeSync()]),
    what: "prepared statements of another session",
  };
}

function isSame(one: Prepared, other: Prepared): boolean {
  if (one === other) return true;
  if (one.searchPath !== other.searchPath) return false;
  const { source } = one;
  const isSameSource =
    typeof source === "string" || typeof other.source === "string"
      ? source === other.source
      : source.equals(other.source);
  return isSameSource && isSameReading(one.reading, other.reading);
}

function isSameReading(one: Prepared["reading"], other: Prepared["reading"]): boolean {
  if (one === other) return true;
  if (!one || !other || one.size !== other.size) return false;
  for (const [name, value] of one) if (other.get(name) !== value) return false;
  return true;
}
