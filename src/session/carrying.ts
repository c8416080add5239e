import { encodeClose, encodeSync } from "../wire/index.ts";
import { encodeOwnQuery, ownPrefix } from "./readback.ts";
import type { RestorePlan } from "./restore.ts";

/** What is sent to a server so that it has what the session has; `cycles` ReadyForQuery come back. */
export interface Carriage {
  readonly bytes: Buffer;
  readonly cycles: number;
  /** Of these, by number, a failure is no news: the statement would fail when it is used, too. */
  readonly mayFail: ReadonlySet<number>;
}

interface Part {
  readonly bytes: Buffer;
  readonly mayFail: boolean;
}

/** DISCARD ALL, without its effect on the client's unnamed statement, which a simple Query would have. */
const reset = Buffer.concat([encodeOwnQuery(`${ownPrefix}reset`, "DISCARD ALL"), encodeSync()]);

/**
 * What a second server of the session has been given of its state, and what it needs to be given next. The state is told
 * as the plan by which it would be made again from nothing.
 */
export class Carrying {
  private settings: string | undefined;
  private readonly prepared = new Map<string, string>();

  /** It has this statement already: it got it from the client itself. */
  note(key: string): void {
    this.prepared.set(key, own);
  }

  forget(key: string): void {
    this.prepared.delete(key);
  }

  /** A new server has nothing. */
  clear(): void {
    this.settings = undefined;
    this.prepared.clear();
  }

  /** What brings it from what it has to what `plan` makes; what is sent is taken to succeed. Undefined: nothing. */
  next(plan: RestorePlan, isNew: boolean): Carriage | undefined {
    const settings = textOf(
      plan.cycles.filter(({ key }) => key === undefined).map(({ bytes }) => bytes),
    );
    const keyed = new Map(
      plan.cycles.flatMap(({ key, bytes }) => (key === undefined ? [] : [[key, bytes] as const])),
    );
    if (settings !== this.settings) {
      const isFirst = isNew && this.settings === undefined;
      this.clear();
      this.settings = settings;
      for (const [key, bytes] of keyed) this.prepared.set(key, textOf([bytes]));
      const all = plan.cycles.map(({ bytes, key }) => ({ bytes, mayFail: key !== undefined }));
      return carriageOf(isFirst ? all : [{ bytes: reset, mayFail: false }, ...all]);
    }
    const parts: Part[] = [];
    for (const key of this.prepared.keys()) {
      if (keyed.has(key)) continue;
      this.prepared.delete(key);
      if (key !== "") parts.push(closing(key));
    }
    for (const [key, bytes] of keyed) {
      const text = textOf([bytes]);
      const known = this.prepared.get(key);
      if (known === text || known === own) continue;
      if (known !== undefined && key !== "") parts.push(closing(key));
      this.prepared.set(key, text);
      parts.push({ bytes, mayFail: true });
    }
    return carriageOf(parts);
  }
}

const own = "its own";

/** Each part ends with a Sync. */
function carriageOf(parts: readonly Part[]): Carriage | undefined {
  if (parts.length === 0) return undefined;
  const bytes = Buffer.concat(parts.map((part) => part.bytes));
  const mayFail = new Set(parts.flatMap((part, index) => (part.mayFail ? [index] : [])));
  return { bytes, cycles: parts.length, mayFail };
}

/** `key` is a name's bytes as latin1. */
function closing(key: string): Part {
  const name = Buffer.from(key, "latin1").toString("utf8");
  return { bytes: Buffer.concat([encodeClose("statement", name), encodeSync()]), mayFail: false };
}

function textOf(parts: readonly Buffer[]): string {
  return Buffer.concat(parts).toString("latin1");
}
