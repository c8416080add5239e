import { epochNone, type NodeId } from "../base/ids.ts";
import type { Lsn } from "../base/lsn.ts";
import type { Address, Logger } from "../io/index.ts";
import { type FanOutMode } from "../ownership/index.ts";
import {
  type Configuration,
  isWriteQuorum,
  memberSet,
  membersOf,
  type QuorumMessage,
} from "../quorum/index.ts";
import type { AppendFrame, LinkWorld } from "./append-link-shell.ts";
import type { DriverCounts } from "./driver-figures.ts";
import type { NodeStatus, VolumeNode } from "./driver-messages.ts";
import { type LinksHandlers, NodeLinks } from "./links-shell.ts";
import type { RingView } from "./ring.ts";

/** A linked node that has not answered heartbeats this long does not count as there. */
const silenceMaxMs = 3_000;
/** Twice the patience with an unanswered append: at most two frames wait for a node that is frozen. */
const hangUpAfterMs = 10_000;

export type FleetWorld = Omit<LinkWorld, "signal"> & {
  readonly logger: Logger;
  /** Where appends are measured; absent: nowhere. */
  readonly counts?: DriverCounts;
};

/** The volume's nodes as one reign sees them: their links, and who falls behind. */
export class Fleet {
  private readonly links = new Map<NodeId, NodeLinks>();
  private readonly lagging = new Set<NodeId>();
  private readonly world: FleetWorld;
  private readonly handlers: LinksHandlers;
  private readonly unknown = new Set<NodeId>();

  private book: readonly VolumeNode[];
  private followed: Configuration | undefined;
  /** Nothing is claimed yet. */
  private isAhead = false;

  constructor(nodes: readonly VolumeNode[], world: FleetWorld, handlers: LinksHandlers) {
    this.book = nodes;
    this.world = world;
    this.handlers = handlers;
  }

  /** Every node that may be a member. */
  get nodes(): readonly VolumeNode[] {
    return this.book;
  }

  setNodes(nodes: readonly VolumeNode[]): void {
    this.book = nodes;
    this.followed = undefined;
  }

  /**
   * Links to every member whose address is known, and to nobody else. A member without an address is as one that is
   * down: its address comes with a later book.
   */
  follow(configuration: Configuration): void {
    if (configuration === this.followed) return;
    this.followed = configuration;
    const { world, handlers, links, book } = this;
    const members = new Set(membersOf(configuration).map((member) => member.nodeId));
    for (const [node, link] of links) {
      if (members.has(node)) continue;
      links.delete(node);
      this.lagging.delete(node);
      link.close("the node is no member");
    }
    for (const node of members) {
      if (links.has(node)) continue;
      const known = book.find(({ nodeId }) => nodeId === node);
      if (known) {
        const link = new NodeLinks(known, world, handlers, world.counts?.appendsTo(known.name));
        links.set(node, link);
        if (!this.isAhead) link.openAppend();
      } else if (!this.unknown.has(node)) {
        this.unknown.add(node);
        world.logger.warn({ event: "member.unknown", node }, "a member has no known address");
      }
    }
  }

  /** Links that a claim needs, ahead of it. */
  standBy(configuration: Configuration): void {
    this.isAhead = true;
    this.follow(configuration);
  }

  /** The claim begins: what else an epoch needs is made beside it. */
  begin(): void {
    this.isAhead = false;
    for (const link of this.links.values()) link.openAppend();
  }

  /** Dropped if there is no link: whoever needs an answer asks again. */
  send(node: NodeId, message: QuorumMessage): void {
    this.links.get(node)?.send(message);
  }

  /** Dropped if there is no link: the core hears of that, and asks again when it is back. */
  append(node: NodeId, frame: AppendFrame, payload: RingView): void {
    this.links.get(node)?.sendAppend(frame, payload);
  }

  noteLagging(node: NodeId, isLagging: boolean): void {
    if (isLagging) this.lagging.add(node);
    else this.lagging.delete(node);
    const event = isLagging ? "node.lagging" : "node.caughtUp";
    this.world.logger.info({ event, node }, "node's distance changed");
  }

  /** True while a write quorum is linked, answers heartbeats, and takes log. */
  hasQuorum(configuration: Configuration, nowMs: number): boolean {
    return isWriteQuorum(configuration, (node) => {
      const links = this.links.get(node);
      if (!links?.isConnected || !links.takesLog) return false;
      return nowMs - links.heardMs < silenceMaxMs;
    });
  }

  /**
   * Hangs up on nodes that have said nothing for long although they are asked all the time (a frozen process): what is
   * sent to them only piles up here. They are dialled again like any other.
   */
  dropSilent(nowMs: number): void {
    for (const links of this.links.values()) {
      if (!links.isConnected || nowMs - links.heardMs <= hangUpAfterMs) continue;
      this.world.logger.warn({ event: "node.silent", node: links.node.name });
      links.hangUp();
    }
  }

  status(acknowledged: ReadonlyMap<NodeId, Lsn>): NodeStatus[] {
    return [...this.links.values()].map((links) => ({
      nodeId: links.node.nodeId,
      name: links.node.name,
      isLinked: links.isConnected || links.standsBy,
      scl: acknowledged.get(links.node.nodeId),
      isBehindRing: this.lagging.has(links.node.nodeId),
      sentBytes: links.sentBytes,
      frames: links.frames,
    }));
  }

  close(reason: string): void {
    for (const links of this.links.values()) links.close(reason);
  }
}

/** Nodes that share this host's cores are asked a quorum first; nodes on hosts of their own all at once. */
export function fanOutFor(nodes: readonly VolumeNode[]): FanOutMode {
  return nodes.every(({ address }) => isOfThisHost(address)) ? "quorumFirst" : "everyNode";
}

function isOfThisHost(address: Address): boolean {
  return address.kind === "unix" || address.host === "127.0.0.1" || address.host === "::1";
}

/**
 * Before any configuration was stored: the members, as the cluster was made. The nodes' own, if there is one, wins. Nodes
 * that only may become members are left out: empty ones could elect an empty volume.
 */
export function firstConfiguration(nodes: readonly VolumeNode[]): Configuration {
  const members = nodes
    .filter(({ isMember }) => isMember !== false)
    .map(({ nodeId, az, kind }) => ({ nodeId, az, kind }));
  return { id: { epoch: epochNone, version: 0 }, sets: [memberSet(members)] };
}
