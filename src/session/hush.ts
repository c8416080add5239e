/** A server that has owed an answer and said nothing for so long does not talk to this session. */
const quietMs = 1_000;
/** ... where there is nowhere else to go: nobody waits longer. */
const owedMaxMs = 2_000;

/** What a session knows of a server that hangs for the cluster. */
export interface HushSight {
  readonly nowMs: number;
  /** When it last said something, or was read again. */
  readonly heardMs: number;
  readonly sentMs: number;
  /** It is not read at this moment: it may have said more. */
  readonly isUnread: boolean;
  /** Something of the client's, or of ours, has no answer. */
  readonly isOwed: boolean;
  /** Nothing is under way, and what the session has can be made again elsewhere: nothing is cut. */
  readonly isAtRest: boolean;
  /** Its client has gone: nobody is to be told anything. */
  readonly isForsaken: boolean;
  /** There is another server to go to. */
  readonly hasOther: boolean;
}

/**
 * Whether a session leaves a server that hangs for the cluster; else, after how many milliseconds that is asked again. One that talks to
 * this session does not hang for it, and is read on up to a moment of rest. Where there is nobody else it is left only if it hangs for this very session.
 */
export function hushed(sight: HushSight): "leave" | number {
  const { nowMs, heardMs, sentMs, isUnread, isOwed, isAtRest, hasOther, isForsaken } = sight;
  if (isAtRest && hasOther) return "leave";
  if (isForsaken) return "leave";
  // It waits for nothing, and what it has would be lost: it may be back before it is asked for anything.
  if (isUnread || !isOwed) return quietMs;
  const owedForMs = nowMs - Math.max(heardMs, sentMs);
  const maxMs = hasOther ? quietMs : owedMaxMs;
  return owedForMs < maxMs ? maxMs - owedForMs : "leave";
}
