// Whether a figure of measure-volume.mjs holds what is promised.

/**
 * `bound` names the fact that has to lie below it; a figure without one promises nothing. Rows that are missing, or balances
 * that are not those of the moment, are never made good by a time that is short.
 */
export function verdictOf(facts, bound) {
  if (bound === undefined) return {};
  const { missing = 0, isEqual = true } = facts;
  const isKept = missing === 0 && isEqual;
  return { holds: isKept && facts[bound.of] < bound.below, below: bound.below };
}
