import { type Clock, realClock } from "../../src/io/index.ts";

/** A clock on which waits take no time: it is later by each of them at once. */
export function passingClock(): Clock {
  let nowMs = 0;
  return {
    ...realClock,
    nowMs: () => nowMs,
    after: (delayMs, fn) => {
      nowMs += delayMs;
      return realClock.after(0, fn);
    },
  };
}
