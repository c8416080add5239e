import type { BorealisError } from "../base/errors.ts";
import type { InstanceId } from "../base/ids.ts";
import type { Target } from "./topology.ts";

/**
 * The writer's log, as its agent knows it. Both take the position at the moment of the call and resolve when VDL has
 * passed it; they reject with OutcomeUnknown when it never will (the writer is gone, or no writer any more).
 */
export interface AwaitDurable {
  untilFlushed(instanceId: InstanceId): Promise<void>;
  untilInserted(instanceId: InstanceId): Promise<void>;
  /**
   * ALTER SYSTEM was run there: resolves when the cluster keeps it, and all its instances that answer have it; or with why
   * not, where the cluster does not take it, and it is undone.
   */
  untilParametersKept(target: Target): Promise<BorealisError | undefined>;
}
