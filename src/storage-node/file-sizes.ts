import type { Ancestors } from "./ancestors.ts";

/** The biggest frame has to fit into an empty file. */
export const segmentBytesMin = 2 * 1024 * 1024;
/** Of each size a clone's node makes so many files before it makes bigger ones. */
const filesOfOneSize = 2;

/**
 * The size of a new log file. A clone begins with small ones: it may never write much, and files are filled with zeros ahead
 * of what is written. Of a volume that is no clone all are as big as the setting says.
 */
export function newFileBytes(
  sequence: number,
  options: { readonly segmentBytes: number; readonly ancestors: Ancestors },
): number {
  const { segmentBytes, ancestors } = options;
  const inherited = ancestors.at(-1)?.lastSequence;
  if (inherited === undefined) return segmentBytes;
  const doublings = Math.floor((sequence - inherited - 1) / filesOfOneSize);
  return Math.min(segmentBytes, segmentBytesMin * 2 ** Math.min(doublings, 20));
}
