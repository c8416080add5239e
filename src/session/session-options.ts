import type { BackendReady } from "./backend-shell.ts";
import type { ClientLink } from "./client-link.ts";
import type { SessionWorld } from "./world-shell.ts";

export interface SessionOptions {
  readonly client: ClientLink;
  readonly backend: BackendReady;
  /** True: `backend` has a greeting, but no connection; one is borrowed when there is something to do. */
  readonly isParked?: boolean;
  readonly clientKey: Buffer;
  readonly world: SessionWorld;
}
