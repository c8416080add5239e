/**
 * A storage node's side of the quorum protocol, pure: it promises, accepts, acknowledges, refuses, fills holes from its
 * peers. Start with acceptor.ts (what each message does), then node-core.ts (one handler at a time, the disk before the
 * word), elect-plan.ts (where a log is cut). storage-node carries out the actions returned here.
 */
export { Acceptor, type AcceptorOptions } from "./acceptor.ts";
export type { AcceptorAction, AcceptorEvent, KeptAnswer, Reply } from "./acceptor-io.ts";
export {
  type AcceptorState,
  decodeAcceptorState,
  encodeAcceptorState,
  formattedState,
  type PendingCut,
} from "./acceptor-state.ts";
export { type AppendView, judgeAppend, overlapBytes } from "./append-rule.ts";
export { questions, wordsOfPeers } from "./message-kinds.ts";
export { type Piece, piecesOnPath } from "./pieces.ts";
