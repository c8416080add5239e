import { type Epoch, epoch } from "../base/ids.ts";
import { type Lsn, lsn } from "../base/lsn.ts";

/** Which bytes of the files in a folder count, and, for a tail that was cut off, by which epoch's Elect. */
export interface KeptFolder {
  readonly epoch: Epoch | undefined;
  readonly from: Lsn;
  readonly to: Lsn;
}

/** Behind the name of a folder that is being made, or unmade. */
export const unfinished = ".part";

const form = /^(?:(\d{1,16})-)?([0-9a-f]{16})-([0-9a-f]{16})$/;

/** `12-00000000010000a0-00000000010002ff`; pins have no epoch. */
export function keptFolderName(folder: KeptFolder): string {
  const range = `${hex(folder.from)}-${hex(folder.to)}`;
  return folder.epoch === undefined ? range : `${folder.epoch}-${range}`;
}

/** Undefined: not a finished folder's name. */
export function parseKeptFolder(name: string): KeptFolder | undefined {
  const [, of, from, to] = form.exec(name) ?? [];
  if (from === undefined || to === undefined) return undefined;
  return {
    epoch: of === undefined ? undefined : epoch(Number(of)),
    from: lsn(BigInt(`0x${from}`)),
    to: lsn(BigInt(`0x${to}`)),
  };
}

function hex(at: Lsn): string {
  return at.toString(16).padStart(16, "0");
}
