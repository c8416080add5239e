import type { NodeId, VolumeId } from "../base/ids.ts";
import { BorealisError } from "../base/errors.ts";
import type { Clock, ClusterCredential } from "../io/index.ts";
import type { Peer } from "./node-config.ts";
import { type AcceptorEvent } from "../acceptor/index.ts";
import {
  NodeLink,
  type PinPull,
  type Pull,
  type QuorumMessage,
  type ReceivedMessage,
} from "../quorum/index.ts";

/** A peer that does not answer a pull in this time is asked again later, another one first. */
const answerMs = 1_500;

/** Links to the other nodes of the volume, opened when something is asked of them. */
export class Peers {
  private readonly links = new Map<NodeId, NodeLink>();
  private readonly options: PeersOptions;
  private peers: readonly Peer[];

  constructor(options: PeersOptions) {
    this.options = options;
    this.peers = options.peers;
  }

  get ids(): readonly NodeId[] {
    return this.peers.map((peer) => peer.nodeId);
  }

  /** The other nodes of the volume and their addresses, from now on. */
  setPeers(peers: readonly Peer[]): void {
    this.peers = peers;
    for (const [nodeId, link] of this.links)
      if (!peers.some((one) => one.nodeId === nodeId)) link.close();
  }

  /** Asks a peer for log. What the acceptor is to hear: the answer, or that there was none. */
  async pull(nodeId: NodeId, pull: Pull): Promise<AcceptorEvent> {
    const message = await this.ask(nodeId, pull);
    const { volumeId, clock } = this.options;
    const nowMs = clock.nowMs();
    if (message?.kind !== "pullData" && message?.kind !== "notHere") {
      return { kind: "pullFailed", nowMs };
    }
    const envelope = { volumeId, sender: nodeId, target: nodeId, requestId: 0n };
    return { kind: "received", link: noLink, envelope, message, nowMs };
  }

  /** The same for a pin's log. */
  async pullPin(nodeId: NodeId, pull: PinPull): Promise<AcceptorEvent> {
    const message = await this.ask(nodeId, pull);
    const { volumeId, clock } = this.options;
    const nowMs = clock.nowMs();
    if (message?.kind !== "pinData") return { kind: "pinPullFailed", pinId: pull.pinId, nowMs };
    const envelope = { volumeId, sender: nodeId, target: nodeId, requestId: 0n };
    return { kind: "received", link: noLink, envelope, message, nowMs };
  }

  /** The peer's answer; undefined: it cannot be reached, or said nothing in time. */
  async ask(nodeId: NodeId, question: QuorumMessage): Promise<QuorumMessage | undefined> {
    const peer = this.peers.find((one) => one.nodeId === nodeId);
    if (!peer) return undefined;
    try {
      const link = this.links.get(nodeId) ?? (await this.open(peer));
      return await link.request(question, { timeoutMs: answerMs });
    } catch (error) {
      if (!(error instanceof BorealisError)) throw error;
      // A peer that is down is ordinary; the next one is asked, and this one again in its turn.
      this.links.get(nodeId)?.close();
      this.links.delete(nodeId);
      return undefined;
    }
  }

  private async open(peer: Peer): Promise<NodeLink> {
    const { volumeId, sender, credential, clock, signal } = this.options;
    const { nodeId, address } = peer;
    const link = await NodeLink.open({
      address,
      volumeId,
      nodeId,
      sender,
      credential,
      clock,
      timeoutMs: answerMs,
      signal,
    });
    link.onMessage((received) => this.options.onMessage(received));
    link.onClose(() => {
      if (this.links.get(nodeId) === link) this.links.delete(nodeId);
    });
    if (!link.closed) this.links.set(nodeId, link);
    return link;
  }

  close(): void {
    for (const link of this.links.values()) link.close();
    this.links.clear();
  }
}

/** Of what peers said: answers to it go nowhere. */
export const noLink = 0;

export interface PeersOptions {
  readonly peers: readonly Peer[];
  readonly volumeId: VolumeId;
  /** Our own name, in the hello. */
  readonly sender: string;
  readonly credential: ClusterCredential | undefined;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** What a peer says unasked: a RelayElect. */
  readonly onMessage: (received: ReceivedMessage) => void;
}
