import type { OutcomeUnknown } from "../base/errors.ts";
import type { Action } from "./action.ts";
import type { Conversation } from "./conversation.ts";
import { frontOf, sightOf } from "./loss.ts";
import type { Memory } from "./memory.ts";
import { answered, unknownOutcome } from "./resume.ts";

/**
 * What has to be known before a session ends whose server an operator has ended, and that alone: the fate of what it was
 * committing, or nothing. "doubt": nobody can tell.
 */
export function endingOf({
  exchange,
  server,
}: Conversation): Extract<Action, { kind: "askFate" }> | "known" | "doubt" {
  const sight = sightOf(exchange);
  const isDoubtful = sight.kind === "doubt" || server.hasMore;
  if (isDoubtful) return exchange.mayHaveCommitted ? "doubt" : "known";
  if (sight.kind !== "ask") return "known";
  const endsPrepared = frontOf(exchange)?.endsPrepared === true;
  return { kind: "askFate", xid: sight.xid, isEndedAlone: true, endsPrepared };
}

/** Then its client hears that it was committed, if it was, and of the end; or that this is not known. */
export function lastWordsOf(
  conversation: Conversation,
  memory: Memory,
  hasHappened: boolean | undefined,
): Action[] | OutcomeUnknown {
  if (hasHappened === undefined) return unknownOutcome(false);
  if (hasHappened && "resume" in answered(conversation, memory)) return unknownOutcome(true);
  return [...conversation.exchange.takeActions(), ...conversation.endedOnPurpose()];
}
