/** Times and lengths of time as text: microseconds since 1970, and microseconds. The time zone is UTC. */

const secondUs = 1_000_000n;
const dayUs = 86_400n * secondUs;

/** JavaScript takes years below this for those of the last century. */
const yearMin = 100;

/** `2026-11-30 01:02:03.45+00`, as PostgreSQL prints it in UTC. */
export function formatTime(us: bigint): string {
  const seconds = floorDivide(us, secondUs);
  const iso = new Date(Number(seconds) * 1000).toISOString();
  return `${iso.slice(0, 10)} ${iso.slice(11, 19)}${fraction(us - seconds * secondUs)}+00`;
}

/** ISO 8601, with a space or a T, with or without a time and a zone (UTC then). Undefined if it is none. */
export function parseTime(text: string): bigint | undefined {
  const found =
    /^(\d{4})-(\d\d)-(\d\d)(?:[ T](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6})\d*)?)?)?\s*(Z|UTC|[-+]\d\d(?::?\d\d)?)?$/i.exec(
      text.trim(),
    );
  if (!found) return undefined;
  const [, year = "", month = "", day = "", hour = "0", minute = "0", second = "0"] = found;
  const ms = Date.UTC(+year, +month - 1, +day, +hour, +minute, +second);
  const date = new Date(ms);
  const isReal =
    date.getUTCMonth() === +month - 1 && date.getUTCDate() === +day && +minute < 60 && +hour < 25;
  if (!isReal || +year < yearMin) return undefined;
  const us = BigInt((found[7] ?? "").padEnd(6, "0"));
  return BigInt(ms) * 1000n + us - zoneUs(found[8] ?? "Z");
}

function zoneUs(zone: string): bigint {
  const found = /^([-+])(\d\d):?(\d\d)?$/.exec(zone);
  if (!found) return 0n;
  const minutes = BigInt(found[2] ?? "0") * 60n + BigInt(found[3] ?? "0");
  return (found[1] === "-" ? -minutes : minutes) * 60n * secondUs;
}

/** `2 days 03:04:05.5`, as PostgreSQL prints it. */
export function formatInterval(us: bigint): string {
  const days = us / dayUs;
  const rest = us % dayUs;
  const length = rest < 0n ? -rest : rest;
  const seconds = length / secondUs;
  const two = (value: bigint): string => String(value).padStart(2, "0");
  const clock = `${two(seconds / 3600n)}:${two((seconds / 60n) % 60n)}:${two(seconds % 60n)}`;
  const time = `${rest < 0n ? "-" : ""}${clock}${fraction(length % secondUs)}`;
  if (days === 0n) return time;
  const counted = `${days} ${days === 1n ? "day" : "days"}`;
  return rest === 0n ? counted : `${counted} ${time}`;
}

const unitUs: Readonly<Record<string, number>> = {
  us: 1,
  microsecond: 1,
  ms: 1e3,
  millisecond: 1e3,
  s: 1e6,
  sec: 1e6,
  second: 1e6,
  m: 6e7,
  min: 6e7,
  minute: 6e7,
  h: 3.6e9,
  hour: 3.6e9,
  d: 8.64e10,
  day: 8.64e10,
  week: 6.048e11,
};

/** `5 minutes`, `1 day 02:00:00`, `1h`; months and years have no fixed length, and are none here. */
export function parseInterval(text: string): bigint | undefined {
  const part =
    /\s*(?:([-+]?\d+(?:\.\d+)?)\s*([a-z]+)|([-+]?)(\d{1,4}):(\d\d)(?::(\d\d(?:\.\d+)?))?)\s*/iy;
  let totalUs = 0n;
  let at = 0;
  while (at < text.length) {
    part.lastIndex = at;
    const found = part.exec(text);
    if (!found) return undefined;
    const us = partUs(found);
    if (us === undefined) return undefined;
    totalUs += us;
    at = part.lastIndex;
  }
  return at === 0 ? undefined : totalUs;
}

function partUs([, count, name, sign, hours, minutes, seconds]: RegExpExecArray):
  | bigint
  | undefined {
  if (hours !== undefined) {
    const us = (Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds ?? 0)) * 1e6;
    return BigInt(Math.round(sign === "-" ? -us : us));
  }
  const word = (name ?? "").toLowerCase();
  const unit = [word, word.replace(/s$/, "")].find((one) => Object.hasOwn(unitUs, one));
  const us = Number(count) * (unitUs[unit ?? ""] ?? Number.NaN);
  return Number.isSafeInteger(Math.round(us)) ? BigInt(Math.round(us)) : undefined;
}

function fraction(us: bigint): string {
  return us === 0n ? "" : `.${String(us).padStart(6, "0").replace(/0+$/, "")}`;
}

function floorDivide(value: bigint, by: bigint): bigint {
  const quotient = value / by;
  return value % by < 0n ? quotient - 1n : quotient;
}
