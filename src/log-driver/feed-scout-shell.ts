import type { NodeId } from "../base/ids.ts";
import { NodeLink, type State } from "../quorum/index.ts";
import type { FeedNodes } from "./feed-subscription-shell.ts";
import { linkTo, type NodeEndpoint } from "./node-endpoint.ts";

/** What takes longer is no better than the node that serves. */
const answerMs = 250;

/** A link to a node that could serve, too. */
export interface Spare {
  readonly endpoint: NodeEndpoint;
  readonly link: NodeLink;
}

/** Asks other nodes than the one that serves how far the log goes there, one at a time, on a link that is kept. */
export class FeedScout {
  private readonly nodes: FeedNodes;
  private readonly controller = new AbortController();
  private spare: Spare | undefined;
  /** Of the nodes that may be asked: the next one to dial. */
  private turn = 0;

  constructor(nodes: FeedNodes) {
    this.nodes = nodes;
  }

  /**
   * `but`: who serves, or was left for who serves. Undefined: who was asked did not answer in time; the next time it is
   * another one. Nobody else asks meanwhile.
   */
  async ask(but: ReadonlySet<NodeId>): Promise<State | undefined> {
    const others = this.nodes.nodes.filter(({ nodeId }) => !but.has(nodeId));
    const { spare } = this;
    if (spare && !others.some(({ nodeId }) => nodeId === spare.endpoint.nodeId)) this.drop();
    try {
      this.spare ??= await this.dial(others);
      const answer = await this.spare?.link.request({ kind: "inspect" }, { timeoutMs: answerMs });
      if (answer?.kind === "state") return answer;
    } catch {
      // not reachable, or silent: as good as no more log
    }
    this.next();
    return undefined;
  }

  /** The next one to be asked is another one. */
  next(): void {
    this.drop();
    this.turn++;
  }

  /** The link to who was asked last, if it is there still; the caller's from now on. */
  take(): Spare | undefined {
    const { spare } = this;
    this.spare = undefined;
    this.turn++;
    return spare?.link.closed ? undefined : spare;
  }

  close(): void {
    this.controller.abort(new Error("the feed ended"));
    this.drop();
  }

  private async dial(others: readonly NodeEndpoint[]): Promise<Spare | undefined> {
    const { clock, owner } = this.nodes;
    const endpoint = others[this.turn % Math.max(others.length, 1)];
    if (!endpoint) return undefined;
    const { signal } = this.controller;
    const link = await NodeLink.open(
      linkTo(endpoint, owner, { clock, timeoutMs: answerMs, signal }),
    );
    if (!signal.aborted) return { endpoint, link };
    link.close();
    return undefined;
  }

  private drop(): void {
    this.spare?.link.close();
    this.spare = undefined;
  }
}
