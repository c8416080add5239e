/** Tables for people, rows for --json. */
import { median, ratios } from "./stats.ts";

/** A row of the file that --json writes. `ratio` is the median of the rounds' ratios; min and max are theirs. */
export interface Row {
  readonly case: string;
  readonly unit: string;
  readonly ours: number;
  readonly peer: number;
  readonly peerName: string;
  readonly ratio: number;
  readonly min: number;
  readonly max: number;
  readonly rounds: number;
}

export interface Comparison {
  readonly case: string;
  readonly unit: string;
  readonly ours: readonly number[];
  readonly peer: readonly number[];
  readonly peerName: string;
}

/** Two contenders: whose figures come first in a row, and whom they are compared with. */
export type Pair = readonly [ours: string, peer: string];

/** "ours" beside each of the others. */
export function besideOurs(names: Iterable<string>): Pair[] {
  return [...names].filter((name) => name !== "ours").map((name) => ["ours", name]);
}

export function rowOf(comparison: Comparison): Row {
  const { ours, peer } = comparison;
  const quotients = ratios(ours, peer);
  return {
    case: comparison.case,
    unit: comparison.unit,
    ours: rounded(median(ours)),
    peer: rounded(median(peer)),
    peerName: comparison.peerName,
    ratio: rounded(median(quotients)),
    min: rounded(Math.min(...quotients)),
    max: rounded(Math.max(...quotients)),
    rounds: quotients.length,
  };
}

/** Four significant digits: more would be noise. */
function rounded(value: number): number {
  return Number(value.toPrecision(4));
}

/** Columns as wide as their widest cell; numbers to the right. */
export function formatTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? "").length)),
  );
  const isNumber = header.map((_, column) =>
    rows.every((row) => /^[-\d.,–+ x%]*$/.test(row[column] ?? "")),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return isNumber[column] ? cell.padStart(width) : cell.padEnd(width);
      })
      .join("  ")
      .trimEnd();
  return [line(header), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join(
    "\n",
  );
}

export function formatRows(rows: readonly Row[]): string {
  return formatTable(
    ["case", "unit", "ours", "peer", "ratio", "min", "max", "rounds", "beside"],
    rows.map((row) => [
      row.case,
      row.unit,
      String(row.ours),
      String(row.peer),
      row.ratio.toFixed(2),
      row.min.toFixed(2),
      row.max.toFixed(2),
      String(row.rounds),
      row.peerName,
    ]),
  );
}
