import { createHash } from "node:crypto";
import { advance, bytesBetween, type Lsn, lsnMin } from "../base/lsn.ts";
import { payloadBytesMax, type Run } from "../quorum/index.ts";

/** What nodes compare: the same log has the same hash, however it is cut into frames, and whatever key it lies under. */
export function digestOf(runs: readonly Run[]): string {
  const hash = createHash("sha256");
  for (const run of joined(runs)) {
    hash.update(`${run.epoch} ${run.bytes}\n`);
    for (const piece of run.pieces) hash.update(piece);
  }
  const hex = hash.digest("hex").slice(0, 32);
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join("-");
}

function joined(runs: readonly Run[]) {
  const all: { epoch: number; bytes: number; pieces: Uint8Array[] }[] = [];
  for (const { epoch, bytes } of runs) {
    const last = all.at(-1);
    if (last?.epoch === epoch) {
      last.bytes += bytes.length;
      last.pieces.push(bytes);
    } else all.push({ epoch, bytes: bytes.length, pieces: [bytes] });
  }
  return all;
}

/** Log [from, to) in stretches that begin at the same LSNs on every node. */
export function stretches(from: Lsn, to: Lsn): { readonly from: Lsn; readonly to: Lsn }[] {
  const found: { from: Lsn; to: Lsn }[] = [];
  for (let at = from; at < to;) {
    const next = advance(at, payloadBytesMax - Number(at % BigInt(payloadBytesMax)));
    found.push({ from: at, to: lsnMin(next, to) });
    at = lsnMin(next, to);
  }
  return found;
}

/**
 * Who is wrong when copies with good CRCs differ? This node only if two peers agree against it and more disagree with it
 * than agree; else a person has to look.
 */
export function judgeDigests(
  own: string,
  peers: readonly string[],
): "same" | "ownIsWrong" | "unclear" {
  const against = peers.filter((one) => one !== own);
  if (against.length === 0) return "same";
  const isAgreed = against.length >= 2 && against.every((one) => one === against[0]);
  return isAgreed && against.length > peers.length - against.length ? "ownIsWrong" : "unclear";
}

/** Bytes of runs. */
export function runBytes(runs: readonly Run[]): number {
  return runs.reduce((sum, run) => sum + run.bytes.length, 0);
}

/** True if the runs are all of [from, to). */
export function areWhole(
  runs: readonly Run[],
  range: { readonly from: Lsn; readonly to: Lsn },
): boolean {
  return runBytes(runs) === bytesBetween(range.from, range.to);
}
