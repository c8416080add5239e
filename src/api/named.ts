import { BorealisError, sqlState } from "../base/errors.ts";

export interface NamedWords {
  readonly what: string;
  /** So many are kept at once. */
  readonly countMax: number;
  /** And so much of them together, as `put` is told. */
  readonly weightMax: number;
  /** Of one that is not there, and of one that is there already. */
  readonly missingCode: string;
  readonly duplicateCode: string;
}

export const statementWords: NamedWords = {
  what: "prepared statement",
  countMax: 1_000,
  weightMax: 1024 * 1024,
  missingCode: sqlState.noSuchStatement,
  duplicateCode: sqlState.duplicateStatement,
};

export const portalWords: NamedWords = {
  what: "portal",
  countMax: 100,
  weightMax: 1024 * 1024,
  missingCode: sqlState.noSuchPortal,
  duplicateCode: sqlState.duplicatePortal,
};

/** What a client has made under names: statements, or portals. The one without a name is replaced, the others are not. */
export class Named<T> {
  private readonly byName = new Map<string, { readonly one: T; readonly weight: number }>();
  private readonly words: NamedWords;

  constructor(words: NamedWords) {
    this.words = words;
  }

  /** Raises if the name is taken, and 54000 if there are too many. */
  requireRoom(name: string): void {
    const { what, duplicateCode, countMax } = this.words;
    if (name !== "" && this.byName.has(name))
      throw new BorealisError(duplicateCode, `${what} "${name}" already exists`);
    if (this.byName.size < countMax || this.byName.has(name)) return;
    throw tooMany(`a connection has ${countMax} ${what}s at most`);
  }

  /** `weight`: of what it keeps, in bytes. Raises 54000 if all together are too large. */
  put(name: string, one: T, weight: number): void {
    const { what, weightMax } = this.words;
    this.byName.delete(name);
    const kept = [...this.byName.values()].reduce((sum, { weight: own }) => sum + own, 0);
    if (kept + weight > weightMax)
      throw tooMany(`a connection's ${what}s have ${weightMax} bytes at most`);
    this.byName.set(name, { one, weight });
  }

  get all(): T[] {
    return [...this.byName.values()].map(({ one }) => one);
  }

  /** Raises if there is none. */
  require(name: string): T {
    const found = this.byName.get(name);
    if (found) return found.one;
    const { what, missingCode } = this.words;
    const which = name === "" ? `unnamed ${what}` : `${what} "${name}"`;
    throw new BorealisError(missingCode, `${which} does not exist`);
  }

  remove(name: string): void {
    this.byName.delete(name);
  }

  clear(): void {
    this.byName.clear();
  }
}

function tooMany(message: string): BorealisError {
  return new BorealisError(sqlState.limitExceeded, message, {
    hint: "Close those that are not needed any more.",
  });
}
