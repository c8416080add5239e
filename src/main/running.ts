import { BorealisError, sqlState } from "../base/errors.ts";
import type { Layout } from "../cluster/index.ts";
import { findLockHolder } from "./data-dir.ts";

/** True while a supervisor holds the data directory. */
export function isRunning(layout: Layout): boolean {
  return findLockHolder(layout) !== undefined;
}

/** 55000, for what needs a cluster that runs. */
export function notRunning(layout: Layout): BorealisError {
  return new BorealisError(
    sqlState.notInPrerequisiteState,
    `the cluster in ${layout.dataDir} is not running`,
    { hint: "start it with borealis up" },
  );
}
