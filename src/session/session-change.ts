import { Deque } from "../base/deque.ts";
import type { SessionTouch } from "./session-touch.ts";

/**
 * What one message does to the session once the server has answered it. Kept with its cycle, in the order of sending:
 * `step` is the number of the message's answer among those of the cycle (0 for a simple Query).
 */
export type Change =
  | StatementChange
  /**
   * A simple Query: it destroys the unnamed statement. One that went out as extended messages becomes that statement,
   * and closes it if it succeeds.
   */
  | { readonly kind: "query"; readonly step: number; readonly isRewritten: boolean }
  | { readonly kind: "touch"; readonly step: number; readonly touch: NumberedTouch };

/** It counts from its answer on, whatever becomes of its cycle. */
export type StatementChange =
  /** `body` is a copy; undefined if the message is too long to be looked at, or too much is kept already. */
  | { readonly kind: "parse"; readonly step: number; readonly key: string; readonly body?: Buffer }
  | { readonly kind: "close"; readonly step: number; readonly key: string };

/** Of messages whose answers are owed: beyond it their texts are not known, and what they make is too long to be kept. */
export const owedBodyBytesMax = 4 * 1024 * 1024;

/** Bodies of Parse messages that are not answered, of all cycles with one server. */
export interface OwedBodies {
  bytes: number;
}

/** Of the messages of one cycle. A client may send any number of them before it looks at an answer, or asks for one. */
export class Changes {
  private readonly owed: OwedBodies;
  /** Those of the steps that are not answered. */
  private statements: Deque<StatementChange> | undefined;
  /** The others, which count when the cycle is over. */
  readonly atEnd: Exclude<Change, StatementChange>[] = [];

  constructor(owed: OwedBodies = { bytes: 0 }) {
    this.owed = owed;
  }

  /** The body of another Parse may be kept. */
  hasRoomFor(bodyBytes: number): boolean {
    return this.owed.bytes + bodyBytes <= owedBodyBytesMax;
  }

  /** In the order of their steps. */
  push(change: Change): void {
    if (change.kind !== "parse" && change.kind !== "close") {
      this.atEnd.push(change);
      return;
    }
    this.owed.bytes += bodyBytesOf(change);
    this.statements ??= new Deque();
    this.statements.pushBack(change);
  }

  /** `step` is answered: gives its Parse or Close, if it is one, and forgets it with all before. */
  take(step: number): StatementChange | undefined {
    let taken: StatementChange | undefined;
    for (;;) {
      const first = this.statements?.front();
      if (!first || first.step > step) return taken;
      this.statements?.popFront();
      this.owed.bytes -= bodyBytesOf(first);
      if (first.step === step) taken = first;
    }
  }

  /** No more of it is going to be answered. */
  forgetOwed(): void {
    this.take(Number.POSITIVE_INFINITY);
  }
}

function bodyBytesOf(change: StatementChange): number {
  return change.kind === "parse" ? (change.body?.length ?? 0) : 0;
}

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
