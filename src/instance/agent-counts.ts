import { DriverCounts } from "../log-driver/index.ts";
import type { InstanceFigures } from "./messages.ts";
import { StartMeter } from "./start-phases.ts";

/** What an agent counts as long as it lives, whatever roles its instance has. */
export class AgentCounts {
  readonly starts = new StartMeter();
  /** Of all its log drivers, one after the other. */
  readonly driverCounts = new DriverCounts();

  get figures(): InstanceFigures {
    return { starts: this.starts.figures, driver: this.driverCounts.figures };
  }
}
