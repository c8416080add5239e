import type { Family, Sample } from "../base/exposition.ts";
import { findLsn } from "../base/lsn.ts";

export function gauge(name: string, help: string, samples: readonly Sample[]): Family {
  return { kind: "gauge", name, help, samples };
}

export function counter(name: string, help: string, samples: readonly Sample[]): Family {
  return { kind: "counter", name, help, samples };
}

export function truth(isSo: boolean): number {
  return isSo ? 1 : 0;
}

/** Seconds since 1970 of a time in ISO 8601; nothing where there is none. */
export function timestamp(time: string | null): Sample[] {
  const ms = time === null ? Number.NaN : Date.parse(time);
  return Number.isNaN(ms) ? [] : [{ value: ms / 1000 }];
}

/** How far one position of the log is behind another, in bytes; 0 where it is not. Undefined: one of them is not known. */
export function behindBytes(lsn: string | null, end: string | null): number | undefined {
  const at = findLsn(lsn ?? "");
  const to = findLsn(end ?? "");
  if (at === undefined || to === undefined) return undefined;
  return to > at ? Number(to - at) : 0;
}

/** Of each row those that have a value. */
export function samplesOf<Row>(
  rows: readonly Row[],
  labelsOf: (row: Row) => Readonly<Record<string, string>>,
  valueOf: (row: Row) => number | null | undefined,
): Sample[] {
  return rows.flatMap((row) => {
    const value = valueOf(row);
    return typeof value === "number" ? [{ labels: labelsOf(row), value }] : [];
  });
}
