/**
 * Who may come in, as far as that depends on where they come from, pure: half-open-book.ts bounds connections that are not
 * logged in yet, rate-book.ts how many come in a second, failure-book.ts slows down whoever guesses passwords. They count by
 * address (address-key.ts). Which addresses an endpoint takes at all is a list of io's (address-list.ts); session's
 * doorman-shell.ts puts all of them together.
 */
export { addressKey, originOf } from "./address-key.ts";
export { FairQueue } from "./fair-queue.ts";
export { FailureBook, type FailureLimits, type Ticket } from "./failure-book.ts";
export { HalfOpenBook, type HalfOpenLimits, type Standing } from "./half-open-book.ts";
export { RateBook, type RateLimits } from "./rate-book.ts";
export { type Counted, RefusalTally, type TallyLimits } from "./refusal-tally.ts";
