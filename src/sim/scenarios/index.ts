/**
 * The fixed scripts of simulation-tests.md, section 4: random runs find bugs, these keep them found. Each file is one way
 * through a small world, written as a trace of it would print (scenario.ts says how to read them), or a small program on
 * the seeded simulator's world (scene.ts).
 */
import { s01 } from "./s01-four-of-six.ts";
import { s02 } from "./s02-newer-epoch-wins.ts";
import { s03 } from "./s03-sync-after-promise.ts";
import { s04 } from "./s04-late-acknowledgements.ts";
import { s05 } from "./s05-inside-a-record.ts";
import { s06 } from "./s06-split-claim.ts";
import { s07 } from "./s07-tail-of-an-election.ts";
import { s08 } from "./s08-doubled-elect.ts";
import { s09, s09Finish, s09Joint } from "./s09-half-a-replacement.ts";
import { s10 } from "./s10-an-empty-newcomer.ts";
import { s11 } from "./s11-a-lost-zone.ts";
import { s12 } from "./s12-salvage.ts";
import { s13 } from "./s13-sleeper.ts";
import { s14Four, s14Heir, s14One, s14Three } from "./s14-abandoned-backtrack.ts";
import { s15, s15NotDropped } from "./s15-a-low-water-on-one-node.ts";
import { s16 } from "./s16-a-clone-of-what-went.ts";
import { s17, s17Healed, s17Last, s17Middle } from "./s17-bad-frames.ts";
import { s18 } from "./s18-a-failed-sync.ts";
import { s19 } from "./s19-full-disks.ts";
import { s20, s20Proxy, s20Round } from "./s20-a-writer-that-slept.ts";
import { s21, s21Beyond, s21Bound } from "./s21-leases-and-clocks.ts";
import { s22, s22Different, s22Shorter } from "./s22-a-crash-restart.ts";
import { s23 } from "./s23-another-switch-point.ts";
import { s24 } from "./s24-one-timeline-twice.ts";
import { s25, s25Lengths, s25Strangers } from "./s25-bytes-gone-wrong.ts";
import { play, type Scenario, type ScenePlay } from "./scenario.ts";

export const scenarios: readonly (Scenario | ScenePlay)[] = [
  s01,
  s02,
  s03,
  s04,
  s05,
  s06,
  s07,
  s08,
  s09,
  s09Joint,
  s09Finish,
  s10,
  s11,
  s12,
  s13,
  s14One,
  s14Three,
  s14Four,
  s14Heir,
  s15,
  s15NotDropped,
  s16,
  s17,
  s17Middle,
  s17Last,
  s17Healed,
  s18,
  s19,
  s20,
  s20Round,
  s20Proxy,
  s21,
  s21Bound,
  s21Beyond,
  s22,
  s22Shorter,
  s22Different,
  s23,
  s24,
  s25,
  s25Lengths,
  s25Strangers,
];

export { play, type ScenePlay, type Scenario } from "./scenario.ts";

/** Plays the one of this id and its variants ("S9": S9b too), or "all", and prints how each came out: the exit code. */
export function playScenarios(id: string): number {
  const isChosen = (one: string): boolean => id === "all" || one.replace(/[a-z]$/, "") === id;
  const chosen = scenarios.filter((one) => one.id === id || isChosen(one.id));
  if (chosen.length === 0) {
    const ids = scenarios.map((scenario) => scenario.id).join(", ");
    console.error(`no scenario "${id}"; there are: ${ids}, and all`);
    return 2;
  }
  let failed = 0;
  for (const scenario of chosen) {
    const broken = play(scenario);
    const { id: name, what, expected } = scenario;
    console.log(`${name} ${what}: ${expected}\n  ${broken ?? "so it is; no law broken"}`);
    if (broken !== undefined) failed++;
  }
  return failed === 0 ? 0 : 1;
}
