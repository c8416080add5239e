import { BorealisError, sqlState } from "../base/errors.ts";

/** Of a text that an expression makes, in UTF-16 units. */
const textMax = 1_000_000;

/** Parameters of one statement; PostgreSQL takes 65,535. */
export const parametersMax = 1_000;

/** PostgreSQL's limit. */
const columnsMax = 1_664;

/** Asked before a text of that length is made. Raises 54000. */
export function requireTextFits(length: number): void {
  if (length <= textMax) return;
  throw new BorealisError(
    sqlState.limitExceeded,
    `a text of the admin database has ${textMax} characters at most`,
  );
}

/** Raises 54000. */
export function fitting(text: string): string {
  requireTextFits(text.length);
  return text;
}

/** Raises 54011 for a list of results that is longer than PostgreSQL's may be. */
export function requireColumnsFit(count: number): void {
  if (count <= columnsMax) return;
  throw new BorealisError(
    sqlState.tooManyColumns,
    `target lists can have at most ${columnsMax} entries`,
  );
}

/** Words and signs of a query of PostgreSQL's catalogs, which the endpoint itself reads: what tools ask has some hundreds. */
const catalogTokensMax = 4_000;

/** Raises 54001. */
export function requireQueryFits(tokens: number): void {
  if (tokens <= catalogTokensMax) return;
  throw new BorealisError(
    sqlState.tooComplex,
    `a query of PostgreSQL's catalogs has ${catalogTokensMax} words and signs at most in the admin database`,
  );
}

/** Raises 42P02. */
export function requireParameter(number: number): void {
  if (Number.isInteger(number) && number >= 1 && number <= parametersMax) return;
  throw new BorealisError(sqlState.undefinedParameter, `there is no parameter $${number}`);
}

/** Raises 22021 for what PostgreSQL could not hold, and the protocol's own strings cannot either. */
export function requireNoZero(text: string): string {
  if (!text.includes("\0")) return text;
  throw new BorealisError(
    sqlState.invalidEncoding,
    'invalid byte sequence for encoding "UTF8": 0x00',
  );
}
