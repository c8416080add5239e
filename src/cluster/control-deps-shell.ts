import type { Clock, Logger } from "../io/index.ts";
import type { EventFile } from "./events-shell.ts";
import type { Layout } from "./layout.ts";
import type { ControlConfig } from "./messages.ts";
import type { ClusterState, InstanceState } from "./state.ts";

/** What a control plane, and all that works for it, is given. */
export interface ControlDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly layout: Layout;
  readonly config: ControlConfig;
  readonly state: ClusterState;
  /** The master password, needed once: for the bootstrap SQL of a new volume. */
  readonly masterPassword: () => string;
  /** Writes control/state.json whole and atomically. */
  readonly saveState: (state: ClusterState) => void;
  readonly eventFile: EventFile;
  /** Whether the volume is a clone whose parent is still there. */
  readonly hasParent: () => boolean;
  /** An identity for a new storage node. */
  readonly newNodeId: () => string;
  /** Raises if a new instance could not run on this host. */
  readonly requirePlace: (instance: InstanceState) => Promise<void>;
  /** Raises if somebody has a port that an endpoint is to have. */
  readonly requirePort: (port: number, what: string) => Promise<void>;
}
