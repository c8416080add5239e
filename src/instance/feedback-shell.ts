import { type Clock, sleep } from "../io/index.ts";
import type { LogDriverHandle } from "../log-driver/index.ts";
import type { FeedbackBook } from "./feedback.ts";

const everyMs = 1_000;

/** What readers still need, as the writer's driver tells its PostgreSQL; until `stop` aborts. */
export async function passFeedbackOn(
  book: FeedbackBook,
  { driver, clock }: { readonly driver: LogDriverHandle; readonly clock: Clock },
  stop: AbortSignal,
): Promise<void> {
  let last = "";
  while (!stop.aborted) {
    const horizon = book.horizon(clock.nowMs());
    const text = JSON.stringify(horizon);
    if (text !== last) driver.setFeedback(horizon);
    last = text;
    await sleep(clock, everyMs, stop);
  }
}
