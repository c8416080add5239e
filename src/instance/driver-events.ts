import { BorealisError, sqlState } from "../base/errors.ts";
import type { Logger } from "../io/index.ts";
import type { DriverEvent } from "../log-driver/index.ts";

/** What of the writer breaks by what its driver tells; undefined: nothing, and it is logged. */
export function problemOf(event: DriverEvent, logger: Logger): BorealisError | undefined {
  switch (event.kind) {
    case "standDown":
      return new BorealisError(
        sqlState.adminShutdown,
        `the log driver stood down: ${event.reason}`,
      );
    case "failed":
    case "detached":
      return new BorealisError(
        sqlState.adminShutdown,
        `the log driver ${event.kind}: ${event.reason}`,
      );
    case "quorumLost":
      logger.warn({ event: "quorum.lost" }, "fewer than four storage nodes answer: writes wait");
      return undefined;
    case "quorumBack":
      logger.info({ event: "quorum.back" });
      return undefined;
    case "attached":
      logger.info({ event: "driver.attached", from: event.from });
      return undefined;
    default:
      return event satisfies never;
  }
}
