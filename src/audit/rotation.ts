/** `audit.log`, and the older ones: `audit.log.1` is the last, and so on. */
export function namesOf(file: string, filesMax: number): string[] {
  return Array.from({ length: filesMax }, (_, age) => (age === 0 ? file : `${file}.${age}`));
}

/** In this order: each becomes the next older one; there is none for the oldest. */
export function renames(file: string, filesMax: number): { from: string; to: string }[] {
  const names = namesOf(file, filesMax);
  return names
    .flatMap((from, age) => {
      const to = names[age + 1];
      return to === undefined ? [] : [{ from, to }];
    })
    .toReversed();
}

/** One record as a line of JSON, with the fields that lines of all our logs have; a value that is undefined is left out. */
export function lineOf(
  time: number,
  event: string,
  facts: Readonly<Record<string, unknown>>,
): Buffer {
  const common = { level: 30, time: Math.round(time), process: "audit", event };
  return Buffer.from(`${JSON.stringify({ ...common, ...facts })}\n`);
}
