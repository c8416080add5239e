import { type HiddenState, unknownHiddenState } from "./hidden-state.ts";
import type { SourceFacts } from "./source-patterns.ts";
import { type SessionTouch, unseenNames } from "./session-touch.ts";

const byCode = "functions in this database may keep something in its connection";

/**
 * What a session may have left in its connection that no question tells: nobody else may have that then. A doubt about it
 * keeps the connection, and is none about the session itself, which goes on elsewhere if the connection is lost.
 */
export class Unseen {
  /** For good; what it is. */
  private found: string | undefined;
  /** A user's code may have run, behind relations at least. */
  hasRunCode = false;
  private hasCalledCode = false;

  /** A text is sent; so many of its parameters that name settings are known. */
  ran(touch: SessionTouch, namesCount: number, hidden: HiddenState): void {
    this.hasRunCode ||= touch.reach !== "no";
    this.hasCalledCode ||= touch.reach !== "no" && touch.callsCode;
    const isNameMissing = namesCount < touch.nameParameters.length;
    this.found ??= touch.unseen ?? (isNameMissing ? unseenNames : undefined);
    // Its functions may be gone, or be others, by the time that the connection is asked for.
    if (hidden !== unknownHiddenState) this.found ??= this.why(hidden);
  }

  /** It executes a prepared statement of this text. Gives the names of settings in it. */
  executed({ customNames, leavesUnseen }: SourceFacts): readonly string[] {
    if (leavesUnseen) this.found ??= unseenNames;
    return customNames;
  }

  /** A statement succeeded that nobody knows. */
  foundUnknown(): void {
    this.found ??= unseenNames;
  }

  /** Why nobody else may have the connection, where code of the database may do what `hidden` says; undefined: they may. */
  why({ keepsOwnState, leavesUnseen }: HiddenState): string | undefined {
    const may = this.hasCalledCode ? leavesUnseen !== "no" : leavesUnseen === "behind";
    return this.found ?? (this.hasRunCode && (keepsOwnState || may) ? byCode : undefined);
  }

  /** Another connection follows. */
  moved(): void {
    this.found = undefined;
    this.hasRunCode = false;
    this.hasCalledCode = false;
  }
}
