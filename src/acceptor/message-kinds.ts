import type { MessageKind } from "../quorum/index.ts";

/** A peer that answers, or relays, speaks in its own name: the target is not this node. */
export const wordsOfPeers: ReadonlySet<MessageKind> = new Set<MessageKind>([
  "pullData",
  "pinData",
  "notHere",
  "relayElect",
]);

/** What wants an answer, so that who asks the wrong node is told. */
export const questions: ReadonlySet<MessageKind> = new Set<MessageKind>([
  "inspect",
  "claim",
  "elect",
  "append",
  "heartbeat",
  "configChange",
  "floor",
  "advanceLow",
  "pull",
  "getLog",
  "subscribe",
  "pin",
  "unpin",
  "pinPull",
  "seal",
  "release",
  "digest",
]);
