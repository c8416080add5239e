/**
 * A driver's side of the quorum protocol, pure: one claim and one epoch, from the first question to the end. Start with
 * driver.ts, then claiming.ts and recovery.ts (how an owner is found, and what it goes on from), then reign.ts (electing,
 * opening, counting) and steward.ts (members, low-water, pins). log-driver carries out the actions returned here.
 */
export { Driver, type DriverOptions } from "./driver.ts";
export type { DriverAction, DriverEvent } from "./driver-io.ts";
export type { ChangeAnswer } from "./membership.ts";
export type { FanOutMode } from "./fan-out.ts";
export { chooseRecovery, type Recovery } from "./recovery.ts";
