import { type Timeline, timeline } from "../base/ids.ts";
import { lsn, type Lsn } from "../base/lsn.ts";
import { segmentBytes } from "./page.ts";

const segmentsPerFile = 0x1_0000_0000n / BigInt(segmentBytes);
const hex8 = (value: bigint | number): string => value.toString(16).toUpperCase().padStart(8, "0");

/** Name of the file in pg_wal that holds `at`: timeline, high half, number of the segment in it. */
export function segmentName(branch: Timeline, at: Lsn): string {
  const number = at / BigInt(segmentBytes);
  return hex8(branch) + hex8(number / segmentsPerFile) + hex8(number % segmentsPerFile);
}

/** Timeline and first LSN of a segment file. Undefined if the name is not one. */
export function parseSegmentName(name: string): { timeline: Timeline; start: Lsn } | undefined {
  const parts = /^([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})$/.exec(name);
  if (!parts) return undefined;
  const [branch, high, low] = parts.slice(1).map((part) => BigInt(`0x${part}`));
  if (branch === undefined || high === undefined || low === undefined || low >= segmentsPerFile) {
    return undefined;
  }
  const start = lsn((high * segmentsPerFile + low) * BigInt(segmentBytes));
  return { timeline: timeline(Number(branch)), start };
}
