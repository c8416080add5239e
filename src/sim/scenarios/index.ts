/**
 * The fixed scripts of simulation-tests.md, section 4: random runs find bugs, these keep them found. Each file is one way
 * through a small world, written as a trace of it would print; scenario.ts says how to read them.
 */
import { s01 } from "./s01-four-of-six.ts";
import { s02 } from "./s02-newer-epoch-wins.ts";
import { s03 } from "./s03-sync-after-promise.ts";
import { s04 } from "./s04-late-acknowledgements.ts";
import { s05 } from "./s05-inside-a-record.ts";
import { s06 } from "./s06-split-claim.ts";
import { s07 } from "./s07-tail-of-an-election.ts";
import { s08 } from "./s08-doubled-elect.ts";
import { s13 } from "./s13-sleeper.ts";
import { s14Four, s14Heir, s14One, s14Three } from "./s14-abandoned-backtrack.ts";
import { s24 } from "./s24-one-timeline-twice.ts";
import type { Scenario } from "./scenario.ts";

export const scenarios: readonly Scenario[] = [
  s01,
  s02,
  s03,
  s04,
  s05,
  s06,
  s07,
  s08,
  s13,
  s14One,
  s14Three,
  s14Four,
  s14Heir,
  s24,
];

export { play, type Scenario } from "./scenario.ts";
