import type { Dormancy } from "./dormancy.ts";
import type { ExchangeOptions } from "./exchange.ts";
import type { Restoration } from "./restoration.ts";
import type { Resume } from "./resume.ts";

/** Where a session stands between its servers; see Survivor. */
export type Phase =
  | { readonly kind: "live" }
  /** It needs no server, and has none. */
  | { readonly kind: "dormant"; readonly dormancy: Dormancy }
  /** Its server is gone; what became of the commit that was under way is being asked. */
  | { readonly kind: "asking" }
  | { readonly kind: "connecting"; readonly resume: Resume }
  | {
      readonly kind: "restoring";
      readonly resume: Resume;
      readonly options: ExchangeOptions;
      readonly restoration: Restoration;
    }
  | { readonly kind: "replaying"; readonly resume: Resume }
  | { readonly kind: "ended" };
