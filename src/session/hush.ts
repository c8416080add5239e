/** A server that has said nothing for so long does not talk to this session. */
const quietMs = 1_000;
/** ... and has no answer to what it was asked: nobody waits for one longer, though there is nowhere else to go. */
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
  /** There is another server to go to. */
  readonly hasOther: boolean;
}

/**
 * Whether a session leaves a server that hangs for the cluster; else, after how many milliseconds that is asked again. One that talks to
 * this session does not hang for it, and is read on up to a moment of rest. Where there is nobody else it is left only if it hangs for this very session.
 */
export function hushed(sight: HushSight): "leave" | number {
  const { nowMs, heardMs, sentMs, isUnread, isOwed, isAtRest, hasOther } = sight;
  if (isAtRest && hasOther) return "leave";
  if (isUnread) return quietMs;
  const quietForMs = nowMs - heardMs;
  if (quietForMs < quietMs) return quietMs - quietForMs;
  if (hasOther) return "leave";
  if (!isOwed) return quietMs;
  const owedForMs = nowMs - Math.max(heardMs, sentMs);
  return owedForMs < owedMaxMs ? owedMaxMs - owedForMs : "leave";
}
