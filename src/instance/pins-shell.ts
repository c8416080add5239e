import { BorealisError, sqlState } from "../base/errors.ts";
import { formatLsn, parseLsn } from "../base/lsn.ts";
import {
  findLow,
  type LogDriverHandle,
  type Opened,
  type VolumeReaderOptions,
} from "../log-driver/index.ts";
import type { PinOrder, PinReport } from "./messages.ts";

/** A volume whose epoch is open: who keeps it, on which path, and how its log is read. */
export interface OwnedVolume {
  readonly driver: LogDriverHandle;
  readonly opened: Opened;
  readonly reader: VolumeReaderOptions;
}

/**
 * Keeps the volume's log for a clone, up to VDL or to the last record end at or below an LSN. Raises 22023 where there is no
 * log, 57P03 when the epoch ends first.
 */
export async function pinForClone(
  { driver, opened, reader }: OwnedVolume,
  { pinId, to }: PinOrder,
): Promise<PinReport> {
  const wanted = to === null ? undefined : parseLsn(to);
  const { low } = await driver.status();
  // What lies beyond VDL is refused where VDL is known.
  const isThere = wanted !== undefined && wanted <= driver.vdl && wanted > low;
  const end = isThere
    ? await findLow(reader, { path: opened.history, low, segment: wanted })
    : wanted;
  if (isThere && end === undefined) {
    throw new BorealisError(
      sqlState.invalidParameter,
      `the volume cannot be cloned at ${formatLsn(wanted)}`,
      { hint: `no record ends between there and ${formatLsn(low)}, where its log begins` },
    );
  }
  const pin = await driver.pin({ pinId, to: end });
  return reportOf(pin);
}

/** What the driver keeps for clones, or is about to. */
export async function pinsOf({ driver }: OwnedVolume): Promise<PinReport[]> {
  return (await driver.status()).pins.map(reportOf);
}

function reportOf(pin: Awaited<ReturnType<LogDriverHandle["pin"]>>): PinReport {
  return { pinId: pin.pinId, from: formatLsn(pin.from), to: formatLsn(pin.to) };
}
