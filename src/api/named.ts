import { BorealisError, sqlState } from "../base/errors.ts";

/** So many that a client gives names to are kept at once. */
const countMax = 1_000;

export interface NamedWords {
  readonly what: string;
  /** Of one that is not there, and of one that is there already. */
  readonly missingCode: string;
  readonly duplicateCode: string;
}

export const statementWords: NamedWords = {
  what: "prepared statement",
  missingCode: sqlState.noSuchStatement,
  duplicateCode: sqlState.duplicateStatement,
};

export const portalWords: NamedWords = {
  what: "portal",
  missingCode: sqlState.noSuchPortal,
  duplicateCode: sqlState.duplicatePortal,
};

/** What a client has made under names: statements, or portals. The one without a name is replaced, the others are not. */
export class Named<T> {
  private readonly byName = new Map<string, T>();
  private readonly words: NamedWords;

  constructor(words: NamedWords) {
    this.words = words;
  }

  /** Raises if the name is taken, and 54000 if there are too many. */
  requireRoom(name: string): void {
    const { what, duplicateCode } = this.words;
    if (name !== "" && this.byName.has(name))
      throw new BorealisError(duplicateCode, `${what} "${name}" already exists`);
    if (this.byName.size < countMax) return;
    throw new BorealisError(
      sqlState.limitExceeded,
      `a connection has ${countMax} ${what}s at most`,
      { hint: "Close those that are not needed any more." },
    );
  }

  put(name: string, one: T): void {
    this.byName.set(name, one);
  }

  /** Raises if there is none. */
  require(name: string): T {
    const found = this.byName.get(name);
    if (found !== undefined) return found;
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
