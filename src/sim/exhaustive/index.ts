/**
 * The bounded exhaustive search: every interleaving of a small world, with the shipped state machines as its steps.
 * Start with exhaust.ts (the search and what it promises), then search-space.ts (which steps there are), model-node.ts
 * and model-driver.ts (how the shipped Acceptor and Driver are asked), observer.ts and recoverable.ts (the laws).
 * jobs.ts names the worlds worth searching, mutants.ts the broken rules that it must catch.
 */
export { exhaust, type ExhaustOptions, type ExhaustReport, type Violation } from "./exhaust.ts";
export { findJobs, type Job, type JobResult, jobs, runJob, type RunOptions } from "./jobs.ts";
export { type SearchMutant, searchMutants } from "./mutants.ts";
export { huntBySearch, main as runExhaustive } from "./main-shell.ts";
export { formatReport } from "./report.ts";
export { walk, type WalkResult } from "./walk.ts";
