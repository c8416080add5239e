import { advance, type Lsn } from "../base/lsn.ts";
import type { AcceptorState } from "../acceptor/index.ts";
import { commonPrefix } from "../quorum/index.ts";
import type { LogStore } from "./log-store-shell.ts";
import { RottenLog } from "./read-failures.ts";

/** Where the missing log ends under the state `after`: what a newly accepted path cuts off is not missing any more. */
export function rotEndUnder(
  rotKnownEnd: Lsn | undefined,
  before: AcceptorState,
  after: AcceptorState,
): Lsn | undefined {
  if (rotKnownEnd === undefined || after.accepted === before.accepted) return rotKnownEnd;
  const range = { from: before.base, limit: rotKnownEnd };
  return commonPrefix(before.history, after.history, range);
}

/** Where the log that holds `from` is rotten, by reading it once more; undefined: it is not. */
export async function findRot(log: LogStore, from: Lsn): Promise<Lsn | undefined> {
  if (from >= log.scl) return undefined;
  try {
    await log.read({ from, to: advance(from, 1), limitBytes: 1 });
    return undefined;
  } catch (error) {
    return error instanceof RottenLog ? error.lsn : undefined;
  }
}
