/** How people say a moment on the command line: a time, a position of the log, or its end. */
import { BorealisError, sqlState } from "../base/errors.ts";
import { findLsn, type Lsn } from "../base/lsn.ts";

export type AskedMoment =
  | { readonly kind: "lsn"; readonly at: Lsn }
  /** Microseconds since 1970. */
  | { readonly kind: "time"; readonly timeUs: bigint }
  | { readonly kind: "latest" };

const units: Readonly<Record<string, bigint>> = {
  s: 1_000_000n,
  m: 60_000_000n,
  h: 3_600_000_000n,
  d: 86_400_000_000n,
};

/** Date, time of day to the microsecond, zone: Z, +02, +0200 or +02:00. A blank in place of the T, as PostgreSQL prints it. */
const isoForm =
  /^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?(Z|[+-]\d{2}(?::?\d{2})?)?$/i;

/**
 * `2026-11-28T22:10:03Z`, `-5m`, `0/16B3748` or `latest`. Raises BorealisError 22023 that says what is wrong with it: also for
 * a time without a zone, which would mean another moment on each machine.
 */
export function parseMoment(text: string, option: string, nowMs: number): AskedMoment {
  const asked = text.trim();
  if (asked.toLowerCase() === "latest") return { kind: "latest" };
  const at = findLsn(asked);
  if (at !== undefined) return { kind: "lsn", at };
  const [, count, unit = ""] = /^-(\d{1,9})([smhd])$/.exec(asked) ?? [];
  const unitUs = units[unit];
  if (count !== undefined && unitUs !== undefined)
    return { kind: "time", timeUs: BigInt(Math.round(nowMs)) * 1_000n - BigInt(count) * unitUs };
  const parts = isoForm.exec(asked);
  if (!parts) throw refuse(option, `"${text}" is neither a time nor a position of the log`);
  const [, day = "", minute = "", second = "00", fraction = "", zone] = parts;
  if (zone === undefined) throw refuse(option, `"${text}" does not say in which time zone`);
  const ms = Date.parse(`${day}T${minute}:${second}${offsetOf(zone)}`);
  // Date.parse takes 31 February for 3 March; a typing error must not become another day.
  if (Number.isNaN(ms) || !isDay(day)) throw refuse(option, `"${text}" is no time that there is`);
  const fractionUs = BigInt(fraction.padEnd(6, "0").slice(0, 6));
  return { kind: "time", timeUs: BigInt(ms) * 1_000n + fractionUs };
}

/** ISO 8601, in UTC, to the microsecond where there is more than the second. */
export function formatTimeUs(timeUs: bigint): string {
  const iso = new Date(Number(timeUs / 1_000n)).toISOString();
  const fraction = String(timeUs % 1_000_000n).padStart(6, "0");
  return fraction === "000000" ? `${iso.slice(0, 19)}Z` : `${iso.slice(0, 19)}.${fraction}Z`;
}

function offsetOf(zone: string): string {
  if (/^z$/i.test(zone)) return "Z";
  const digits = zone.slice(1).replace(":", "").padEnd(4, "0");
  return `${zone.slice(0, 1)}${digits.slice(0, 2)}:${digits.slice(2)}`;
}

function isDay(day: string): boolean {
  const ms = Date.parse(`${day}T00:00:00Z`);
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(day);
}

function refuse(option: string, why: string): BorealisError {
  return new BorealisError(sqlState.invalidParameter, `${option}: ${why}`, {
    hint: "for example 2026-11-28T22:10:03Z, -5m (also s, h, d), 0/16B3748 or latest",
  });
}
