import type { SessionTouch } from "./session-touch.ts";

/**
 * What one message does to the session once the server has answered it. Kept with its cycle, in the order of sending:
 * `step` is the number of the message's answer among those of the cycle (0 for a simple Query).
 */
export type Change =
  /** `body` is a copy; undefined if the message is too long to be looked at. */
  | { readonly kind: "parse"; readonly step: number; readonly key: string; readonly body?: Buffer }
  | { readonly kind: "close"; readonly step: number; readonly key: string }
  /**
   * A simple Query: it destroys the unnamed statement. One that went out as extended messages becomes that statement,
   * and closes it if it succeeds.
   */
  | { readonly kind: "query"; readonly step: number; readonly isRewritten: boolean }
  | { readonly kind: "touch"; readonly step: number; readonly touch: NumberedTouch };

/** How a text is run; see SessionBook.runSent. */
export interface Circumstances {
  readonly names?: readonly string[] | undefined;
  readonly isAlone?: boolean;
}

export interface NumberedTouch extends SessionTouch {
  readonly number: number;
  readonly isCertain: boolean;
  /** It executes a prepared statement that is not known. */
  readonly runsUnknown: boolean;
}
