import { transactionState } from "../wire/index.ts";
import type { Conversation } from "./conversation.ts";

/** Why a session cannot be without its server at this moment, in words for an operator; undefined: it can. */
export function whyKept(
  conversation: Conversation,
  { isServerGone = false }: { readonly isServerGone?: boolean } = {},
): string | undefined {
  const { exchange } = conversation;
  const { wishes } = exchange;
  const running = whyBusy(conversation);
  if (running !== undefined) return running;
  if (!isServerGone && (conversation.isEnding || exchange.lastWords)) return "its server ends";
  if (wishes.isPooled === false) return "borealis.pool is off";
  if (wishes.onFailover === "disconnect") return "borealis.on_failover is disconnect";
  if (wishes.consistency !== "off") return "it forwards writes";
  if (exchange.memory.hasSettingsOfOthers) return "it has settings that it may not make again";
  return exchange.memory.keeps(exchange.planner);
}

/** What of the client's its server has not come to the end of; undefined: nothing. */
export function whyBusy({ exchange, client, server, isIdle }: Conversation): string | undefined {
  if (exchange.state !== transactionState.idle) return "a transaction is open";
  if (!isIdle || !client.isAtBoundary || !server.isAtBoundary) return "a statement is under way";
  // A batch whose error was told before its Sync; what waits for the end of a message.
  const isOwed = client.skippedState !== undefined || exchange.pendingError !== undefined;
  if (isOwed || exchange.isComparing || exchange.holdsAsides) return "an answer is under way";
  return exchange.hasFatal || exchange.hasTerminated ? "it ends" : undefined;
}
