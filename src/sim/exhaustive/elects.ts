import { present } from "../../base/assert.ts";
import type { Elect } from "../../quorum/index.ts";
import { type Backtrack, backtracksOf, unitOf } from "./ground.ts";
import { type PackedLog, prefixOf, withUnit } from "./packed-log.ts";

/** How an Elect came to be, to make its driver again. */
export interface Making {
  /** Position → what that node promised; undefined: it was not asked. */
  readonly promises: readonly (number | undefined)[];
  readonly kind: "branch" | "backtrack";
}

/** An Elect that a claim can come to, with what an observer knows of it. */
export interface KnownElect {
  readonly id: number;
  readonly claim: number;
  readonly message: Elect;
  readonly start: number;
  /** A backtrack was asked for, whatever the history says of it (M19). */
  readonly isAskedBacktrack: boolean;
  /** Its driver's log below start, as its writers' tags. */
  readonly inherited: PackedLog;
  readonly backtracks: readonly Backtrack[];
  readonly making: Making;
}

/** Every Elect met so far, numbered from 1. */
export class Elects {
  private readonly all: KnownElect[] = [];
  private readonly byText = new Map<string, KnownElect>();
  private readonly byMessage = new Map<Elect, KnownElect>();

  at(id: number): KnownElect {
    return present(this.all[id - 1], "an Elect has been met before it is named");
  }

  /** The one that a node keeps as its record: messages are passed on as they are. */
  of(message: Elect): KnownElect {
    return present(this.byMessage.get(message), "an Elect has been met before it is kept");
  }

  note(claim: number, message: Elect, log: PackedLog, making: Making): KnownElect {
    const start = unitOf(message.start);
    const inherited = prefixOf(log, start);
    const entries = message.history.map(
      (entry) => `${entry.epoch}.${entry.timeline}@${unitOf(entry.start)}${entry.kind}`,
    );
    const text = `${claim} ${inherited} ${entries.join(" ")}`;
    const known = this.byText.get(text);
    if (known) return known;
    const { history } = message;
    const elect: KnownElect = {
      id: this.all.length + 1,
      claim,
      message,
      start,
      isAskedBacktrack: making.kind === "backtrack",
      inherited,
      backtracks: backtracksOf(history),
      making,
    };
    this.all.push(elect);
    this.byText.set(text, elect);
    this.byMessage.set(message, elect);
    return elect;
  }

  /** The log of this Elect's driver up to `end`. */
  logOf(elect: KnownElect, end: number): PackedLog {
    let log = prefixOf(elect.inherited, end);
    for (let unit = elect.start; unit < end; unit++) log = withUnit(log, unit, elect.claim + 1);
    return log;
  }
}
