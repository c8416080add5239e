import { PrepareTexts } from "./prepare-texts.ts";
import type { PreparedName } from "./readback.ts";
import { ownPrefix } from "./readback.ts";
import { upToTooMany } from "./session-touch.ts";
import { factsOfSource, type SourceFacts } from "./source-patterns.ts";

/** Settings that change how a text is read, or what its literals mean; the server reports each of them. */
export const readingSettings = [
  "client_encoding",
  "standard_conforming_strings",
  "DateStyle",
  "IntervalStyle",
  "TimeZone",
] as const;

/** Values of readingSettings. */
export type Reading = ReadonlyMap<string, string>;

/** How to make one prepared statement again. */
export interface Prepared {
  /** The body of its Parse message as the client sent it, or the text of its PREPARE. */
  readonly source: Buffer | string;
  /** Under which settings it was read; undefined where they do not matter to this text. */
  readonly reading: Reading | undefined;
  /** The search path at that time, as far as it was read back; null: the connection's own. */
  readonly searchPath: string | null;
}

/** Of the text of one. */
export interface ExecutedFacts extends SourceFacts {
  /** It may change the session when it is executed. */
  readonly mayTouch: boolean;
}

/** It exists, and is too long to be kept, or to be found in the text that made it. */
export type Entry = Prepared | "tooLong";

const isAscii = /^[\0-\x7f]*$/;
/** NAMEDATALEN - 1: PostgreSQL cuts the names of prepared statements and portals there, as keys of its tables (dynahash.c). */
export const nameBytesMax = 63;
const entryOverheadBytes = 200;
/** The same as no session's own. */
const nobodys: Prepared = { source: "", reading: undefined, searchPath: null };

/**
 * A session's prepared statements, the unnamed one as "", by the bytes of their names (latin1). A name beyond ASCII under
 * a client_encoding other than UTF8 is not recognized in what the server lists, and so an obstacle. PostgreSQL keeps them
 * whatever becomes of the transaction that made them, so there is no rollback here; but what was true when a
 * transaction began can be had, for one whose messages are going to be sent again.
 */
