/**
 * What repeats one and the same thing at other places, or takes long: a part of it in `npm test`, which many run often; more in
 * `npm run test:all`, which sets BOREALIS_TEST=all; and whatever goes on as long as one likes with BOREALIS_TEST=thorough.
 */
import { it } from "vitest";
import { type Rng, seededRng } from "../../src/base/rng.ts";

export const isThorough = process.env["BOREALIS_TEST"] === "thorough";

export const isWhole = isThorough || process.env["BOREALIS_TEST"] === "all";

/** A test that `npm run test:all` has; in `npm test` it shows up as skipped. */
export const wholeIt = isWhole ? it : it.skip;

/**
 * The first `few` run always, the first `many` in `npm run test:all`; the others show up as skipped. Their names are made from the
 * case, as it.each does.
 */
export function someOf<T>(
  cases: readonly T[],
  few: number,
  many = few,
): (name: string, run: (one: T) => Promise<void>) => void {
  const count = isWhole ? many : few;
  const rest = cases.slice(count);
  const mayBegin = untilTimeIsUp();
  return (name, run) => {
    it.each(cases.slice(0, count))(name, run);
    if (!isThorough) return it.skip.each(rest)(name, run);
    it.for(rest)(name, (one, context) => {
      mayBegin(context);
      return run(one);
    });
  };
}

/** How many kills at random moments: none by default, with BOREALIS_TEST=thorough BOREALIS_KILLS, or `usual`. */
export function killsWanted(usual: number): number {
  return isThorough ? Number(process.env["BOREALIS_KILLS"] ?? usual) : 0;
}

/** After BOREALIS_MINUTES none of them begins any more, so that a run ends by itself; what was left out shows up as skipped. */
export function untilTimeIsUp(): (context: { skip(note: string): void }) => void {
  const minutes = Number(process.env["BOREALIS_MINUTES"] ?? Number.POSITIVE_INFINITY);
  const startMs = performance.now();
  return (context) => {
    if (performance.now() - startMs > minutes * 60_000) context.skip("its time is up");
  };
}

/** Randomness from BOREALIS_SEED, or from a seed that is printed, so that what it found can be run again. */
export function randomMoments(): Rng {
  const seed = Number(process.env["BOREALIS_SEED"] ?? Date.now() % 1_000_000);
  console.log(`BOREALIS_SEED=${seed}`);
  return seededRng(seed);
}
