/** What repeats one and the same thing at other places: a part of it in `npm test`, all with BOREALIS_TEST=thorough. */
import { it } from "vitest";

const isThorough = process.env["BOREALIS_TEST"] === "thorough";

/** The first `few` run always; the others show up as skipped. Their names are made from the case, as it.each does. */
export function someOf<T>(
  cases: readonly T[],
  few: number,
): (name: string, run: (one: T) => Promise<void>) => void {
  const rest = cases.slice(few);
  return (name, run) => {
    it.each(cases.slice(0, few))(name, run);
    if (isThorough) it.each(rest)(name, run);
    else it.skip.each(rest)(name, run);
  };
}
