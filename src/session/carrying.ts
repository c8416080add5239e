import { encodeClose, encodeSync } from "../wire/index.ts";
import { encodeOwnQuery, ownPrefix } from "./readback.ts";
import type { RestorePlan } from "./restore.ts";

/** What is sent to a server so that it has what the session has; `cycles` ReadyForQuery come back. */
export interface Carriage {
  readonly bytes: Buffer;
  readonly cycles: number;
  /** Statements by the numbers of cycles whose failure is no news: the statement would fail when it is used, too. */
  readonly mayFail: ReadonlyMap<number, string>;
}

interface Part {
  readonly bytes: Buffer;
  /** The statement that it makes. */
  readonly key?: string | undefined;
}

/** DISCARD ALL, without its effect on the client's unnamed statement, which a simple Query would have. */
const reset = Buffer.concat([encodeOwnQuery(`${ownPrefix}reset`, "DISCARD ALL"), encodeSync()]);

/**
 * What a second server of the session has been given of its state, and what it needs to be given next. The state is told
 * as the plan by which it would be made again from nothing. The unnamed statement is no part of what that server has:
 * whatever runs there may replace it.
 */
export class Carrying {
  private settings: string | undefined;
  private readonly prepared = new Map<string, string>();

  /** It has this statement already: it got `cycle`, a Parse with its Sync, from the client itself. */
  note(key: string, cycle: Buffer): void {
    this.prepared.set(key, textOf([cycle]));
  }

  forget(key: string): void {
    this.prepared.delete(key);
  }

  /** A new server has nothing. */
  clear(): void {
    this.settings = undefined;
    this.prepared.clear();
  }

  /**
   * What brings it from what it has to what `plan` makes; what is sent is taken to succeed. Undefined: nothing. An unnamed
   * statement in the plan is sent each time: it is there only if it is needed.
   */
  next({ cycles }: RestorePlan, isNew: boolean): Carriage | undefined {
    const settings = textOf(
      cycles.filter(({ key }) => key === undefined).map(({ bytes }) => bytes),
    );
    const keyed = new Map(
      cycles.flatMap(({ key, bytes }) => (key === undefined ? [] : [[key, bytes] as const])),
    );
    if (settings !== this.settings) {
      const isFirst = isNew && this.settings === undefined;
      this.clear();
      this.settings = settings;
      for (const [key, bytes] of keyed) if (key !== "") this.note(key, bytes);
      return carriageOf(isFirst ? cycles : [{ bytes: reset }, ...cycles]);
    }
    const parts: Part[] = [];
    for (const key of this.prepared.keys()) {
      if (keyed.has(key)) continue;
      this.prepared.delete(key);
      parts.push(closing(key));
    }
    for (const [key, bytes] of keyed) {
      const known = this.prepared.get(key);
      if (known === textOf([bytes])) continue;
      if (known !== undefined) parts.push(closing(key));
      if (key !== "") this.note(key, bytes);
      parts.push({ bytes, key });
    }
    return carriageOf(parts);
  }
}

/** Each part ends with a Sync. */
function carriageOf(parts: readonly Part[]): Carriage | undefined {
  if (parts.length === 0) return undefined;
  const bytes = Buffer.concat(parts.map((part) => part.bytes));
  const mayFail = new Map(
    parts.flatMap(({ key }, index) => (key === undefined ? [] : [[index, key] as const])),
  );
  return { bytes, cycles: parts.length, mayFail };
}

/** `key` is a name's bytes as latin1. */
function closing(key: string): Part {
  const name = Buffer.from(key, "latin1").toString("utf8");
  return { bytes: Buffer.concat([encodeClose("statement", name), encodeSync()]) };
}

function textOf(parts: readonly Buffer[]): string {
  return Buffer.concat(parts).toString("latin1");
}
