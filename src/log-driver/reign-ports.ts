import type { Lsn } from "../base/lsn.ts";
import type { Rng } from "../base/rng.ts";
import type { Clock, Logger } from "../io/index.ts";
import type { DriverCounts } from "./driver-figures.ts";
import type { DriverEvent } from "./driver-messages.ts";
import type { DriverMeter } from "./driver-meter.ts";

export interface DriverWorld {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly logger: Logger;
}

/** Where a driver measures. */
export interface DriverMeasures {
  readonly counts: DriverCounts;
  readonly meter: DriverMeter;
}

/** Where a reign tells what happens. */
export interface ReignListener {
  emit(event: DriverEvent): void;
  /** VCL has passed what the agent waits for. */
  onAwaited(): void;
}

/** Who streams into this reign; told what concerns PostgreSQL. */
export interface ReignOutlet {
  /** The quorum advanced: report it, and read on if reading was held back. */
  onDurable(vdl: Lsn): void;
  onTick(): void;
  onEnded(): void;
}
