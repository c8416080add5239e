import { BorealisError, sqlState } from "../base/errors.ts";
import { advance, formatLsn, type Lsn } from "../base/lsn.ts";
import type { Clock } from "../io/index.ts";
import { type History, NodeLink } from "../quorum/index.ts";
import { type LinkOwner, linkTo, type NodeEndpoint } from "./node-endpoint.ts";

export interface VolumeReaderOptions {
  /** Asked in this order; one that has not got the log is passed over. */
  readonly nodes: readonly NodeEndpoint[];
  readonly owner: LinkOwner;
  readonly clock: Clock;
  readonly signal?: AbortSignal;
}

/** Which log: a path, or whatever path the node is on. */
export interface VolumeRange {
  readonly path: History | "current";
  readonly from: Lsn;
  readonly to: Lsn;
}

const answerTimeoutMs = 5_000;

/** Reads stretches of the volume's log from its nodes. */
export class VolumeReader {
  private readonly options: VolumeReaderOptions;
  private link: NodeLink | undefined;
  private linked: NodeEndpoint | undefined;

  constructor(options: VolumeReaderOptions) {
    this.options = options;
  }

  /**
   * Bytes from `from` on: at least one, at most up to `to` and about 1 MiB. Raises 58030 when no node has them.
   */
  async read(range: VolumeRange): Promise<Buffer> {
    const { nodes, signal } = this.options;
    const order = this.linked ? [this.linked, ...nodes] : nodes;
    for (const endpoint of order) {
      if (signal?.aborted) break;
      const bytes = await this.readFrom(endpoint, range);
      if (bytes) return bytes;
    }
    const why = `no storage node has the log from ${formatLsn(range.from)} to ${formatLsn(range.to)}`;
    throw new BorealisError(sqlState.ioError, why);
  }

  /** Every byte of the range in order, piece by piece. Raises 58030 as read does. */
  async forEach(range: VolumeRange, take: (bytes: Buffer, at: Lsn) => boolean): Promise<void> {
    let at = range.from;
    while (at < range.to) {
      const bytes = await this.read({ ...range, from: at });
      if (!take(bytes, at)) return;
      at = advance(at, bytes.length);
    }
  }

  close(): void {
    this.link?.close();
    this.link = undefined;
    this.linked = undefined;
  }

  private async readFrom(endpoint: NodeEndpoint, range: VolumeRange): Promise<Buffer | undefined> {
    let link: NodeLink;
    try {
      link = await this.dial(endpoint);
    } catch {
      return undefined; // down: the next one
    }
    try {
      // Field by field: a caller's range may have more fields than a range has.
      const { path, from, to } = range;
      const answer = await link.request({ kind: "getLog", path, from, to, maxVdl: false });
      if (answer.kind !== "logData" || answer.lsn !== range.from || answer.runs.length === 0) {
        return undefined;
      }
      const bytes = Buffer.concat(answer.runs.map((run) => run.bytes));
      return bytes.length > 0 ? bytes : undefined;
    } catch {
      this.close();
      return undefined; // lost or silent: the next one
    }
  }

  private async dial(endpoint: NodeEndpoint): Promise<NodeLink> {
    if (this.linked === endpoint && this.link && !this.link.closed) return this.link;
    this.close();
    const { owner, clock, signal } = this.options;
    const bounds = { clock, timeoutMs: answerTimeoutMs, ...(signal ? { signal } : {}) };
    this.link = await NodeLink.open(linkTo(endpoint, owner, bounds));
    this.linked = endpoint;
    return this.link;
  }
}
