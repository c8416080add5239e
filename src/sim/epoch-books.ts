import { type Epoch, epochNone } from "../base/ids.ts";
import { formatLsn, type Lsn } from "../base/lsn.ts";
import { entryAt, type Elect, type History } from "../quorum/index.ts";
import { SimFailure } from "./failure.ts";
import type { SimNode } from "./sim-node.ts";
import { offsetOf } from "./spans.ts";

interface EpochBytes {
  readonly from: Lsn;
  bytes: Buffer;
  length: number;
}

/** I7 and I14: one owner an epoch, one byte for an (epoch, LSN), and only bytes of the path on a node. */
export class EpochBooks {
  private readonly claims = new Map<Epoch, string>();
  private readonly written = new Map<Epoch, EpochBytes>();

  noteElect(elect: Elect): void {
    const known = this.claims.get(elect.epoch);
    if (known === undefined) this.claims.set(elect.epoch, elect.claimId);
    else if (known !== elect.claimId)
      throw new SimFailure("I14", `epoch ${elect.epoch} has two owners`);
  }

  /** The newest frames of this node, from `from` on. */
  checkBytes(node: SimNode, from: Lsn): void {
    let at = node.log.base;
    for (const span of node.log.spans) {
      const begin = at > from ? at : from;
      if (span.to > begin) this.checkRun(node, span.epoch, begin, node.log.view(begin, span.to));
      at = span.to;
    }
  }

  private checkRun(node: SimNode, epoch: Epoch, from: Lsn, bytes: Buffer): void {
    const known = this.written.get(epoch);
    if (!known) {
      this.written.set(epoch, { from, bytes: Buffer.from(bytes), length: bytes.length });
      return;
    }
    const offset = offsetOf(from) - offsetOf(known.from);
    // Seen first by a node that had it from the middle on: what lies before stays unknown.
    if (offset < 0 || offset > known.length) return;
    const common = Math.min(known.length - offset, bytes.length);
    if (!known.bytes.subarray(offset, offset + common).equals(bytes.subarray(0, common))) {
      const where = `epoch ${epoch} at ${formatLsn(from)}`;
      throw new SimFailure("I7", `${node.name} holds other bytes of ${where} than another node`);
    }
    if (common === bytes.length) return;
    const length = offset + bytes.length;
    if (length > known.bytes.length) {
      const grown = Buffer.alloc(2 * length);
      known.bytes.copy(grown);
      known.bytes = grown;
    }
    known.bytes.set(bytes.subarray(common), offset + common);
    known.length = length;
  }

  /** Every byte that the node holds is of the epoch that its history gives to that LSN. */
  checkPath(node: SimNode, history: History): void {
    let from = node.log.base;
    for (const span of node.log.spans) {
      const entry = entryAt(history, from);
      const isOwn =
        (entry?.epoch ?? epochNone) === span.epoch && !isCrossed(history, from, span.to);
      if (!isOwn) {
        const where = `[${formatLsn(from)}, ${formatLsn(span.to)})`;
        throw new SimFailure(
          "I7",
          `${node.name} holds ${where} of epoch ${span.epoch}; its path says ${entry?.epoch ?? 0}`,
        );
      }
      from = span.to;
    }
  }
}

/** True if another entry begins inside (from, to). */
function isCrossed(history: History, from: Lsn, to: Lsn): boolean {
  return history.some((entry) => entry.start > from && entry.start < to);
}
