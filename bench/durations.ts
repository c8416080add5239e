/** How long something takes, round by round, each contender in turn and alone. */
import type { Named } from "./contender.ts";
import type { BenchOptions } from "./options.ts";
import { besideOurs, formatTable, type Pair, type Row, rowOf } from "./report.ts";
import { median } from "./stats.ts";

/** In seconds, by contender. */
export type Durations = ReadonlyMap<string, readonly number[]>;

/**
 * Rounds of `once`, which gives milliseconds, after one of each that does not count: with it files come into the page cache, and
 * memory into the machine. The order turns by one each round.
 */
export async function timeRounds<C extends Named>(
  title: string,
  contenders: readonly C[],
  { options, once }: { options: BenchOptions; once: (contender: C) => Promise<number> },
): Promise<Durations> {
  const durations = new Map<string, number[]>(contenders.map(({ name }) => [name, []]));
  for (let round = 0; round <= options.rounds; round++) {
    const results: string[] = [];
    for (let k = 0; k < contenders.length; k++) {
      const contender = contenders[(k + round) % contenders.length];
      if (!contender) continue;
      const seconds = (await once(contender)) / 1000;
      if (round > 0) durations.get(contender.name)?.push(seconds);
      results.push(`${contender.name} ${seconds.toFixed(2)} s`);
    }
    const which = round === 0 ? "before the rounds" : `round ${round} of ${options.rounds}`;
    console.log(`${title}, ${which}: ${results.join(", ")}`);
  }
  console.log(`${summarize(durations)}\n`);
  return durations;
}

function summarize(durations: Durations): string {
  const rows = [...durations].map(([name, seconds]) => {
    const figures = [median(seconds), Math.min(...seconds), Math.max(...seconds)];
    return [name, ...figures.map((one) => one.toFixed(2))];
  });
  return formatTable(["s", "median", "min", "max"], rows);
}

/** A row for each pair; unless told, "ours" beside each of the others. */
export function compareDurations(
  title: string,
  durations: Durations,
  pairs: readonly Pair[] = besideOurs(durations.keys()),
): Row[] {
  return pairs.flatMap(([name, peerName]) => {
    const [ours, peer] = [durations.get(name), durations.get(peerName)];
    return ours && peer ? [rowOf({ case: title, unit: "s", ours, peer, peerName })] : [];
  });
}
