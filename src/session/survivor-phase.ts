import type { Dormancy } from "./dormancy.ts";
import type { ExchangeOptions } from "./exchange-options.ts";
import type { Restoration } from "./restoration.ts";
import type { Resume } from "./resume.ts";

/** Nothing of the client's, not even a part of a message, waits for a server or for the rest of a refused batch. */
export function holdsNothing(phase: Phase): boolean {
  switch (phase.kind) {
    case "live":
      return true;
    case "dormant":
      return !phase.dormancy.isRefusing;
    case "connecting":
    case "restoring": {
      const { rest, replay, skippedBytes, skipsToSync } = phase.resume;
      return rest.length === 0 && !replay && skippedBytes === 0 && skipsToSync === undefined;
    }
    case "asking":
    case "replaying":
    case "ended":
      return false;
  }
}

/** Where a session stands between its servers; see Survivor. */
export type Phase =
  | { readonly kind: "live" }
  /** It needs no server, and has none. */
  | { readonly kind: "dormant"; readonly dormancy: Dormancy }
  /** Its server is gone; what became of the commit that was under way is being asked. isEnding: the session ends then. */
  | { readonly kind: "asking"; readonly isEnding?: boolean }
  | { readonly kind: "connecting"; readonly resume: Resume }
  | {
      readonly kind: "restoring";
      readonly resume: Resume;
      readonly options: ExchangeOptions;
      readonly restoration: Restoration;
    }
  | { readonly kind: "replaying"; readonly resume: Resume }
  | { readonly kind: "ended" };
