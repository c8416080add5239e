import type { NodeId, VolumeId } from "../base/ids.ts";
import {
  type Configuration,
  isReadQuorum,
  membersOf,
  type QuorumMessage,
} from "../quorum/index.ts";
import type { Owned } from "./claiming.ts";

const sealAgainMs = 500;

/**
 * The last act of a salvage (section 10): R of every set are sealed in favour of a successor. With them sealed, no write
 * quorum of the old volume can promise anything ever again, whoever returns.
 */
export class Sealing {
  private readonly sealed: Set<NodeId>;
  private readonly sendAtMs = new Map<NodeId, number>();
  private readonly configuration: Configuration;
  private readonly owned: Owned;
  readonly successor: VolumeId;
  private readonly send: (node: NodeId, message: QuorumMessage) => void;

  constructor(options: {
    readonly configuration: Configuration;
    readonly owned: Owned;
    readonly successor: VolumeId;
    readonly send: (node: NodeId, message: QuorumMessage) => void;
  }) {
    this.configuration = options.configuration;
    this.owned = options.owned;
    this.sealed = new Set(options.owned.sealed.keys());
    this.successor = options.successor;
    this.send = options.send;
  }

  get isDone(): boolean {
    return isReadQuorum(this.configuration, (node) => this.sealed.has(node));
  }

  tick(nowMs: number): void {
    const { owned, successor } = this;
    const { epoch } = owned;
    for (const { nodeId } of membersOf(this.configuration)) {
      // Only who promised this epoch takes its seal.
      if (this.sealed.has(nodeId) || !owned.promises.has(nodeId)) continue;
      if (nowMs < (this.sendAtMs.get(nodeId) ?? 0)) continue;
      this.sendAtMs.set(nodeId, nowMs + sealAgainMs);
      this.send(nodeId, { kind: "seal", epoch, successor });
    }
  }

  noteConnected(node: NodeId): void {
    this.sendAtMs.delete(node);
  }

  receive(node: NodeId, message: QuorumMessage): void {
    if (message.kind !== "sealAck") return;
    const isOurs = message.epoch === this.owned.epoch && message.successor === this.successor;
    if (isOurs) this.sealed.add(node);
  }
}
