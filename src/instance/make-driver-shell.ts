import { type DriverCounts, type LogDriverHandle, startLogDriver } from "../log-driver/index.ts";
import type { AgentConfig } from "./messages.ts";
import { linkOwner, volumeNodes } from "./nodes.ts";

/** Of WAL kept in the driver's memory for nodes that lag; beyond it they catch up from their peers. */
const ringBytes = 32 * 1024 * 1024;

/** A log driver for this instance. Its thread does nothing before it is asked to claim. */
export function makeDriver(config: AgentConfig, counts?: DriverCounts): LogDriverHandle {
  const settings = {
    nodes: volumeNodes(config),
    owner: linkOwner(config),
    leaseMs: config.leaseMs,
    ringBytes,
    // A file of its own: two writers cannot rotate one.
    logFile: config.logFile.replace(/\.log$/, "-driver.log"),
    logLevel: config.logLevel,
  };
  return startLogDriver(settings, counts);
}
