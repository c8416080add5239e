import { assert, present } from "../../base/assert.ts";
import { trueRules } from "../../quorum/index.ts";
import type { ExhaustOptions } from "./exhaust.ts";
import { describeEvent } from "./search-event.ts";
import { SearchSpace } from "./search-space.ts";

export interface WalkResult {
  /** The law that broke, and after how many lines. */
  readonly law: string | undefined;
  readonly steps: number;
}

/**
 * Goes one way through a world: each line is a step as a trace prints it (what it did to a log may be left out). So a
 * trace that was found once is kept as a test. "never: " before a line: no such step is possible there. Raises
 * InvariantBroken if it is otherwise.
 */
export function walk(options: Omit<ExhaustOptions, "clock">, lines: readonly string[]): WalkResult {
  const space = spaceFor(options);
  const row = new Int32Array(options.nodes + 1);
  space.readFirst(row);
  return follow(space, lines, row);
}

export function spaceFor(options: Omit<ExhaustOptions, "clock">): SearchSpace {
  return new SearchSpace({
    ...options,
    rules: options.rules ?? trueRules,
    isSymmetric: options.isSymmetric ?? true,
    rivals: options.rivals ?? 0,
    unitsPerRecord: options.unitsPerRecord ?? 1,
    withSync: options.withSync ?? false,
    withHints: options.withHints ?? false,
  });
}

/** Before a line: the step that follows is not possible here. */
const never = "never: ";

/** From the first state, which `row` holds, along the lines; `row` is then the state where they end. */
export function follow(space: SearchSpace, lines: readonly string[], row: Int32Array): WalkResult {
  const names = Array.from({ length: row.length - 1 }, (_, n) => `n${n + 1}`);
  for (const [index, text] of lines.entries()) {
    const isNever = text.startsWith(never);
    const line = isNever ? text.slice(never.length) : text;
    const before = Int32Array.from(row);
    const possible: string[] = [];
    let found: { readonly law: string | undefined } | undefined;
    space.expandAll(before, (successor) => {
      const after = Int32Array.from(successor.nodes);
      const { event, overview } = successor;
      const step = describeEvent(space, { event, names, before, after }, successor);
      possible.push(step);
      if (found || (step !== line && !step.startsWith(`${line}:`))) return;
      found = { law: successor.law };
      if (!isNever) row.set([overview, ...after]);
    });
    if (isNever) {
      assert(found === undefined, `"${line}" must not be possible after step ${index}`);
      continue;
    }
    assert(found !== undefined, `"${line}" is none of: ${possible.join("; ")}`);
    const law = present(found, "the step was found").law ?? space.brokenLaw(row);
    if (law !== undefined) return { law, steps: index + 1 };
  }
  return { law: undefined, steps: lines.length };
}
