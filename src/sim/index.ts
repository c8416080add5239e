/**
 * The seeded simulator of the quorum log: the shipped cores on a virtual network, virtual disks and virtual clocks, under
 * faults, with the laws I1-I15 looked at after every step. Start with world.ts (who takes part), then run.ts (one run),
 * observer.ts (the laws), profiles.ts and chaos.ts (what happens to it all). exhaustive/ goes through every interleaving of
 * a world small enough for that; scenarios/ has the fixed scripts.
 */
export {
  addReport,
  addTally,
  type Hunt,
  huntMutant,
  newTally,
  profileFor,
  silentCounters,
  stepsDefault,
  type Tally,
} from "./campaign.ts";
export { type Mutant, mutants, rulesOf } from "./mutants.ts";
export { profiles, profileOf, type Profile } from "./profiles.ts";
export { type RunFailure, type RunOptions, type RunReport, runSeed } from "./run.ts";
export { type SimRules, trueSimRules } from "./shell-rules.ts";
export { failureText, type Shrunk, shrinkFailure, thousands } from "./shrink.ts";
export * from "./exhaustive/index.ts";
export { playScenarios } from "./scenarios/index.ts";
