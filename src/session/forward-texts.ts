import type { Exchange } from "./exchange.ts";
import { type ForwardText, forwardTextOf, preparedTextOf } from "./forward-decision.ts";
import type { TextSource } from "./switch-messages.ts";

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
        ? { text: preparedTextOf(classified(sql)), sql: undefined }
        : { text: textOf(sql), sql };
    },
  };
}
