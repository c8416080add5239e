import { parseLsn, segmentStart } from "../base/lsn.ts";
import { findLow } from "../log-driver/index.ts";
import type { OwnedVolume } from "./pins-shell.ts";

/**
 * Log before the WAL segment that holds `from` is needed by nobody: it goes on all nodes, up to a record end, as far as
 * the slowest of them allows.
 */
export async function needLog(volume: OwnedVolume, from: string): Promise<void> {
  const { driver, opened, reader } = volume;
  const { low } = await driver.status();
  const segment = segmentStart(parseLsn(from));
  const found = await findLow(reader, { path: opened.history, low, segment });
  if (found !== undefined) driver.wantLow(found);
}