export class PreparedBook {
  private readonly bytesMax: number;
  private readonly entries = new Map<string, Entry>();
  /** What changed names had before, since `settle`; undefined: nothing. */
  private readonly before = new Map<string, Entry | undefined>();
  /** Looked for once, since a few bytes execute a text of any length. */
  private readonly facts = new WeakMap<Prepared, ExecutedFacts>();
  /** Of those that PREPARE made, as the last readback has shown them. */
  private texts: PrepareTexts;
  private totalBytes = 0;
  /** Those that the connection has not: they could not be made there, and may be on another. */
  private readonly missing = new Set<string>();
  /** A text of ours that failed is the unnamed one on its connection, though the client has none. */
  private hasLingering = false;
  /** On its connection some of them would give other columns than when they were made there. */
  isStale = false;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
    this.texts = new PrepareTexts(bytesMax);
  }

  /**
   * ParseComplete came. `body` is kept; undefined if it was too long to be looked at. Gives its name if the server does not
   * know it by those bytes: another one of the same bytes may be there beside it.
   */
  parsed(
    key: string,
    body: Buffer | undefined,
    reading: Reading,
    searchPath: string | null,
  ): string | undefined {
    this.set(key, body && wantedOf(body, reading, searchPath));
    return isOtherToServer(key, reading) ? key : undefined;
  }

  /**
   * CloseComplete came, which PostgreSQL also says where there was none of that name. Gives a name as `parsed` does: the one
   * that is gone may be any of those beyond ASCII.
   */
  closed(key: string, reading: Reading): string | undefined {
    if (!isOtherToServer(key, reading)) {
      this.forget(key);
      return undefined;
    }
    return [...this.entries.keys()].find((name) => !isAscii.test(name));
  }

  /** It could not be made on this connection, since something that it names is gone. */
  setAside(key: string): void {
    if (this.entries.has(key)) this.missing.add(key);
  }

  /** Another connection follows. */
  moved(): void {
    this.isStale = false;
    this.hasLingering = false;
    this.missing.clear();
  }

  /** Those that its connection has. */
  get present(): Map<string, Prepared> {
    const present = new Map<string, Prepared>(this.hasLingering ? [["", nobodys]] : []);
    for (const [key, entry] of this.entries)
      if (entry !== "tooLong" && !this.missing.has(key)) present.set(key, entry);
    return present;
  }

  /** `lingers`: the unnamed one, which the client has no more, and the connection has still. */
  forget(key: string, { lingers = false } = {}): void {
    if (key === "") this.hasLingering = lingers;
    this.missing.delete(key);
    if (!this.entries.has(key)) return;
    this.note(key);
    this.totalBytes -= bytesOf(this.entries.get(key));
    this.entries.delete(key);
  }

  /** What the server has, after all that was told here. Gives the name of one that cannot be made again. */
  reconcile(
    names: readonly PreparedName[],
    reading: Reading,
    searchPath: string | null,
  ): string | undefined {
    let unknown: string | undefined;
    const present = new Set([""]);
    const texts = new PrepareTexts(this.bytesMax);
    for (const { name, sql } of names) {
      if (name.startsWith(ownPrefix)) continue;
      const key = keyOf(Buffer.from(name));
      present.add(key);
      const entry = this.entries.get(key);
      if (sql === undefined) {
        const isKnown = entry === "tooLong" || (entry && typeof entry.source !== "string");
        if (!isKnown) unknown ??= name;
        continue;
      }
      const known = entry && entry !== "tooLong" ? entry.source : undefined;
      if (known === sql) continue;
      const source = texts.find(sql, name, this.texts);
      if (source !== undefined && known === source) continue;
      this.set(key, source === undefined ? undefined : wantedOf(source, reading, searchPath));
    }
    this.texts = texts;
    for (const key of this.entries.keys())
      if (!present.has(key) && !this.missing.has(key)) this.forget(key);
    return unknown;
  }

  /** No transaction is open: nothing before this moment is asked for again. */
  settle(): void {
    this.before.clear();
  }

  get hasTooLong(): boolean {
    for (const entry of this.entries.values()) if (entry === "tooLong") return true;
    return false;
  }

  /** What executing it may do to the session; undefined: its text is not known. */
  factsOf(name: string): ExecutedFacts | undefined {
    const entry = this.entries.get(keyOf(Buffer.from(name)));
    if (!entry || entry === "tooLong") return undefined;
    const known = this.facts.get(entry);
    if (known) return known;
    const sql = textOf(entry);
    const { customNames, leavesUnseen } = factsOfSource(sql);
    const names = upToTooMany(customNames);
    const facts = { customNames: names, leavesUnseen, mayTouch: mayTouchSession(sql) };
    this.facts.set(entry, facts);
    return facts;
  }

  /** By the bytes of its name, as latin1. */
  find(key: string): Entry | undefined {
    return this.entries.get(key);
  }

  /** All of them now, or as they were at the last `settle`. */
  list(at: "now" | "start"): [string, Entry][] {
    if (at === "now") return [...this.entries];
    const then = new Map(this.entries);
    for (const [key, entry] of this.before) {
      if (entry) then.set(key, entry);
      else then.delete(key);
    }
    return [...then];
  }

  /** Of texts, names and bookkeeping. */
  get sizeBytes(): number {
    return this.totalBytes;
  }

  private set(key: string, wanted: Prepared | undefined): void {
    if (key === "") this.hasLingering = false;
    this.missing.delete(key);
    this.note(key);
    this.totalBytes -= bytesOf(this.entries.get(key));
    const fits = wanted && this.totalBytes + bytesOf(wanted) <= this.bytesMax;
    const entry = fits ? wanted : "tooLong";
    this.entries.set(key, entry);
    this.totalBytes += bytesOf(entry);
  }

  private note(key: string): void {
    if (!this.before.has(key)) this.before.set(key, this.entries.get(key));
  }
}

function wantedOf(source: Buffer | string, reading: Reading, searchPath: string | null): Prepared {
  const text = typeof source === "string" ? source : source.toString("latin1", 0, textEnd(source));
  return { source, reading: isPlain(text) ? undefined : reading, searchPath };
}

/** Of the body of a Parse message. */
function textEnd(body: Buffer): number {
  return body.indexOf(0, body.indexOf(0) + 1);
}

/** Of a text that can be prepared: it may leave something in the session when it is executed. */
export function mayTouchSession(sql: string): boolean {
  return /set_config|pg_settings|advisory/i.test(sql);
}

/** As the client wrote it: of a Parse message's body what is between the name and the types of parameters. */
export function textOf({ source }: Prepared): string {
  if (typeof source === "string") return source;
  const from = source.indexOf(0) + 1;
  return source.toString("utf8", from, source.indexOf(0, from));
}

export function keyOf(name: Buffer): string {
  return name.toString("latin1", 0, nameBytesMax);
}

function bytesOf(entry: Entry | undefined): number {
  if (entry === undefined) return 0;
  return entryOverheadBytes + (entry === "tooLong" ? 0 : entry.source.length);
}

/** Of a name's bytes: the server converts them, and knows it by others. */
function isOtherToServer(key: string, reading: Reading): boolean {
  return (reading.get("client_encoding") ?? "UTF8") !== "UTF8" && !isAscii.test(key);
}

/** No string, no backslash, nothing but ASCII: none of readingSettings changes the meaning of such a text. */
function isPlain(text: string): boolean {
  // Of what may be there, not of all that is: a repeated group has no room for a text of megabytes.
  return !/['\\\x7f-\uffff]|\$(?!\d)/.test(text);
}
