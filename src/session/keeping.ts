import { transactionState } from "../wire/index.ts";
import type { Conversation } from "./conversation.ts";

/** Why a session cannot be without its server at this moment, in words for an operator; undefined: it can. */
export function whyKept(
  conversation: Conversation,
  { isServerGone = false }: { readonly isServerGone?: boolean } = {},
): string | undefined {
  const { exchange, client, server } = conversation;
  const { wishes } = exchange;
  if (exchange.state !== transactionState.idle) return "a transaction is open";
  if (!conversation.isIdle || !client.isAtBoundary || !server.isAtBoundary)
    return "a statement is under way";
  // A batch whose error was told before its Sync; what waits for the end of a message.
  const isOwed = client.skippedState !== undefined || exchange.pendingError !== undefined;
  if (isOwed || exchange.isComparing || exchange.holdsAsides) return "an answer is under way";
  if (exchange.hasFatal || exchange.hasTerminated) return "it ends";
  if (!isServerGone && (conversation.isEnding || exchange.lastWords)) return "its server ends";
  if (wishes.isPooled === false) return "borealis.pool is off";
  if (wishes.onFailover === "disconnect") return "borealis.on_failover is disconnect";
  if (wishes.consistency !== "off") return "it forwards writes";
  if (exchange.memory.hasSettingsOfOthers) return "it has settings that it may not make again";
  return exchange.memory.keeps(exchange.planner);
}
