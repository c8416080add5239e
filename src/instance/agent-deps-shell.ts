import type { Rng } from "../base/rng.ts";
import type { Clock, Logger } from "../io/index.ts";
import type { DriverCounts, LogHold } from "../log-driver/index.ts";
import type { FailedStarts } from "./failed-starts.ts";
import type { Building } from "./messages.ts";
import type { StartParameters } from "./parameters-shell.ts";
import type { StartMeter } from "./start-phases.ts";

/** What an agent, and all that works for it, is given. */
export interface AgentDeps {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly logger: Logger;
  /** This process's own pid, for the status. */
  readonly pid: number;
  /** Ends this process as a kill -9 does. */
  readonly die: () => void;
  /** Told how the building of a cache gets on; undefined when it has ended. */
  readonly onBuilding?: (building: Building | undefined) => void;
  /** Told of each object of a snapshot that is good in no store. */
  readonly onUnreadable?: (object: string) => void;
  /** Counts starts as the writer. */
  readonly starts?: StartMeter;
  /** Counts starts that PostgreSQL has ended by itself. */
  readonly failedStarts?: FailedStarts;
  /** Where its log drivers count. */
  readonly driverCounts?: DriverCounts;
  /** Whether an injected fault keeps log back from this reader. */
  readonly hold?: LogHold;
  /** What users have set for this instance. */
  readonly parameters?: StartParameters;
  /** A role will take sessions in a moment: what they see of the cluster is to be true from the first one on. */
  readonly beforeServing?: () => Promise<void>;
}
