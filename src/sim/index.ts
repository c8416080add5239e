/**
 * The simulator: the shipped state machines under faults that nobody could arrange. Start with exhaustive/index.ts, which
 * goes through every interleaving of a small world.
 */
export * from "./exhaustive/index.ts";
