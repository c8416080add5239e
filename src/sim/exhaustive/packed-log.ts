/**
 * Logs of a few units as one number: four bits a unit, the first unit lowest, each the tag of the claim that wrote it
 * (its index + 1); 0 ends the log. The same packing serves sets of claims, unit by unit (what a node keeps aside).
 */
export type PackedLog = number;

const bits = 4;
/** So that a log fits the 31 bits of a small integer. */
export const unitsMax = 7;
export const claimsMax = 4;

export function tagAt(log: PackedLog, unit: number): number {
  return (log >>> (bits * unit)) & 0xf;
}

export function lengthOf(log: PackedLog): number {
  let units = 0;
  for (let rest = log; rest !== 0; rest >>>= bits) units++;
  return units;
}

export function prefixOf(log: PackedLog, units: number): PackedLog {
  return units >= unitsMax ? log : log & ((1 << (bits * units)) - 1);
}

export function withUnit(log: PackedLog, unit: number, tag: number): PackedLog {
  return log | (tag << (bits * unit));
}

/** Units at the start that both have alike. */
export function commonLength(a: PackedLog, b: PackedLog): number {
  let units = 0;
  while (tagAt(a, units) !== 0 && tagAt(a, units) === tagAt(b, units)) units++;
  return units;
}

/** "11" then "2": the claims in the order of the log, "-" for an empty one. */
export function formatLog(log: PackedLog): string {
  let text = "";
  for (let rest = log; rest !== 0; rest >>>= bits) text += String(rest & 0xf);
  return text === "" ? "-" : text;
}
