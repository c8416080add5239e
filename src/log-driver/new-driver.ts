import type { Rng } from "../base/rng.ts";
import { Driver } from "../ownership/index.ts";
import type { DriverSettings } from "./driver-messages.ts";
import { fanOutFor, firstConfiguration } from "./fleet-shell.ts";
import { heartbeatMsFor } from "./heartbeat.ts";

/** The state machine of one claim, and of the epoch that it may become. */
export function newDriver(settings: DriverSettings, rng: Rng): Driver {
  const { owner, nodes, leaseMs, fanOut } = settings;
  return new Driver({
    claimant: owner.sender,
    configuration: firstConfiguration(nodes),
    rng,
    leaseMs,
    heartbeatMs: heartbeatMsFor(leaseMs),
    fanOut: fanOut ?? fanOutFor(nodes),
  });
}
