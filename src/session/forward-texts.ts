import { type ConsistencyMode, consistencyModeOf, consistencySetting } from "./consistency.ts";
import type { Exchange } from "./exchange.ts";
import { type ForwardText, forwardTextOf, preparedTextOf } from "./forward-decision.ts";
import { mayTouchSession } from "./prepared-book.ts";
import type { TextSource } from "./switch-unit.ts";

/** What texts mean for forwarding, as the session's own server reads them at that moment; classes are cached. */
export function textSourceOf(exchange: () => Exchange): TextSource {
  const classified = (sql: string) => exchange().planner.classified(sql, exchange().isPlain(sql));
  const textOf = (sql: string): ForwardText => forwardTextOf(classified(sql));
  return {
    textOf,
    findPrepared: (name) => {
      const found = exchange().memory.preparedText(name);
      if (!found) return undefined;
      const { sql, isPrepare } = found;
      // The text of a PREPARE cannot open a transaction elsewhere.
      return isPrepare
        ? {
            text: { ...preparedTextOf(classified(sql)), changesSession: mayTouchSession(sql) },
            sql: undefined,
          }
        : { text: textOf(sql), sql };
    },
  };
}

/**
 * The mode that the session is in. Its server's word counts, if that is not older than what may have changed it: a text says
 * nothing of a rollback.
 */
export function consistencyOf({ memory, wishes }: Exchange): ConsistencyMode {
  const told = memory.isKnown ? memory.customValue(consistencySetting) : undefined;
  return typeof told === "string" ? (consistencyModeOf(told) ?? "off") : wishes.consistency;
}
